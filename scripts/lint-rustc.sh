#!/usr/bin/env bash
# Checks a crate of the workspace for lints; cargo starts it in place of rustc (RUSTC_WORKSPACE_WRAPPER). `cargo clippy` checks the hundreds of
# crates that are not ours as well, for what it needs to know of them, a third of what compiling them costs. Here clippy reads that from
# what the tests have compiled.
set -euo pipefail
arguments=() crate='' suffix='' directory=''
previous=''
for argument in "$@"; do
  case $argument in
    # No code is made, only what the lints of other crates of the workspace need to know of this one.
    --emit=*) argument=--emit=dep-info,metadata ;;
    *=*.rlib) argument=${argument%.rlib}.rmeta ;;
    extra-filename=*) suffix=${argument#*=} ;;
  esac
  case $previous in
    --crate-name) crate=$argument ;;
    --out-dir) directory=$argument ;;
  esac
  arguments+=("$argument")
  previous=$argument
done
case $crate in
  # cargo asks what rustc is.
  '' | ___) exec "$@" ;;
  # It runs build scripts, so they need their code.
  build_script_*) exec clippy-driver "$@" -D warnings ;;
esac
clippy-driver "${arguments[@]}" -D warnings
# Files that cargo looks for: without them it would check the crate again next time. Those of a plugin have the same names as its compiled ones, so
# cargo compiles the plugins again for the next tests: small crates, and the tests of the sandbox.
touch "$directory/"{"$crate$suffix",lib"$crate$suffix".{rlib,so}}
