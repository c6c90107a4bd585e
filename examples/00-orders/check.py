#!/usr/bin/env python3
"""Computes the totals of the orders in a file without Esclusa, and compares: the table's items on standard input, and
the Parquet files by DuckDB if their directory is given.  usage: check.py ORDERS [LAKE] < items"""
import collections
import json
import sys

truth = collections.defaultdict(lambda: [0, 0])
rows = quantity = 0
for line in open(sys.argv[1], encoding="utf-8"):
    order = json.loads(line)
    total = truth[order["order_date"].split("T")[0], order["item_id"]]
    total[0] += order["quantity"]
    total[1] += 1
    rows += 1
    quantity += order["quantity"]
found = {(i["order_date"], i["item_number"]): [i["quantity"], i["orders"]] for i in map(json.loads, sys.stdin)}
assert found == truth, f"totals differ in {sum(found.get(k) != v for k, v in truth.items())} of {len(truth)} keys"
print(f"{len(truth)} totals of {rows} orders are right")
if len(sys.argv) > 2:
    import duckdb
    query = f"select count(*), sum(quantity), min(order_date) from '{sys.argv[2]}/**/*.parquet'"
    count, total, first = duckdb.sql(query).fetchone()
    assert (count, total) == (rows, quantity), f"DuckDB: {count} rows, {total}; expected {rows}, {quantity}"
    print(f"DuckDB counts {count} rows, {total} pieces, the first at {first}")
