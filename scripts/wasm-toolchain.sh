#!/usr/bin/env bash
# Finds or makes a way to compile for wasm32-wasip2, and writes it to target/wasm/toolchain.env as exports:
#
#   rustup   the target is installed, or `rustup target add` installs it;
#   debian   neither works (no way to static.rust-lang.org): Debian's rustc with the sources of the standard library,
#            which is compiled for the target, and the linkers of the installed Rust toolchain.
#
# ESCLUSA_WASM=rustup|debian insists on one of them. Prints only errors and the names of what it installs.
set -euo pipefail
cd "$(dirname "$0")/.."

target=wasm32-wasip2
out=target/wasm
env_file=$out/toolchain.env
mode=${ESCLUSA_WASM:-auto}
packages="rustc-web rust-web-src wasi-libc"
mkdir -p "$out"

say() { echo "wasm-toolchain: $*" >&2; }

installed() { compgen -G "$(rustc --print sysroot)/lib/rustlib/$target/lib/libstd-*.rlib" >/dev/null; }

write() { # the exports on standard input; untouched if they are the same
  cat >"$env_file.new"
  if cmp -s "$env_file.new" "$env_file"; then rm "$env_file.new"; else mv "$env_file.new" "$env_file"; fi
}

use_rustup() {
  installed || {
    command -v rustup >/dev/null || return 1
    say "rustup target add $target"
    timeout 300 rustup target add "$target" >&2 || return 1
    installed || return 1
  }
  write <<<"export ESCLUSA_WASM_ARGS=''"
}

install_packages() {
  # shellcheck disable=SC2086 # the packages are words
  dpkg -s $packages >/dev/null 2>&1 && return
  say "installing $packages"
  local sudo=""
  [ "$(id -u)" = 0 ] || sudo="sudo -n"
  export DEBIAN_FRONTEND=noninteractive
  $sudo apt-get update -q >&2
  # shellcheck disable=SC2086
  $sudo apt-get install -y -q --no-install-recommends $packages >&2
}

use_debian() {
  install_packages
  local host rustlib sysroot version
  host=$(rustc -vV | sed -n 's/^host: //p')
  rustlib=$(rustc --print sysroot)/lib/rustlib/$host/bin
  for linker in wasm-component-ld gcc-ld/wasm-ld; do
    [ -x "$rustlib/$linker" ] || { say "$rustlib/$linker is missing: install a Rust toolchain with rustup"; return 1; }
  done
  # The sysroot: Debian's compiler and sources, and the C library at the path that the target expects.
  sysroot=$PWD/$out/sysroot
  mkdir -p "$sysroot/lib/rustlib/$target/lib/self-contained"
  ln -sfn /usr/lib/rustlib/src "$sysroot/lib/rustlib/src"
  ln -sfn "/usr/lib/rustlib/$host" "$sysroot/lib/rustlib/$host"
  for file in libc.a crt1-command.o crt1-reactor.o; do
    ln -sfn "/usr/lib/wasm32-wasi/$file" "$sysroot/lib/rustlib/$target/lib/self-contained/$file"
  done
  # The file names the compiler's version: a new compiler must not use files of an older one.
  version=$(/usr/bin/rustc --version)
  write <<EOF
# $version
export RUSTC=/usr/bin/rustc
export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS='--sysroot $sysroot'
export PATH="$rustlib:$rustlib/gcc-ld:\$PATH"
export ESCLUSA_WASM_ARGS='-Zbuild-std=std,panic_abort'
EOF
}

case $mode in
  rustup) use_rustup || { say "rustup cannot provide the target $target"; exit 1; } ;;
  debian) use_debian ;;
  auto) use_rustup || { say "rustup cannot provide the target $target; using Debian's compiler"; use_debian; } ;;
  *) say "ESCLUSA_WASM=$mode: the values are rustup and debian"; exit 1 ;;
esac
