#!/usr/bin/env bash
# Runs the example from nothing and checks its results:  examples/00-orders/run.sh [ORDERS]
set -euo pipefail
cd "$(dirname "$0")"
esclusa=../../target/release/esclusa
python=../../target/venv/bin/python
[ -x "$python" ] || ../../scripts/python.sh
rm -rf data
if [ $# -gt 0 ]; then ORDERS=$(realpath "$1"); else ORDERS=$PWD/data/orders.jsonl; mkdir data; ./sample.py > "$ORDERS"; fi
export ORDERS
$esclusa run -c routes.toml --until-idle
$esclusa table scan totals -c routes.toml | "$python" check.py "$ORDERS" data/lake
$esclusa audit -c routes.toml
