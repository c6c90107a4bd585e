#!/usr/bin/env bash
# Runs cargo-deny with the arguments given: checks licences, sources and versions of dependencies. Builds it into target/tools first,
# if this version is not there; unoptimised, since it runs for a second.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.20.2
tools=$PWD/target/tools
if ! "$tools/bin/cargo-deny" --version 2>/dev/null | grep -qF "cargo-deny $version"; then
  cargo install --quiet --locked --debug --no-default-features --root "$tools" --target-dir "$tools/build" \
    cargo-deny --version "$version"
  # It is not built again before the version changes.
  rm -rf "$tools/build"
fi
exec "$tools/bin/cargo-deny" --workspace --locked "$@"
