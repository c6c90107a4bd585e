#!/usr/bin/env bash
# Prints the path of an nginx: that of this machine, or Debian's, unpacked below target/tools without being installed. Fails with a
# word on what is missing if there is neither.
set -euo pipefail
cd "$(dirname "$0")/.."
version=1.22.1-9+deb12u11
if found=$(command -v nginx); then
  echo "$found"
  exit
fi
place=$PWD/target/tools/nginx
if [ ! -x "$place/usr/sbin/nginx" ]; then
  mkdir -p "$place"
  # Libraries come along, at the versions of the same release.
  if ! command -v apt-get > "$place/apt" || ! (
    cd "$place"
    apt-get download -q "nginx=$version" libpcre2-8-0 >&2 || { apt-get update -q >&2 && apt-get download -q "nginx=$version" libpcre2-8-0 >&2; }
    for package in *.deb; do dpkg -x "$package" .; done
  ); then
    echo "left out: it needs nginx, which is neither on this machine nor to be had from Debian" >&2
    exit 1
  fi
fi
cat > "$place/nginx" << END
#!/bin/sh
LD_LIBRARY_PATH=$place/usr/lib/x86_64-linux-gnu exec $place/usr/sbin/nginx "\$@"
END
chmod +x "$place/nginx"
echo "$place/nginx"
