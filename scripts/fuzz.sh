#!/usr/bin/env bash
# Fuzz targets with feedback of coverage, by the stable compiler: its option for passes of LLVM gives libFuzzer the counters that
# cargo-fuzz needs a nightly compiler for.
#
#   scripts/fuzz.sh SECONDS [TARGET...]      kpl filters sdk_json answers http; without names: all of them, one after the other
#
# What is found lies in target/fuzz/found; make it smaller (scripts/fuzz.sh 0 TARGET -- -minimize_crash=1 FILE), mend it, and put it into
# fuzz/corpus/TARGET: from then on every test runs it. New inputs with new coverage stay in target/fuzz/TARGET. Exit code 1 if anything is found.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:?seconds for each target}; shift
targets=() options=()
while [ $# -gt 0 ]; do
  if [ "$1" = -- ]; then shift; options=("$@"); break; fi
  targets+=("$1"); shift
done
[ ${#targets[@]} -gt 0 ] || targets=(kpl filters sdk_json answers http)
features=()
case " ${targets[*]} " in *" answers "* | *" http "*) ;; *) features=(--no-default-features) ;; esac

flags="-Cpasses=sancov-module"
for flag in level=4 inline-8bit-counters pc-table trace-compares; do flags+=" -Cllvm-args=-sanitizer-coverage-$flag"; done
bins=(); for target in "${targets[@]}"; do bins+=(--bin "$target"); done
# With a target the flags are not those of build scripts and macros.
RUSTFLAGS=$flags cargo build --manifest-path fuzz/Cargo.toml --release --locked --target x86_64-unknown-linux-gnu \
  --target-dir target/fuzz/build "${features[@]}" "${bins[@]}"

mkdir -p target/fuzz/found
found=0
for target in "${targets[@]}"; do
  mkdir -p "target/fuzz/$target"
  echo "fuzz $target: $seconds seconds"
  # In a directory from which the contract is ../../wit, as for the tests.
  (cd host/esclusa && ESCLUSA_LOG=error "../../target/fuzz/build/x86_64-unknown-linux-gnu/release/$target" \
    -max_total_time="$seconds" -max_len=4096 -timeout=60 -rss_limit_mb=4096 -print_final_stats=1 \
    -artifact_prefix="../../target/fuzz/found/$target-" "${options[@]}" "../../target/fuzz/$target" "../../fuzz/corpus/$target" \
    2>"../../target/fuzz/$target.log") || { found=1; tail -n 40 "target/fuzz/$target.log"; }
  grep -E "^(stat::|Done)|DONE" "target/fuzz/$target.log" || true
done
exit $found
