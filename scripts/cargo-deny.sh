#!/usr/bin/env bash
# Runs cargo-deny with the given arguments: checks licences, sources and versions of dependencies. If this version is missing, builds it into
# target/tools first; unoptimised and as one piece for each crate, because it runs for a second.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.20.2
tools=$PWD/target/tools
if ! "$tools/bin/cargo-deny" --version 2>/dev/null | grep -qF "cargo-deny $version"; then
  cargo install --quiet --locked --debug --no-default-features --root "$tools" --target-dir "$tools/build" \
    --config profile.dev.debug=false --config profile.dev.codegen-units=1 \
    cargo-deny --version "$version"
  # Not needed any more: it is built again only if the version changes.
  rm -rf "$tools/build"
fi
exec "$tools/bin/cargo-deny" --workspace --locked "$@"
