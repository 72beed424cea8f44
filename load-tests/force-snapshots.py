#!/usr/bin/env python3
"""Forces a whole snapshot each five seconds, for as long as changes.js says that it is time for them.

A control plane sends snapshots to everybody when its database tells another history, so this gives the head
a new epoch. Needs ADMIN, the URL of the Admin API, and RUN_DATA, the folder of run-local.sh, with its SQLite.
"""

import contextlib
import json
import os
import sqlite3
import time
import urllib.error
import urllib.request


def wanted(admin):
    try:
        with urllib.request.urlopen(f"{admin}/services/force-snapshots", timeout=5) as answer:
            said = json.load(answer)["tags"][0]
    except (urllib.error.URLError, OSError):
        return False
    return time.time() - int(said.removeprefix("at-")) < 2


def force(database):
    with contextlib.closing(sqlite3.connect(database, timeout=5)) as connection, connection:
        connection.execute("UPDATE config_head SET epoch = ?", (os.urandom(16),))


def main():
    admin = os.environ["ADMIN"]
    database = os.path.join(os.environ["RUN_DATA"], "control", "gibbon.sqlite")
    while True:
        if wanted(admin):
            force(database)
            time.sleep(5)
        else:
            time.sleep(0.5)


main()
