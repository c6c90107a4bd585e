#!/usr/bin/env bash
# Benchmarks: the sandbox by criterion, then the whole router on 300,000 web requests through etl into a durable table,
# its start with a warm cache, and its memory when idle.
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
cat > "$work/routes.toml" <<TOML
version = 1
[engine]
path = "data"
[source.requests]
kind = "file"
path = "requests.jsonl"
[table.requests]
kind = "embedded"
partition_key = "pk"
sort_key = "sk"
[[route]]
name = "requests"
source = "requests"
plugin = "$PWD/plugins/etl.wasm"
tables = ["requests"]
batch_size = 1000
config = { table = "requests", key = { pk = "path#{path}", sk = "{timestamp}" } }
TOML
esclusa="$PWD/target/release/esclusa"
cd "$work"
mv requests.jsonl all.jsonl
touch requests.jsonl
"$esclusa" run --until-idle 2>/dev/null # compiles the plugin
mv all.jsonl requests.jsonl
TIMEFORMAT='%R %U %S'
timed() { { time "$esclusa" run --until-idle 2>/dev/null; } 2>&1; }
first=$(timed)
again=$(timed)
awk -v a="$first" -v b="$again" 'BEGIN {
  split(a, f); split(b, i)
  printf "durable etl: %d events/s by the clock, %.1f us of processor time an event\n", 300000 / (f[1] - i[1]), (f[2] + f[3]) / 0.3
  printf "start with a warm cache, nothing to do, and stop: %.0f ms\n", i[1] * 1000 }'
sed -i 's/kind = "file"/kind = "file"\nfollow = true/' routes.toml
"$esclusa" run 2>/dev/null &
router=$!
sleep 2
awk '/VmRSS/ {printf "memory when idle: %.0f MB\n", $2 / 1024}' "/proc/$router/status"
kill "$router"
wait "$router" || true
