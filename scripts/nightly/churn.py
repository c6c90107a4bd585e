#!/usr/bin/env python3
"""Runs one router under load while everything around it changes: a reload every few moments (routes.toml with another misbehaving plugin,
a new build of a plugin, a configuration that is refused), a log file that is copied and truncated, plugins that trap, spin, allocate and
flood. The good routes lose nothing and repeat nothing, the account of every route adds up, and memory, threads and open files stay
as they were.

    churn.py ESCLUSA PLUGINS GUESTS SECONDS RELOADS [SEED]
"""

import http.client
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROUTES = """
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[source.orders]
kind = "generate"
interval = "20ms"
per_tick = 10
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
[source.log]
kind = "file"
path = "logs/app.log"
follow = true
[table.lines]
kind = "embedded"
partition_key = "n"
[source.ticks]
kind = "generate"
interval = "500ms"
event = { n = "{seq}" }
[output.out]
kind = "file"
path = "out.jsonl"

[[route]]
name = "orders"
source = "orders"
plugin = "etl.wasm"
tables = ["orders"]
config = { table = "orders", key = { id = "{id}" } }

[[route]]
name = "totals"
source = "order-changes"
plugin = "PLUGINS/aggregate.wasm"
tables = ["totals"]
config = { table = "totals", key = { customer = "{customer}" }, count = "orders" }

[[route]]
name = "lines"
source = "log"
plugin = "etl.wasm"
tables = ["lines"]
config = { table = "lines", key = { n = "{n}" } }

[[route]]
name = "hostile"
source = "ticks"
plugin = "GUESTS/hostile.wasm"
outputs = ["out"]
max_retry_attempts = 1
config = { do = "ORDER" }
"""
# What the misbehaving plugin does from one reload to the next.
ORDERS = ["panic", "loop", "grow", "allocate", "log", "flood", "many-effects", "big-effect", "recurse", "exit", "retry", "echo", "nothing"]
REFUSED = "\n[[route]]\nname = \"broken\"\nsource = \"nowhere\"\n"
# Seconds between two copies of the log, and between two looks at the process.
ROTATE, LOOK = 7.0, 2.0
LINES_PER_WRITE, WRITES_PER_SECOND = 20, 20


def status(directory):
    """What the router says of itself; `None`: it does not answer."""
    try:
        address = json.loads(pathlib.Path(directory, "data/router.json").read_text())["admin"]
        connection = http.client.HTTPConnection(address, timeout=30)
        connection.request("GET", "/api/v1/status")
        answer = connection.getresponse()
        return json.loads(answer.read()) if answer.status == 200 else None
    except (OSError, KeyError, ValueError, http.client.HTTPException):
        return None


