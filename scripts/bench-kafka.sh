#!/usr/bin/env bash
# Compares the router's processor time for an event from Kafka with that from an embedded stream and from Kinesis (scripts/bench/sources.py).
# Arguments: the number of records, and of turns. Needs the build (make build), Java 17 and Maven.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/python.sh
exec scripts/servers.sh run target/venv/bin/python scripts/bench/sources.py target/release/esclusa plugins "$@"
