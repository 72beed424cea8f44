#!/usr/bin/env python3
"""Counts the instructions of a request on ways through the data plane, outside of the kernel, by callgrind.

    benches/instructions.py [FOLDER OF THE PROGRAMS, target/release] [REQUESTS OF A ROUND, 2000]

Eight connections of HTTP/1.1 send one kind of request after the other, in two rounds that take turns. Counts do
not depend on what else the machine does. Takes a minute; needs valgrind.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/release").resolve()
REQUESTS = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
CONNECTIONS = 8
WARM_UP = 400
TARGETS = range(11, 21)

WAYS = {
    "one host, an address": {"host": "127.0.0.11"},
    "ten targets, round-robin": {"upstream": {}},
    "ten targets, least-connections": {"upstream": {"algorithm": "least-connections"}},
    "ten targets, latency": {"upstream": {"algorithm": "latency"}},
    "ten targets, consistent-hashing by a header": {
        "upstream": {"hash_on": "header", "hash_on_header": "user-agent"}
    },
    "one host, key-auth": {"host": "127.0.0.11", "plugins": [{"name": "key-auth"}]},
    "one host, key-auth and rate-limiting": {
        "host": "127.0.0.11",
        "plugins": [{"name": "key-auth"}, {"name": "rate-limiting", "config": {"hour": 100_000_000}}],
    },
    "one host, cors": {"host": "127.0.0.11", "plugins": [{"name": "cors"}]},
    "one host, correlation-id": {"host": "127.0.0.11", "plugins": [{"name": "correlation-id"}]},
    "one host, ip-restriction": {
        "host": "127.0.0.11",
        "plugins": [{"name": "ip-restriction", "config": {"allow": ["127.0.0.0/8"]}}],
    },
    "one host, prometheus": {
        "host": "127.0.0.11",
        "plugins": [{"name": "prometheus", "config": {"status_code_metrics": True, "latency_metrics": True}}],
    },
}


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait(what, is_there, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if is_there():
                return
        except OSError:
            pass
        time.sleep(0.2)
    sys.exit(f"{what}: not there after {seconds} s")


class Installation:
    """A control plane, a data plane within callgrind, and the targets."""

    def __init__(self, folder):
        self.folder = folder
        self.admin, cluster, status, self.proxy, gateway_status, self.target = free_ports(6)
        self.running = []
        cert, key = folder / "cluster.crt", folder / "cluster.key"
        self.run([PROGRAMS / "gibbon-control", "pki", "gen-cert", cert, key]).wait()
        pair = {"GIBBON_CLUSTER__CERT": str(cert), "GIBBON_CLUSTER__KEY": str(key)}
        self.run(["python3", ROOT / "load-tests/targets.py"], RUN_TARGETS_PORT=str(self.target))
        self.run(
            [PROGRAMS / "gibbon-control", "run"],
            **pair,
            GIBBON_DATA_DIR=str(folder / "control"),
            GIBBON_ADMIN__LISTEN=f"127.0.0.1:{self.admin}",
            GIBBON_CLUSTER__LISTEN=f"127.0.0.1:{cluster}",
            GIBBON_STATUS__LISTEN=f"127.0.0.1:{status}",
        )
        wait("the Admin API", lambda: self.write("PUT", "/consumers/a", {}) == 200)
        self.write("PUT", "/consumers/a/key-auth/k1", {})
        counted = f"--callgrind-out-file={folder / 'count'}"
        self.gateway = self.run(
            ["valgrind", "--tool=callgrind", "--instr-atstart=no", counted, PROGRAMS / "gibbon-gateway", "run"],
            **pair,
            GIBBON_THREADS="1",
            GIBBON_STATE_DIR=str(folder / "gateway"),
            GIBBON_PROXY__LISTEN=f"127.0.0.1:{self.proxy}",
            GIBBON_CLUSTER__CONTROL_PLANES=f"127.0.0.1:{cluster}",
            GIBBON_STATUS__LISTEN=f"127.0.0.1:{gateway_status}",
        )

    def run(self, command, **variables):
        log = open(self.folder / "log", "a")
        process = subprocess.Popen(
            [str(part) for part in command], env=os.environ | variables, stdout=log, stderr=log
        )
        self.running.append(process)
        return process

    def end(self):
        for process in reversed(self.running):
            process.terminate()
            process.wait()

    def write(self, method, path, body):
        url, fields = f"http://127.0.0.1:{self.admin}{path}", {"Content-Type": "application/json"}
        request = urllib.request.Request(url, json.dumps(body).encode(), fields, method=method)
        return urllib.request.urlopen(request).status

    def add(self, name, way):
        host = way.get("host")
        if host is None:
            host = f"{name}.test"
            self.write("PUT", f"/upstreams/{host}", way["upstream"])
            for number in TARGETS:
                target = {"target": f"127.0.0.{number}:{self.target}"}
                self.write("POST", f"/upstreams/{host}/targets", target)
        self.write("PUT", f"/services/{name}", {"host": host, "port": self.target})
        for plugin in way.get("plugins", []):
            self.write("POST", f"/services/{name}/plugins", plugin)
        self.write("PUT", f"/routes/{name}", {"paths": [f"/{name}"], "service": {"name": name}})

    def answers(self, name):
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy, timeout=60)
        return self.get(connection, name) == 200

    @staticmethod
    def get(connection, name):
        connection.request("GET", f"/{name}/x", headers={"User-Agent": "count", "apikey": "k1"})
        response = connection.getresponse()
        response.read()
        return response.status

    def load(self, connections, name, requests):
        def one(connection):
            for _ in range(requests // CONNECTIONS):
                assert self.get(connection, name) == 200

        threads = [threading.Thread(target=one, args=[connection]) for connection in connections]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def control(self, *words):
        subprocess.run(["callgrind_control", *words, str(self.gateway.pid)], capture_output=True, check=True)


def total(file):
    lines = file.read_text().splitlines()
    return int(next(line for line in reversed(lines) if line.startswith(("totals:", "summary:"))).split()[1])


def main():
    with tempfile.TemporaryDirectory() as folder:
        installation = Installation(Path(folder))
        try:
            names = {way: f"way{number}" for number, way in enumerate(WAYS)}
            for way, name in names.items():
                installation.add(name, WAYS[way])
            wait("the last route", lambda: installation.answers(list(names.values())[-1]))
            connections = [
                http.client.HTTPConnection("127.0.0.1", installation.proxy, timeout=120)
                for _ in range(CONNECTIONS)
            ]
            for name in names.values():
                installation.load(connections, name, WARM_UP)
            counts = {way: [] for way in WAYS}
            for _ in range(2):
                for way, name in names.items():
                    installation.control("-z")
                    installation.control("-i", "on")
                    installation.load(connections, name, REQUESTS)
                    installation.control("-i", "off")
                    installation.control("-d")
                    number = sum(map(len, counts.values())) + 1
                    counts[way].append(total(Path(folder) / f"count.{number}") // REQUESTS)
        finally:
            installation.end()
    first = sum(next(iter(counts.values())))
    for way, (one, two) in counts.items():
        print(f"{way:46} {one:8,} {two:8,}  {(one + two) / first:.3f} x")


main()
