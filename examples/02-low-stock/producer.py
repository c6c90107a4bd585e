#!/usr/bin/env python3
"""Prints COUNT events of a web shop as JSON lines, the same ones every time: requests, and the inventory of what was sold.
usage: producer.py COUNT"""
import json
import random
import sys

random.seed(2)
inventory = {f"P-{n:03}": random.randrange(12, 30) for n in range(1, 9)} | {'TV 55" "OLED"': 14}
for n in range(int(sys.argv[1])):
    ts = f"2025-09-01T12:{n // 60 % 60:02}:{n % 60:02}.000Z"
    product = random.choice(list(inventory))
    if n % 4:
        event = {"type": "request", "product_id": product, "method": "GET", "inventory": 0, "ts": ts}
    else:
        inventory[product] = inventory[product] - random.randrange(1, 5) if inventory[product] > 4 else 25
        event = {"type": "inventory", "product_id": product, "inventory": inventory[product], "ts": ts}
    print(json.dumps(event))
