#!/usr/bin/env python3
"""Prints the reports of reports.sql over the Parquet files of a lake.  usage: report.py LAKE"""
import pathlib
import sys

import duckdb

lake = duckdb.connect()
lake.sql(f"create view bookings as from read_parquet('{sys.argv[1]}/bookings/*.parquet')")
for query in (pathlib.Path(__file__).parent / "reports.sql").read_text().split(";"):
    if not query.strip():
        continue
    title, _, _ = query.strip().removeprefix("-- ").partition("\n")
    result = lake.execute(query)
    rows = [[str(value) for value in row] for row in [[c[0] for c in result.description], *result.fetchall()]]
    widths = [max(map(len, column)) for column in zip(*rows)]
    print(title)
    for row in rows:
        print("  " + "  ".join(text.rjust(width) for text, width in zip(row, widths)))
