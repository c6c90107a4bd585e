#!/usr/bin/env bash
# Runs the example from nothing and compares its results:  examples/02-low-stock/run.sh [--aws]
. "$(dirname "$0")/../setup.sh"
./producer.py 600 > "$DATA/events.jsonl"

start
send http-requests "$DATA/events.jsonl" --key product_id
stop
esclusa run --until-idle
[ -z "$aws" ] || "$PYTHON" "$aws" texts "$PHONE" > "$DATA/sms.txt"
LC_ALL=C sort "$DATA/sms.txt" | expect expected.txt             # text messages have no order
esclusa audit
