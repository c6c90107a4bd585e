#!/usr/bin/env bash
# Runs examples, each from nothing in a temporary directory, and compares their results:  examples/run.sh [--aws] [NAME...]
# --aws: on the servers that AWS_ENDPOINT_URL_… name; if none are named, on those of scripts/servers.sh.
set -euo pipefail
cd "$(dirname "$0")"
options=()
if [ "${1:-}" = --aws ]; then
  [ -n "${AWS_ENDPOINT_URL_KINESIS:-}" ] || exec ../scripts/servers.sh run ./run.sh "$@"
  options=(--aws)
  shift
fi
if [ $# -eq 0 ]; then
  set -- [0-9]*/
  [ ${#options[@]} -eq 0 ] || set -- */aws.toml
  set -- "${@%/*}"
fi
failed=() began=$SECONDS
for name in "$@"; do
  name=$(basename "$name")
  echo "== $name"
  start=$SECONDS
  timeout -k 5 600 "$name/run.sh" ${options[@]+"${options[@]}"} || failed+=("$name")
  echo "== $name: $((SECONDS - start)) s"
done
echo "== all: $((SECONDS - began)) s"
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}" >&2; exit 1; }
