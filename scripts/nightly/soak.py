#!/usr/bin/env python3
"""Runs a router on generated events, and kills it every few seconds, so many times. At the end every number from the first to the
last has its item, the totals counted from the table's changes equal the number of items, `esclusa audit` finds that the
account of every route adds up, and the router took no more memory in the last third of its runs than in the first.

    soak.py ESCLUSA PLUGINS KILLS [SEED]
"""

import json
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROUTES = """
version = 1
[engine]
path = "data"
[source.orders]
kind = "generate"
interval = "10ms"
per_tick = 20
event = { id = "{seq}", customer = "{random:100}" }
[table.orders]
kind = "embedded"
partition_key = "id"
changes = true
[source.order-changes]
kind = "table-changes"
table = "orders"
[table.totals]
kind = "embedded"
partition_key = "customer"

[[route]]
name = "orders"
source = "orders"
plugin = "PLUGINS/etl.wasm"
tables = ["orders"]
config = { table = "orders", key = { id = "{id}" } }

[[route]]
name = "totals"
source = "order-changes"
plugin = "PLUGINS/aggregate.wasm"
tables = ["totals"]
config = { table = "totals", key = { customer = "{customer}" }, count = "orders" }
"""
# Seconds between two kills.
SHORTEST, LONGEST = 0.5, 7.0


def memory(pid):
    """Resident memory of a process, MB."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main(esclusa, plugins, kills, seed):
    print(f"seed {seed}")
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        pathlib.Path(directory, "routes.toml").write_text(ROUTES.replace("PLUGINS", os.path.realpath(plugins)))
        log = open(pathlib.Path(directory, "log"), "wb")
        lives, killed = [], 0
        while killed < kills:
            router = subprocess.Popen([esclusa, "run"], cwd=directory, stderr=log)
            time.sleep(chance.uniform(SHORTEST, LONGEST))
            if router.poll() is not None:
                print(pathlib.Path(directory, "log").read_text()[-2000:])
                return f"the router ended by itself with {router.returncode}"
            lives.append(memory(router.pid))
            how = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
            router.send_signal(how)
            router.wait()
            killed += how == signal.SIGKILL
        # Nothing new is generated; the events that are there are finished.
        subprocess.run([esclusa, "run", "--until-idle"], cwd=directory, stderr=log, check=True)
        scan = lambda table: map(json.loads, subprocess.run(
            [esclusa, "table", "scan", table], cwd=directory, capture_output=True, check=True).stdout.splitlines())
        numbers = sorted(int(item["id"]) for item in scan("orders"))
        counted = sum(int(item["orders"]) for item in scan("totals"))
        third = max(1, len(lives) // 3)
        first, last = statistics.median(lives[:third]), statistics.median(lives[-third:])
        print(f"{len(lives)} lives, {killed} ended by SIGKILL, {len(numbers)} items, {counted} counted; memory {first:.0f} MB at first, {last:.0f} MB at last")
        if not numbers or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            return "numbers are missing"
        if counted != len(numbers):
            return f"{counted} counted of {len(numbers)} items"
        if last > first * 1.5 + 32:
            return "the router takes more memory than at first"
        if subprocess.run([esclusa, "audit"], cwd=directory).returncode != 0:
            return "the account does not add up"
    return None


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.SystemRandom().randrange(1 << 32)
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), seed))
