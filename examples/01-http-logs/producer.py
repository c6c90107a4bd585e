#!/usr/bin/env python3
"""Prints requests to a web shop as JSON lines: COUNT of them, the same ones every time; without COUNT ten a second, with
the current time, until it is stopped.  usage: producer.py [COUNT]"""
import datetime
import itertools
import json
import random
import sys
import time

PATHS = ["/", "/cart", "/checkout", "/login", *(f"/products/{n}" for n in range(1, 9))]
POOL = [
    {"method": method, "path": path, "status": status, "latency_ms": latency, "user_agent": agent}
    for path, agent in itertools.product(PATHS, ["Mozilla/5.0 (X11; Linux x86_64)", "curl/8.5.0"])
    for method, status, latency in [("GET", 200, 12.5), ("GET", 304, 3), ("POST", 201, 48.25), ("GET", 500, 730)]
]

count = int(sys.argv[1]) if len(sys.argv) > 1 else None
if count is not None:
    random.seed(1)
now = datetime.datetime(2025, 9, 1, 12, tzinfo=datetime.timezone.utc)
for _ in itertools.count() if count is None else range(count):
    if count is None:
        time.sleep(0.1)
        now = datetime.datetime.now(datetime.timezone.utc)
    stamp = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    print(json.dumps({**random.choice(POOL), "timestamp": stamp}), flush=count is None)
    now += datetime.timedelta(milliseconds=100)
