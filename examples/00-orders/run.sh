#!/usr/bin/env bash
# Runs the example from nothing and checks its results:  examples/00-orders/run.sh [ORDERS]
orders=${1:+$(realpath "$1")}
. "$(dirname "$0")/../setup.sh"
export ORDERS=${orders:-$DATA/orders.jsonl}
[ -n "$orders" ] || ./sample.py > "$ORDERS"

esclusa run --until-idle
esclusa table scan totals | "$PYTHON" check.py "$ORDERS" "$DATA/lake"
esclusa audit
