#!/usr/bin/env bash
# Compiles the guests that only tests use into target/guests.
set -euo pipefail
cd "$(dirname "$0")/.."
exec scripts/plugins.sh target/guests esclusa-hostile=hostile esclusa-probe=probe
