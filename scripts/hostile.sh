#!/usr/bin/env bash
# Attacks the release binary, and measures whether the rest of the router goes on. Each attack has a router in a directory of its own, with a
# witness: a route that has no part in the attack. The router holds if, before and after a restart on the same store,
#
#   - of 500 probes of /livez (100 after the restart) none takes longer than 100 ms or ten times the p99 of the idle router, whichever
#     is more;
#   - the witness commits at least every 3 seconds;
#   - SIGTERM, sent while the attack goes on, ends the process within its drain time;
#   - the router's memory stays under the sum that `esclusa validate --limits` prints.
#
#   scripts/hostile.sh [--keep] [--list] [NAME...]     without names: all of them, in about six minutes
#
# NAME is the name of an attack or its beginning: S3 stands for all of S3. ESCLUSA is the binary, PLUGINS the directory of its plugins.
# --keep leaves the directories, with the log of each router. Exit code 1 if the router did not hold. Needs the build (make build)
# and, for S2, the servers of scripts/servers.sh, which it starts. A router that takes more than 6 GB is killed.
set -euo pipefail
cd "$(dirname "$0")/.."
export ESCLUSA=${ESCLUSA:-$PWD/target/release/esclusa} PLUGINS=${PLUGINS:-$PWD/plugins} GUESTS=$PWD/target/guests
export PYTHONDONTWRITEBYTECODE=1

if [ "${1-}" != --list ]; then
  [ -x "$ESCLUSA" ] && [ -f "$PLUGINS/etl.wasm" ] || { echo "hostile: build the router first: make build" >&2; exit 2; }
  scripts/guests.sh
fi
run=(python3 scripts/hostile/run.py "$@")
if "${run[@]}" --needs-servers; then
  exec scripts/servers.sh run "${run[@]}"
fi
exec "${run[@]}"
