#!/usr/bin/env python3
"""Carries the commands out in memory, computes the totals without Esclusa, compares them with what the tables hold, and
prints them per day.  usage: check.py COMMANDS TOTALS PLACED, the last two as scanned"""
import collections
import json
import sys

commands, totals, placed = (list(map(json.loads, open(path, encoding="utf-8"))) for path in sys.argv[1:])
orders, inserts = {}, collections.Counter()
for command in commands:
    if order := command.get("put"):
        if order["order_id"] not in orders:
            inserts[order["order_date"].split("T")[0]] += 1
        orders[order["order_id"]] = dict(order)
    else:
        orders.pop(command["delete"]["order_id"], None)
truth = collections.defaultdict(lambda: (0, 0))
for order in orders.values():
    key = order["order_date"].split("T")[0], order["item_id"]
    truth[key] = truth[key][0] + order["quantity"], truth[key][1] + 1

found = {(i["order_date"], i["item_number"]): (i["quantity"], i["orders"]) for i in totals}
for key in found | truth:
    assert found.get(key, (0, 0)) == truth.get(key, (0, 0)), f"{key}: {found.get(key)}, expected {truth.get(key)}"
counted = {i["order_date"]: i["orders"] for i in placed}
assert counted == inserts, f"placed were {counted}, expected {dict(inserts)}"
for day in sorted(inserts.keys() | {day for day, _ in truth}):
    pieces, left = (sum(total[n] for key, total in found.items() if key[0] == day) for n in (0, 1))
    print(f"{day}: {left} orders of {pieces} pieces; placed {inserts[day]} times")
