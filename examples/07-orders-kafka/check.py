#!/usr/bin/env python3
"""Three routers share the partitions of a topic. One is killed and one is stopped for longer than its session while orders come in. Then both
tables are compared with what follows from the orders."""
import collections
import itertools
import json
import random
import signal
import time

import aws
import topics
from router import DATA, Router, until

ORDERS = 6_000
PAUSE = 8  # seconds, longer than the session in kafka.toml
random.seed(7)


def order(n):
    day, item = 21 + n % 5, f"item{random.randrange(100, 110)}"
    return {"order_id": str(200_000 + n), "order_date": f"2025-11-{day}T{n % 24:02}:00:00Z", "item_id": item, "quantity": random.choice([1, 2, 3, 12])}


def positions(route):
    """The position of each partition, from the routers that answer."""
    found = {}
    for router in routers:
        if router.process.poll() is None:
            routes = json.loads(router.ask("GET", "/api/v1/status")[1])["routes"]
            partitions = [(each.get("shards") or {}).get("partitions", []) for each in routes if each["name"] == route]
            for each in itertools.chain(*partitions):
                found[each["lane"]] = max(found.get(each["lane"], 0), each["position"])
    return found


def done(ends):
    topic = topics.topics(("source", "orders"))[0]
    reached = lambda at: all(at.get(f"{topic}-{partition}", 0) >= end for partition, end in ends.items())
    return all(reached(positions(route)) for route in ("orders", "totals"))


orders = [order(n) for n in range(ORDERS)]
lines = [json.dumps(each) for each in orders]
parts = [lines[first : first + ORDERS // 4] for first in range(0, ORDERS, ORDERS // 4)]
routers = [Router(DATA / f"router-{n}") for n in range(3)]
until("all partitions are read", lambda: all(len(positions(route)) == 4 for route in ("orders", "totals")))

topics.send("orders", parts[0], "order_id")
routers[0].kill()                                          # with a batch in work, most likely
topics.send("orders", parts[1], "order_id")
routers[1].process.send_signal(signal.SIGSTOP)             # the group goes on without it
topics.send("orders", parts[2], "order_id")
time.sleep(PAUSE)
routers[1].process.send_signal(signal.SIGCONT)             # it believes that its partitions are its own
routers[0].start()
ends = topics.send("orders", parts[3], "order_id")
until("every order is done", lambda: done(ends))
for router in routers:
    router.stop()

found = {item["order_id"]: item for item in aws.scan("orders")}
assert found == {each["order_id"]: each for each in orders}, f"{len(found)} items of {ORDERS} orders, or other ones"
truth = collections.defaultdict(lambda: (0, 0))
for each in orders:
    key = each["order_date"][:10], each["item_id"]
    truth[key] = truth[key][0] + each["quantity"], truth[key][1] + 1
totals = {(item["order_date"], item["item_number"]): (item["quantity"], item["orders"]) for item in aws.scan("totals")}
wrong = [key for key in totals | truth if totals.get(key) != truth.get(key)]
assert not wrong, f"{len(wrong)} totals differ, such as {wrong[0]}: {totals.get(wrong[0])}, not {truth.get(wrong[0])}"
for day in sorted({day for day, _ in truth}):
    pieces, placed = (sum(total[n] for key, total in totals.items() if key[0] == day) for n in (0, 1))
    print(f"{day}: {placed} orders of {pieces} pieces")
