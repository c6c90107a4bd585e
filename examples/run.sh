#!/usr/bin/env bash
# Runs examples, each from nothing in a temporary directory, and compares their results:  examples/run.sh [--aws|--kafka] [NAME...]
# --aws: on the servers that AWS_ENDPOINT_URL_… name; if none are named, on those of scripts/servers.sh. --kafka: on these and on the Kafka at
# KAFKA_BOOTSTRAP_SERVERS; each example says that it is left out if there is none (it needs Java 17 and Maven).
set -euo pipefail
cd "$(dirname "$0")"
options=()
if [[ ${1:-} = --@(aws|kafka) ]]; then
  [ -n "${AWS_ENDPOINT_URL_KINESIS:-}" ] || exec ../scripts/servers.sh run ./run.sh "$@"
  options=("$1")
  shift
fi
if [ $# -eq 0 ]; then
  kind=${options[0]---routes}
  set -- */"${kind#--}.toml"
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
