#!/usr/bin/env python3
"""Compares the items of a table (standard input) with the state that follows from the histories given, computed in memory.
usage: check.py HISTORY... < items"""
import json
import sys

state = {}
for path in sys.argv[1:]:
    for event in map(json.loads, open(path, encoding="utf-8")):
        state[f"booking#{event['booking_id']}"] = event
found = {item.pop("id"): item for item in map(json.loads, sys.stdin)}
assert found == state, f"{sum(found.get(key) != state.get(key) for key in found | state)} bookings differ"
by_status = [sum(booking["status"] == status for booking in state.values()) for status in (1, 2, 3)]
print("booked {}, done {}, cancelled {}".format(*by_status))
