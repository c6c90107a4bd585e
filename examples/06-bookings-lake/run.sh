#!/usr/bin/env bash
# Runs the example from nothing and compares its results:  examples/06-bookings-lake/run.sh
. "$(dirname "$0")/../setup.sh"
./sample.py "$DATA"

start
esclusa send bookings event.json --raw > "$DATA/ids"     # the event of the document, as it is
esclusa send bookings "$DATA/bookings.jsonl" >> "$DATA/ids"
esclusa send history "$DATA/history-1.jsonl" --key booking_id >> "$DATA/ids"
UNTIL=$(date +%s%3N)
export UNTIL
sleep 0.01                                               # the second half comes in later milliseconds
esclusa send history "$DATA/history-2.jsonl" --key booking_id >> "$DATA/ids"
stop
esclusa run --until-idle
esclusa audit
"$PYTHON" report.py "$DATA/analytics-bucket-s3" > "$DATA/reports"
expect expected-reports.txt < "$DATA/reports"

esclusa run -c rebuild.toml --until-idle
both=("$DATA/history-1.jsonl" "$DATA/history-2.jsonl")
{
  echo "state: $(esclusa table scan bookings | ./check.py "${both[@]}")"
  echo "rebuilt: $(esclusa table scan rebuilt -c rebuild.toml | ./check.py "${both[@]}")"
  echo "as of the middle: $(esclusa table scan rebuilt-until -c rebuild.toml | ./check.py "$DATA/history-1.jsonl")"
} > "$DATA/states"
expect expected-states.txt < "$DATA/states"
