#!/usr/bin/env bash
# Runs the example from nothing and compares its result:  examples/07-orders-kafka/run.sh --kafka
set -- --kafka
. "$(dirname "$0")/../setup.sh"
"$PYTHON" check.py > "$DATA/result"
expect expected.txt < "$DATA/result"