def waited(what, holds, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise SystemExit(f"waited in vain for: {what}")
        time.sleep(0.05)


class Log(threading.Thread):
    """Writes numbered lines, and has the file copied and truncated as logrotate does, with no line written in between."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.written, self.copies, self.stopped = path, 0, 0, threading.Event()

    def run(self):
        rotated = time.monotonic()
        with open(self.path, "a") as file:
            while not self.stopped.wait(1 / WRITES_PER_SECOND):
                lines = range(self.written, self.written + LINES_PER_WRITE)
                file.write("".join(json.dumps({"n": n, "pad": "x" * 100}) + "\n" for n in lines))
                file.flush()
                self.written += LINES_PER_WRITE
                if time.monotonic() - rotated > ROTATE:
                    for number in range(4, 0, -1):
                        older = self.path.with_name(f"app.log.{number}")
                        if older.exists():
                            older.rename(self.path.with_name(f"app.log.{number + 1}"))
                    shutil.copyfile(self.path, self.path.with_name("app.log.1"))
                    file.truncate(0)
                    self.copies, rotated = self.copies + 1, time.monotonic()


class Watch(threading.Thread):
    """Memory in MB, threads and open files of a process, from time to time."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.process, self.seen, self.stopped = pathlib.Path(f"/proc/{pid}"), [], threading.Event()

    def run(self):
        while not self.stopped.wait(LOOK):
            said = dict(line.split(":", 1) for line in (self.process / "status").read_text().splitlines() if ":" in line)
            files = len(os.listdir(self.process / "fd"))
            self.seen.append((int(said["VmRSS"].split()[0]) / 1024, int(said["Threads"]), files))

    def thirds(self):
        """Medians of the second third and of the last one: in the first one caches fill."""
        third = len(self.seen) // 3
        median = lambda looks: [statistics.median(column) for column in zip(*looks)]
        return median(self.seen[third:2 * third]), median(self.seen[-third:])


def write(path, data):
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    new.rename(path)


def variant(plugin, number):
    """The plugin with a custom section of its own: another digest, the same behaviour."""
    name = f"v{number}".encode()
    return plugin + bytes([0, len(name) + 1, len(name)]) + name


def main(esclusa, plugins, guests, seconds, reloads, seed):
    print(f"seed {seed}")
    chance = random.Random(seed)
    etl = pathlib.Path(plugins, "etl.wasm").read_bytes()
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        text = ROUTES.replace("PLUGINS", os.path.realpath(plugins)).replace("GUESTS", os.path.realpath(guests))
        (directory / "logs").mkdir()
        (directory / "logs/app.log").touch()
        (directory / "etl.wasm").write_bytes(etl)
        routes = directory / "routes.toml"
        routes.write_text(text.replace("ORDER", "echo"))
        errors = open(directory / "log", "wb")
        router = subprocess.Popen([esclusa, "run"], cwd=directory, stderr=errors)
        try:
            waited("the router", lambda: status(directory) is not None)
            log, watch = Log(directory / "logs/app.log"), Watch(router.pid)
            log.start(), watch.start()
            began, refused = time.monotonic(), 0
            for number in range(reloads):
                time.sleep(max(0, began + number * seconds / reloads - time.monotonic()))
                if router.poll() is not None:
                    return f"the router ended by itself with {router.returncode}: {(directory / 'log').read_text()[-2000:]}"
                kind = chance.choice(["order", "order", "plugin", "plugin", "refused"])
                if kind == "plugin":
                    write(directory / "etl.wasm", variant(etl, number))
                elif kind == "order":
                    write(routes, text.replace("ORDER", chance.choice(ORDERS)).encode() + f"\n# {number}\n".encode())
                else:
                    refused += 1
                    write(routes, text.replace("ORDER", "echo").encode() + REFUSED.encode() + f"# {number}\n".encode())
            log.stopped.set(), log.join()
            # The plugin that spins leaves, the generated events end, and what is there is finished.
            write(routes, text.replace("ORDER", "nothing").encode())
            found = lambda route: next((r for r in (status(directory) or {"routes": []})["routes"] if r["name"] == route), None)
            done = lambda route: (found(route) or {"reading": {"counts": {"done": 0}}})["reading"]["counts"]["done"]
            waited("the lines", lambda: done("lines") >= log.written, 300)
            watch.stopped.set(), watch.join()
            last = status(directory)
        finally:
            router.terminate()
            ended = router.wait(60)
        subprocess.run([esclusa, "run", "--until-idle"], cwd=directory, stderr=errors, check=True)
        scan = lambda table: map(json.loads, subprocess.run(
            [esclusa, "table", "scan", table], cwd=directory, capture_output=True, check=True).stdout.splitlines())
        numbers = sorted(int(item["id"]) for item in scan("orders"))
        counted = sum(int(item["orders"]) for item in scan("totals"))
        lines = sum(1 for _ in scan("lines"))
        (memory, threads, files), (memory_last, threads_last, files_last) = watch.thirds()
        print(f"{reloads} changes, {refused} of them refused; {log.copies} copies of the log; {len(numbers)} orders, {counted} counted; "
              f"{log.written} lines, {lines} items, {done_of(last, 'lines')} done")
        print(f"memory {memory:.0f} MB, then {memory_last:.0f} MB; threads {threads:.0f}, {threads_last:.0f}; "
              f"open files {files:.0f}, {files_last:.0f}")
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))) or counted != len(numbers):
            return f"{len(numbers)} orders up to number {numbers[-1]}, {counted} counted"
        if lines != log.written or done_of(last, "lines") != log.written:
            return "lines are missing, or were read twice"
        if memory_last > memory * 1.2 + 32 or threads_last > threads + 8 or files_last > files + 32:
            return "the router takes more than before"
        if ended != 0:
            return f"the router ended with {ended}"
        if subprocess.run([esclusa, "audit"], cwd=directory).returncode != 0:
            return "the account does not add up"
    return None


def done_of(last, route):
    return next(r for r in last["routes"] if r["name"] == route)["reading"]["counts"]["done"]


if __name__ == "__main__":
    if len(sys.argv) < 6:
        sys.exit(__doc__)
    seed = int(sys.argv[6]) if len(sys.argv) > 6 else random.SystemRandom().randrange(1 << 32)
    sys.exit(main(*sys.argv[1:4], float(sys.argv[4]), int(sys.argv[5]), seed))
