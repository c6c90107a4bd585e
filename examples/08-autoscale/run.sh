#!/usr/bin/env bash
# Runs the example from nothing and compares its results:  examples/08-autoscale/run.sh --aws
# It needs nginx: the one of this machine, or one that scripts/nginx.sh gets from Debian; without either it says so and does nothing.
[ "${1:-}" = --aws ] || set -- --aws
. "$(dirname "$0")/../setup.sh"
nginx=$("$root/scripts/nginx.sh") || exit 0
plugin sales
timeout --foreground -k 5 540 env NGINX_BINARY="$nginx" "$PYTHON" burst.py
