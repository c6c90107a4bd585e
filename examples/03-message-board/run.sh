#!/usr/bin/env bash
# Runs the example from nothing and compares its results:  examples/03-message-board/run.sh [--aws]
. "$(dirname "$0")/../setup.sh"
plugin board

EVERY=300ms timeout --foreground -k 5 240 "$PYTHON" check.py > "$DATA/board"
expect expected.txt < "$DATA/board"
esclusa audit
