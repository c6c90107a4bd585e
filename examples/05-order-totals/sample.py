#!/usr/bin/env python3
"""Prints commands on orders as JSON lines, the same ones every time: orders are placed, some are changed (another quantity,
item or day), some are deleted. The sender is not sure what arrived, and sends each 25 commands twice.
usage: sample.py [ORDERS], a file of orders as JSON lines; without it they are made up, 3,000 or $ORDERS"""
import json
import os
import random
import sys

random.seed(5)
DOCUMENT = [("178526", "item123", 10), ("178527", "item123", 30), ("172528", "item312", 10), ("178529", "item312", 30)]


def document():
    for order, item, quantity in DOCUMENT:
        yield {"order_id": order, "order_date": "2025-11-20T09:30:00Z", "item_id": item, "quantity": quantity}


def generated():
    for n in range(int(os.environ.get("ORDERS", 3000))):
        day, item = 21 + n // 750, f"item{random.randrange(100, 110)}"
        quantity = random.choice([1, 2, 3, 12, -1])
        yield {"order_id": str(200000 + n), "order_date": f"2025-11-{day}T{n % 24:02}:00:00Z", "item_id": item,
               "quantity": quantity}


def commands(orders):
    yield from ({"put": order} for order in document())
    placed = []
    for order in orders:
        placed.append(order)
        yield {"put": order}
        dice = random.random()
        if dice < 0.1:
            yield {"delete": {"order_id": placed.pop(random.randrange(len(placed)))["order_id"]}}
        elif dice < 0.3:
            changed = random.choice(placed)
            changed["quantity"] += 1
            if dice < 0.15:
                changed["item_id"], changed["order_date"] = "item123", "2025-11-25T00:00:00Z"
            yield {"put": changed}


source = map(json.loads, open(sys.argv[1], encoding="utf-8")) if len(sys.argv) > 1 else generated()
chunk = []
for command in commands(source):
    key = (command.get("put") or command["delete"])["order_id"]
    chunk.append(json.dumps({"order_id": key, **command}))
    if len(chunk) == 25:
        print(*chunk, *chunk, sep="\n")
        chunk = []
if chunk:
    print(*chunk, *chunk, sep="\n")
