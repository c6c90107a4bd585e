#!/usr/bin/env bash
# The long runs, which are not part of `make test`. Their output is added to docs/nightly/DATE.txt; commit that file.
#
#   scripts/nightly.sh [NAME...]     tests properties guards fuzz damage fleet kills group brokers attacks kcl soak churn; without names: all of them, in some hours on two cores
#
#   tests        the tests of `make test` on the router of `make build`: with the levels of what is deployed, and at most 50 MiB large;
#                with a plugin of 18 MB besides
#   properties   the property tests with 40 times as many random cases as in `make test`, except for tests that set a number themselves
#   guards       the mend of each row of the catalogue of failures switched off: its test fails (scripts/guards.sh)
#   damage       200 flipped bits, one at a time, in each file of a store in turn: told, opened and salvaged; and 400 power failures
#   fuzz         each fuzz target for FUZZ seconds (default 300), with feedback of coverage (scripts/fuzz.sh)
#   fleet        100,000 records through three routers, two of which are killed, while shards are split and merged; three seeds
#   group        100,000 records of a topic with 12 partitions through three routers, two of which are killed and one is stopped past its session: ten
#                runs into DynamoDB and ten into another topic, at other moments each; needs Java 17 and Maven
#   brokers      the same, three runs each, on three brokers of which one after the other is killed and started again
#   attacks      scripts/hostile.sh
#   kcl          a lease table handed over from KCL 2 and from KCL 3.5 to the router and back, over generations of splits and merges
#   kills        a fleet as above, 60 kills in six runs
#   soak         orders and their totals, ended by SIGKILL 300 times: nothing is lost, nothing counted twice, and memory does not grow
#   churn        load for CHURN seconds (default 1,800) with 1,000 changes of configuration and plugins, plugins that misbehave, and a log file that is
#                copied and truncated: memory, threads and files stay as they are, nothing is lost or read twice
#
# Exit code 1 if one of them failed. Needs the build (make build).
set -uo pipefail
cd "$(dirname "$0")/.."
esclusa=$PWD/target/release/esclusa
[ -x "$esclusa" ] || { echo "nightly: build the router first: make build" >&2; exit 2; }
[ $# -gt 0 ] || set -- tests properties guards fuzz damage fleet kills group brokers attacks kcl soak churn

tests() {
  [ "$(stat -c %s "$esclusa")" -le $((50 << 20)) ] || { echo "the router has over 50 MiB"; return 1; }
  scripts/guests.sh
  scripts/python.sh
  ESCLUSA_FUNCTIONS=12000 scripts/servers.sh run cargo test --release --locked --workspace --no-fail-fast 2>&1 | grep -E "^(test result|failures|test .*FAILED)|panicked"
  return "${PIPESTATUS[0]}"
}
properties() {
  # The whole workspace, as in `make test`: with other features everything would be compiled again.
  PROPTEST_CASES=10240 cargo test --release --locked --workspace --lib --test delivery --test core 2>&1 | grep -E "^(test result|failures|test .*FAILED)|panicked"
  return "${PIPESTATUS[0]}"
}
damage() {
  ESCLUSA_FLIPS=200 cargo test --release --locked --workspace --test embedded -- damage:: salvage:: power:: 2>&1 | grep -E "^(test result|failures|test .*FAILED)|panicked"
  return "${PIPESTATUS[0]}"
}
guards() { scripts/guards.sh; }
fuzz() { scripts/fuzz.sh "${FUZZ:-300}"; }
fleet() {
  scripts/python.sh
  for seed in 1 2 3; do
    scripts/servers.sh run target/venv/bin/python host/esclusa/tests/fleet/fleet.py "$esclusa" plugins 100000 "$seed$(date +%j)" || return 1
  done
}
group() {
  scripts/python.sh
  local held
  for held in tables topics; do
    scripts/servers.sh run target/venv/bin/python host/esclusa/tests/fleet/group.py "$esclusa" plugins $held 100000 10 "1$(date +%j)" || return 1
  done
}
brokers() {
  scripts/python.sh
  local held
  for held in tables topics; do
    scripts/servers.sh run scripts/nightly/brokers.py target/venv/bin/python host/esclusa/tests/fleet/group.py "$esclusa" plugins $held 100000 3 "2$(date +%j)" || return 1
  done
}
kills() {
  scripts/python.sh
  for seed in 1 2 3 4 5 6; do
    scripts/servers.sh run target/venv/bin/python host/esclusa/tests/fleet/fleet.py "$esclusa" plugins 100000 "$seed$(date +%j)" 10 || return 1
  done
}
attacks() { scripts/hostile.sh; }
kcl() { scripts/nightly/kcl/kcl.sh "$esclusa" plugins; }
soak() { python3 scripts/nightly/soak.py "$esclusa" plugins 300; }
churn() {
  scripts/guests.sh
  python3 scripts/nightly/churn.py "$esclusa" plugins target/guests "${CHURN:-1800}" 1000
}

failed=0
report() {
  echo "nightly $(date -u +%F) at $(git rev-parse --short HEAD), $(nproc) cores"
  for name in "$@"; do
    echo; echo "== $name"
    if "$name" 2>&1; then echo "-- $name: passed"; else echo "-- $name: FAILED"; failed=1; fi
  done
  return $failed
}
mkdir -p docs/nightly
report "$@" | tee -a "docs/nightly/$(date -u +%F).txt"
exit "${PIPESTATUS[0]}"
