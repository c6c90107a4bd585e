#!/usr/bin/env bash
# Benchmarks: the sandbox, with criterion; then the whole router with 300,000 web requests through etl into a durable table, from a
# file and from a stream of 4 partitions; its start with a warm cache; and its memory when idle.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo bench --locked -p esclusa-sandbox --bench call
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 - "$work/requests.jsonl" <<'PY'
import json, sys
with open(sys.argv[1], "w") as out:
    for n in range(300_000):
        out.write(json.dumps({
            "path": f"/presentations/{n % 997}/kibana-search.png", "method": "GET", "status": 200, "bytes": n % 250_000,
            "referrer": "http://example.com/presentations/", "ip": "192.0.2.16",
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Safari/537.36",
            "timestamp": f"2015-05-17T10:05:03.{n:06}Z"}) + "\n")
PY
esclusa="$PWD/target/release/esclusa"
plugins="$PWD/plugins"
TIMEFORMAT='%R %U %S'
timed() { { time "$esclusa" run --until-idle 2>/dev/null; } 2>&1; }
for kind in file stream; do
  mkdir "$work/$kind"
  cd "$work/$kind"
  if [ $kind = file ]; then where='path = "requests.jsonl"'; else where='partitions = 4'; fi
  cat > routes.toml <<TOML
version = 1
[engine]
path = "data"
[source.requests]
kind = "$kind"
$where
[table.requests]
kind = "embedded"
partition_key = "pk"
sort_key = "sk"
[[route]]
name = "requests"
source = "requests"
plugin = "$plugins/etl.wasm"
tables = ["requests"]
batch_size = 1000
config = { table = "requests", key = { pk = "path#{path}", sk = "{timestamp}" } }
TOML
  touch requests.jsonl
  "$esclusa" run --until-idle 2>/dev/null # makes the store and compiles the plugin
  # The run below begins with an empty store: so does the start that is subtracted from it. A full store starts more slowly.
  empty=$(timed)
  if [ $kind = file ]; then cp ../requests.jsonl .; else "$esclusa" send requests ../requests.jsonl --key path 2>/dev/null; fi
  run=$(timed)
  full=$(timed)
  awk -v kind=$kind -v a="$run" -v b="$empty" -v c="$full" 'BEGIN {
    split(a, run); split(b, empty); split(c, full)
    printf "durable etl from a %s: %d events/s by the clock, %.1f us of processor time an event\n", kind,
      300000 / (run[1] - empty[1]), (run[2] + run[3] - empty[2] - empty[3]) / 0.3
    printf "start with a warm cache, nothing to do, and stop: %.0f ms, with 300,000 items in the store %.0f ms\n",
      empty[1] * 1000, full[1] * 1000 }'
done
cd "$work/file"
sed -i 's/kind = "file"/kind = "file"\nfollow = true/' routes.toml
"$esclusa" run 2>/dev/null &
router=$!
sleep 2
awk '/VmRSS/ {printf "memory when idle: %.0f MB\n", $2 / 1024}' "/proc/$router/status"
kill "$router"
wait "$router" || true
