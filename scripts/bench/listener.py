#!/usr/bin/env python3
"""Sends requests over 128 connections through a listener, and as many through /ingest; each is durable when it is answered. Prints how
many were answered with 2xx, requests/s, the router's processor time a request, and how long /livez took meanwhile. At least 99.9 % must be
answered with 2xx, /livez within its bound, and every event must be in the table.

  listener.py ESCLUSA PLUGINS [REQUESTS [OLDER]]     OLDER: another checkout with its build, whose /ingest is measured in the same run"""
import asyncio
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

CONNECTIONS = 128
PATIENCE = 60  # seconds
BOUND = 1.0  # seconds that /livez may take, with clients and servers on the same processors
TICK = os.sysconf("SC_CLK_TCK")
LISTENER = """
[listener.api]
listen = "127.0.0.1:0"
[source.listened]
kind = "http"
listener = "api"
endpoints = ["POST /events/{{Id}}"]
"""
ROUTES = """
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[source.ingested]
kind = "http"
[table.ingested]
kind = "embedded"
partition_key = "id"
[[route]]
name = "ingested"
source = "ingested"
plugin = "{plugins}/etl.wasm"
tables = ["ingested"]
batch_size = 1000
config = {{ table = "ingested", key = {{ id = "{{id}}" }} }}
"""


class Router:
    def __init__(self, esclusa, plugins, directory, listener):
        routes = ROUTES.format(plugins=plugins)
        if listener:
            table = "[table.ingested]" + ROUTES.format(plugins=plugins).partition("[table.ingested]")[2]
            routes += LISTENER.format() + table.replace("ingested", "listened")
        directory.mkdir()
        (directory / "routes.toml").write_text(routes, encoding="ascii")
        with open(directory / "log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen([esclusa, "run"], cwd=directory, stderr=log)
        self.directory, self.admin, self.api = directory, None, None

    def __enter__(self):
        file, deadline, posted = self.directory / "data/router.json", time.monotonic() + PATIENCE, {}
        # An older router writes the file when it is running, without a phase.
        while not posted or posted.get("phase", "running") != "running":
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise AssertionError((self.directory / "log").read_text())
            time.sleep(0.05)
            posted = json.loads(file.read_text(encoding="ascii")) if file.exists() else {}
        self.admin, self.api = posted["admin"], posted.get("listeners", {}).get("api")
        return self

    def __exit__(self, failed, *_):
        if failed:
            self.process.kill()
        else:
            self.stop()

    def processor(self):
        """Processor time so far, in seconds."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def done(self, route):
        with urllib.request.urlopen(f"http://{self.admin}/api/v1/status") as answer:
            routes = json.load(answer)["routes"]
        return next(each["reading"]["counts"]["done"] for each in routes if each["name"] == route)

    def stop(self):
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0, "the router did not stop in order"


class Probe(threading.Thread):
    """Asks /livez again and again, on a connection each; keeps how long each answer took."""

    def __init__(self, address):
        super().__init__()
        self.address, self.took, self.over = address, [], threading.Event()

    def run(self):
        while not self.over.wait(0.05):
            began = time.monotonic()
            with urllib.request.urlopen(f"http://{self.address}/livez", timeout=PATIENCE) as answer:
                assert answer.status == 200
            self.took.append(time.monotonic() - began)


async def client(address, path, numbers, statuses):
    """Sends requests on one connection, one after the other; a connection that ends is opened again, and its request is not sent again."""
    host, _, port = address.rpartition(":")
    reader = writer = None
    for number in numbers:
        body = json.dumps({"id": f"{number}", "seats": number % 7, "name": "Opera Aida"}).encode()
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection(host, int(port))
            target = path.format(number=number)
            writer.write(f"POST {target} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0))
            statuses.append(int(head.split()[1]))
        except (OSError, asyncio.IncompleteReadError):
            statuses.append(None)
            writer = None


async def crowd(address, path, count):
    statuses, numbers = [], iter(range(count))
    began = time.monotonic()
    await asyncio.gather(*(client(address, path, numbers, statuses) for _ in range(CONNECTIONS)))
    return statuses, time.monotonic() - began


def measure(name, router, address, path, count, route):
    probe, spent = Probe(router.admin), router.processor()
    probe.start()
    statuses, seconds = asyncio.run(crowd(address, path, count))
    probe.over.set()
    probe.join()
    good = sum(status is not None and 200 <= status < 300 for status in statuses)
    deadline = time.monotonic() + PATIENCE
    while router.done(route) < good:
        assert time.monotonic() < deadline, f"{router.done(route)} of {good} accepted events are done"
        time.sleep(0.1)
    spent, took = router.processor() - spent, sorted(probe.took)
    print(f"{name}: {good} of {count} answered with 2xx, {count / seconds:.0f} requests/s, {spent / count * 1e6:.0f} us of processor "
          f"time a request with its event; /livez {len(took)} times, at most {took[-1] * 1000:.0f} ms, "
          f"{took[len(took) * 99 // 100] * 1000:.0f} ms for 99 %", flush=True)
    assert good >= count * 0.999, f"{count - good} of {count} were not answered with 2xx: {set(statuses)}"
    assert took[-1] <= BOUND, f"/livez took {took[-1]:.2f} s"


def main(esclusa, plugins, count="100000", older=None):
    esclusa, plugins, count = os.path.abspath(esclusa), os.path.abspath(plugins), int(count)
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        if older:
            checkout = pathlib.Path(older).absolute()
            with Router(checkout / "target/release/esclusa", checkout / "plugins", directory / "older", False) as router:
                measure("older /ingest", router, router.admin, "/ingest/ingested", count, "ingested")
        with Router(esclusa, plugins, directory / "new", True) as router:
            measure("/ingest      ", router, router.admin, "/ingest/ingested", count, "ingested")
            measure("listener     ", router, router.api, "/events/{number}", count, "listened")


if __name__ == "__main__":
    main(*sys.argv[1:])
