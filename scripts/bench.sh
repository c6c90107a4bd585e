#!/usr/bin/env bash
# Benchmarks: the sandbox by criterion, then the whole router on 300,000 web requests through etl into a durable table, from a
# file and from a stream of 4 partitions, its start with a warm cache, and its memory when idle.
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
  if [ $kind = file ]; then cp ../requests.jsonl .; else "$esclusa" send requests ../requests.jsonl --key path 2>/dev/null; fi
  first=$(timed)
  again=$(timed)
  awk -v kind=$kind -v a="$first" -v b="$again" 'BEGIN {
    split(a, f); split(b, i)
    printf "durable etl from a %s: %d events/s by the clock, %.1f us of processor time an event\n", kind,
      300000 / (f[1] - i[1]), (f[2] + f[3] - i[2] - i[3]) / 0.3
    printf "start with a warm cache, nothing to do, and stop: %.0f ms\n", i[1] * 1000 }'
done
cd "$work/file"
sed -i 's/kind = "file"/kind = "file"\nfollow = true/' routes.toml
"$esclusa" run 2>/dev/null &
router=$!
sleep 2
awk '/VmRSS/ {printf "memory when idle: %.0f MB\n", $2 / 1024}' "/proc/$router/status"
kill "$router"
wait "$router" || true
