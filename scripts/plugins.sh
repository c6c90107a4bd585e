#!/usr/bin/env bash
# Compiles guests to WebAssembly: without arguments the five plugins, to plugins/*.wasm; with arguments the named packages:
#
#   scripts/plugins.sh DIRECTORY PACKAGE=LIBRARY...      esclusa-etl=etl gives DIRECTORY/etl.wasm
#
# A file is replaced only if its content changes, so that a router that watches it need not load it again.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -eq 0 ]; then
  set -- plugins esclusa-etl=etl esclusa-aggregate=aggregate esclusa-inventory=inventory esclusa-alert=alert \
    esclusa-parquet=parquet
fi
directory=$1
shift

scripts/wasm-toolchain.sh
# A directory of its own: the compilers differ, and a build of the host at the same time would wait for its lock.
export CARGO_TARGET_DIR=$PWD/target/wasm
# A dependency draws hash seeds while it is compiled; with this one the same sources give the same component.
export CONST_RANDOM_SEED=esclusa

arguments=()
for guest in "$@"; do arguments+=(-p "${guest%%=*}"); done
(
  # shellcheck disable=SC1091 # written by wasm-toolchain.sh
  . target/wasm/toolchain.env
  # Keeps paths of this machine out of the plugin.
  remap="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo --remap-path-prefix=$PWD=."
  export CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS="${CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS:-} $remap"
  # shellcheck disable=SC2086 # the arguments are words
  cargo build --locked --profile plugin --target wasm32-wasip2 $ESCLUSA_WASM_ARGS "${arguments[@]}"
)

mkdir -p "$directory"
for guest in "$@"; do
  name=${guest#*=}
  built=target/wasm/wasm32-wasip2/plugin/$name.wasm
  if ! cmp -s "$built" "$directory/$name.wasm"; then
    # Renamed into place: a router that watches the directory never sees half a file.
    cp "$built" "$directory/.$name.wasm.new"
    mv "$directory/.$name.wasm.new" "$directory/$name.wasm"
    echo "$directory/$name.wasm"
  fi
done
