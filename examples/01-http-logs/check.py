#!/usr/bin/env python3
"""Compares the table's items (standard input) with the requests that were sent, field by field, and prints how many there
are of each path.  usage: check.py REQUESTS < items"""
import collections
import json
import sys

sent = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
wanted = {(f"path#{r['path']}", r["timestamp"]): r for r in sent}
found = {}
for item in map(json.loads, sys.stdin):
    found[item.pop("pk"), item.pop("sk")] = item
assert found == wanted, f"{sum(found.get(key) != wanted.get(key) for key in found | wanted)} items differ"
for path, count in sorted(collections.Counter(path for path, _ in found).items()):
    print(f"{path} {count}")
