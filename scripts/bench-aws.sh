#!/usr/bin/env bash
# Compares the router with a reference consumer on the servers of the tests. Both take the same records from Kinesis into DynamoDB: the
# consumer with one put per record, as in tutorials (scripts/bench/reference.py), the router with `etl`. Argument: the number of records.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/python.sh
servers=$(mktemp -d)
trap 'scripts/servers.sh stop "$servers"; rm -r "$servers"' EXIT
scripts/servers.sh start "$servers" >"$servers/environment"
# shellcheck disable=SC1091 # written just before
. "$servers/environment"
target/venv/bin/python scripts/bench/compare.py target/release/esclusa plugins "$servers" "${1:-30000}"
