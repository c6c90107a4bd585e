#!/usr/bin/env bash
# Runs the example from nothing and compares its results:  examples/06-bookings-lake/run.sh [--aws|--kafka]
. "$(dirname "$0")/../setup.sh"
plugin reports
./sample.py "$DATA"

start
send bookings event.json --raw                           # the event of the document, as it is
send bookings "$DATA/bookings.jsonl"
[ -n "$aws" ] || send salons "$DATA/salons.jsonl"
send history "$DATA/history-1.jsonl" --key booking_id
until=$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)
sleep 0.01                                               # the second half comes in later milliseconds
send history "$DATA/history-2.jsonl" --key booking_id
stop
esclusa run --until-idle
esclusa audit
[ -z "$aws" ] || "$PYTHON" "$aws" download lake "$DATA/analytics-bucket-s3"
"$PYTHON" report.py "$DATA/analytics-bucket-s3" > "$DATA/reports"
expect expected-reports.txt < "$DATA/reports"

both=("$DATA/history-1.jsonl" "$DATA/history-2.jsonl")
esclusa replay state --from TRIM_HORIZON --into rebuilt
esclusa replay state --from TRIM_HORIZON --until "$until" --into rebuilt-until
{
  echo "state: $(scan bookings | ./check.py "${both[@]}")"
  echo "rebuilt: $(scan rebuilt | ./check.py "${both[@]}")"
  echo "as of the middle: $(scan rebuilt-until | ./check.py "$DATA/history-1.jsonl")"
} > "$DATA/states"
expect expected-states.txt < "$DATA/states"

if [ -z "$aws" ]; then                                   # the reports go out by mail, while the router is killed
  timeout --foreground -k 5 240 "$PYTHON" reports.py > "$DATA/mails"
  expect expected-mails.txt < "$DATA/mails"
fi
