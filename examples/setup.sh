# Sourced by each run.sh: chooses the router and the Python, makes a temporary directory for the data, and has the shared functions.
#
# With --aws the example runs on aws.toml and the servers that AWS_ENDPOINT_URL_… name; if none are named, on those
# of scripts/servers.sh. It creates what it needs there, under names of this run. With --kafka it runs on kafka.toml, on the same
# servers and the Kafka at KAFKA_BOOTSTRAP_SERVERS; on a machine without it (it needs Java 17 and Maven) it does nothing, and says so.
#
#   ESCLUSA          the router; default target/release/esclusa, which `make build` makes
#   PYTHON           a Python with DuckDB; default target/venv, which is made if it is missing
#   ESCLUSA_SAMPLES  a directory with real samples; without it the examples generate their own
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
if [[ ${1:-} = --@(aws|kafka) && -z ${AWS_ENDPOINT_URL_KINESIS:-} ]]; then exec "$root/scripts/servers.sh" run "$0" "$@"; fi
if [ "${1:-}" = --kafka ] && [ -z "${KAFKA_BOOTSTRAP_SERVERS:-}" ]; then
  echo "${here##*/}: left out, there is no Kafka: set KAFKA_BOOTSTRAP_SERVERS, or install Java 17 and Maven" >&2
  exit 0
fi
ESCLUSA=$(realpath -s "${ESCLUSA:-$root/target/release/esclusa}")
[ -x "$ESCLUSA" ] || { echo "${here##*/}: there is no router at $ESCLUSA: make it with \`make build\`, or set ESCLUSA" >&2; exit 2; }
if [ -z "${PYTHON:-}" ]; then
  PYTHON=$root/target/venv/bin/python
  "$root/scripts/python.sh"
fi
DATA=$(mktemp -d)
export ESCLUSA PYTHON DATA
export ESCLUSA_CONFIG=$here/routes.toml LISTEN=127.0.0.1:0 API=127.0.0.1:0 ESCLUSA_LOG=${ESCLUSA_LOG:-error}
export PYTHONPATH=$root/examples PYTHONDONTWRITEBYTECODE=1
cd "$here"

aws= kafka=
if [[ ${1:-} = --@(aws|kafka) ]]; then
  aws=$root/examples/aws.py
  [ "$1" = --aws ] || kafka=$root/examples/topics.py
  number=$(printf %07d $$)
  export EXAMPLES_AWS=1 ESCLUSA_CONFIG=$here/${1#--}.toml SUFFIX=-${here##*/}-$$
  export PHONE=+1555$number MAIL_FROM=boletia-$$@example.com
  shift
fi

# Creates everything that the configuration names on AWS and in Kafka and that is missing.
create() {
  [ -z "$aws" ] || timeout 120 "$PYTHON" "$aws" create
  [ -z "$kafka" ] || timeout 120 "$PYTHON" "$kafka" create
}
create

# The router, or a command of it. Nothing here takes two minutes.
esclusa() { timeout -k 5 120 "$ESCLUSA" "$@"; }

# Events into a source: SOURCE FILE [--key FIELD] [--raw].
send() {
  if [ -n "$aws" ]; then timeout 120 "$PYTHON" "${kafka:-$aws}" send "$@"; else esclusa send "$@" > "$DATA/ids"; fi
}

# The items of a table.
scan() {
  if [ -n "$aws" ]; then timeout 120 "$PYTHON" "$aws" scan "$1"; else esclusa table scan "$1"; fi
}

# Starts the router in the background, and waits until it runs.
start() {
  rm -f "$DATA/engine/router.json"
  # In the foreground: otherwise timeout passes a signal on twice, and the second one ends the router at once.
  timeout --foreground -k 5 300 "$ESCLUSA" run 2> "$DATA/log" &
  router=$!
  # Machines may be busy: what counts is that the router lives.
  for _ in $(seq 1200); do
    grep -qs '"phase":"running"' "$DATA/engine/router.json" && return
    kill -0 "$router" 2> "$DATA/none" || break
    sleep 0.1
  done
  cat "$DATA/log" >&2
  echo "the router does not run: $(cat "$DATA/engine/router.json")" >&2
  return 1
}

# Stops it: events in flight are finished.
stop() {
  local ended=0
  kill "$router"
  wait "$router" || ended=$?
  router=
  [ $ended = 0 ] || { cat "$DATA/log" >&2; echo "the router ended with $ended" >&2; }
  return $ended
}

# Builds the example's own plugin, plugin/NAME.wasm, if it is missing or older than its sources.
plugin() {
  local built=$here/plugin/$1.wasm
  [ -f "$built" ] && [ -z "$(find "$here/plugin/src" "$root/plugins/sdk/src" "$root/wit" -newer "$built")" ] && return
  "$root/scripts/plugins.sh" "$here/plugin" "example-$1=$1"
  touch "$built"
}

# Compares the result (standard input) with an expected file.
expect() {
  diff -u "$here/$1" - || { echo "$(basename "$here"): the result is not $1" >&2; exit 1; }
}

finish() {
  [ -z "${router:-}" ] || kill "$router" || true
  rm -rf "$DATA"
}
trap finish EXIT
