#!/usr/bin/env bash
# Runs examples, each from nothing in a temporary directory, and compares their results:  examples/run.sh [NAME...]
set -euo pipefail
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- [0-9]*/
failed=()
for name in "$@"; do
  name=$(basename "$name")
  echo "== $name"
  timeout -k 5 600 "$name/run.sh" || failed+=("$name")
done
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}" >&2; exit 1; }
