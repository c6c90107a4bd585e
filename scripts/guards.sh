#!/usr/bin/env bash
# Shows that the tests of the catalogue of failures (docs/reference/failures.md) can fail: for each row the mend is switched off, and
# then the row's test must fail.
#
#   scripts/guards.sh [ROW...]     K1 Q3; without rows: all of them
#
# scripts/guards/*.toml has the switches: what the code is, and what it is with its mend off. They go into a copy of this checkout
# (target/guards/tree), all of them into one build, and ESCLUSA_GUARD_OFF names the row that is off. Prints a line for each row, and in
# the end "N rows, N red, 0 green". Exit code 1 if the test of any row stays green, or is red with nothing switched off.
# Needs the plugins (make plugins), and the servers that scripts/servers.sh starts.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -f target/guests/hostile.wasm ] || scripts/guests.sh
scripts/python.sh
exec scripts/servers.sh run python3 scripts/guards/guards.py "$@"
