#!/usr/bin/env python3
"""Targets that fail on request, for upstreams.js: HTTP servers on addresses of loopback, all with one port.

RUN_TARGETS_PORT is the port. Its control is on 127.0.0.1: `PUT /11/killed` makes the target on 127.0.0.11
behave so, from now on:

  served    answers 200 at once, with the last number of its address in the field Target
  killed    closes its listener and cuts off all connections, as after kill -9
  refusing  closes its listener, and each connection after the answer in progress
  silent    completes no handshake and answers nothing, as a machine that lost its network
  failing   answers 500
  slow      answers after 300 ms
"""

import asyncio
import contextlib
import os
import signal
import socket

TARGETS = range(11, 41)
SLOW_SECONDS = 0.3


class Target:
    """One target and its connections."""

    def __init__(self, number, port):
        self.number, self.address = number, (f"127.0.0.{number}", port)
        self.mode, self.server, self.held, self.connections = "served", None, [], set()

    async def become(self, mode):
        for held in self.held:
            held.close()
        self.held.clear()
        # What arrived while a target was silent stays unanswered.
        if mode == "killed" or self.mode == "silent":
            for connection in list(self.connections):
                connection.transport.abort()
        self.mode = mode
        if mode in ("killed", "refusing", "silent") and self.server:
            self.server.close()
            self.server = None
        if mode == "refusing":
            for connection in list(self.connections):
                connection.close_if_idle()
        elif mode == "silent":
            self.fill_backlog()
        elif mode != "killed" and not self.server:
            loop = asyncio.get_running_loop()
            self.server = await loop.create_server(lambda: Connection(self), *self.address, backlog=1024)

    def fill_backlog(self):
        """Listens with a full queue: the kernel drops each further packet that opens a connection."""
        listener = socket.socket()
        self.held.append(listener)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(self.address)
        listener.listen(0)
        for _ in range(4):
            client = socket.socket()
            self.held.append(client)
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(self.address)


class Connection(asyncio.Protocol):
    """A connection whose requests have no body and come one at a time."""

    def __init__(self, target):
        self.target, self.received, self.waiting = target, b"", 0

    def connection_made(self, transport):
        self.transport = transport
        self.target.connections.add(self)

    def connection_lost(self, _):
        self.target.connections.discard(self)

    def data_received(self, data):
        self.received += data
        while b"\r\n\r\n" in self.received and self.target.mode != "silent":
            _, self.received = self.received.split(b"\r\n\r\n", 1)
            if self.target.mode == "slow":
                self.waiting += 1
                asyncio.get_running_loop().call_later(SLOW_SECONDS, self.answer_late)
            else:
                self.answer()

    def answer_late(self):
        self.waiting -= 1
        if self.target.mode != "silent":
            self.answer()

    def answer(self):
        if self.transport.is_closing():
            return
        status = "500 Internal Server Error" if self.target.mode == "failing" else "200 OK"
        close = "Connection: close\r\n" if self.target.mode == "refusing" else ""
        head = f"HTTP/1.1 {status}\r\nTarget: {self.target.number}\r\n{close}Content-Length: 3\r\n\r\nok\n"
        self.transport.write(head.encode())
        if close:
            self.transport.close()

    def close_if_idle(self):
        if not self.waiting and not self.received:
            self.transport.close()


async def control(targets, reader, writer):
    """Reads `PUT /NUMBER/MODE`, one request for each connection."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        request = await reader.readuntil(b"\r\n\r\n")
        _, number, mode = request.split(b" ")[1].decode().split("/")
        await targets[int(number)].become(mode)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    writer.close()


async def main():
    port = int(os.environ["RUN_TARGETS_PORT"])
    targets = {number: Target(number, port) for number in TARGETS}
    for target in targets.values():
        await target.become("served")
    await asyncio.start_server(lambda *ends: control(targets, *ends), "127.0.0.1", port)
    end = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    await end.wait()


asyncio.run(main())
