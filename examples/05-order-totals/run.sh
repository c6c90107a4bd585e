#!/usr/bin/env bash
# Runs the example from nothing, killed again and again, and compares its results:  examples/05-order-totals/run.sh [--aws]
. "$(dirname "$0")/../setup.sh"
plugin commands
lives="0.1 0.15 0.2 0.25 0.3"
if [ -n "$aws" ]; then lives="4 5 6"; export ORDERS=300; fi # leases are free again after two seconds; the servers are slow
commands=$DATA/commands.jsonl
./sample.py ${ESCLUSA_SAMPLES:+"$ESCLUSA_SAMPLES/orders.jsonl"} > "$commands"

esclusa run --until-idle                                 # nothing to do yet: makes the store
send commands "$commands" --key order_id
for life in $lives; do
  timeout --foreground -s KILL "$life" "$ESCLUSA" run --until-idle && break || echo "killed after $life s"
done 2> "$DATA/log"
esclusa run --until-idle
scan totals > "$DATA/totals"
scan placed > "$DATA/placed"
./check.py "$commands" "$DATA/totals" "$DATA/placed" > "$DATA/days"
[ -n "${ESCLUSA_SAMPLES:-}$aws" ] || expect expected.txt < "$DATA/days"
esclusa audit
