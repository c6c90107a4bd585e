#!/usr/bin/env bash
# Runs the example from nothing and compares its results:  examples/01-http-logs/run.sh [--aws]
. "$(dirname "$0")/../setup.sh"
requests=$DATA/requests.jsonl
if [ -n "${ESCLUSA_SAMPLES:-}" ]; then cp "$ESCLUSA_SAMPLES/http-requests.jsonl" "$requests"; else ./producer.py 400 > "$requests"; fi

start                                                    # the route begins with the next request: LATEST
[ -z "$aws" ] || timeout 120 "$PYTHON" "$aws" begun http-requests
send http-requests "$requests" --key path
stop
esclusa run --until-idle                                 # goes on where it stopped
scan HttpRequests | ./check.py "$requests" > "$DATA/paths"
[ -n "${ESCLUSA_SAMPLES:-}" ] || expect expected.txt < "$DATA/paths"
esclusa audit
