#!/usr/bin/env bash
# Runs the example from nothing and compares its results:  examples/02-low-stock/run.sh
. "$(dirname "$0")/../setup.sh"

start
./producer.py 600 | esclusa send http-requests --key product_id > "$DATA/ids"
stop
esclusa run --until-idle
expect expected.txt < "$DATA/sms.txt"
esclusa audit
