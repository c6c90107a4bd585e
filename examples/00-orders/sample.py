#!/usr/bin/env python3
"""Prints 5,000 orders as JSON lines, the same ones every time; some are returns, with negative quantity."""
import json
import random

random.seed(7)
for n in range(5000):
    day, hour = 1 + n * 9 // 5000, random.randrange(8, 20)
    print(json.dumps({
        "order_id": f"{536365 + n // 7}-{n}",
        "order_date": f"2010-12-{day:02}T{hour:02}:26:00Z",
        "item_id": f"item-{random.randrange(200)}",
        "quantity": random.choice([1, 2, 3, 6, 12, 24, -1]),
        "unit_price": f"{random.randrange(20)}.{random.randrange(100):02}",
    }))
