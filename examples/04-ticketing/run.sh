#!/usr/bin/env bash
# Runs the example from nothing and compares its results:  examples/04-ticketing/run.sh [--aws]
. "$(dirname "$0")/../setup.sh"
plugin ticketing

timeout --foreground -k 5 120 "$PYTHON" story.py > "$DATA/story"
expect expected.txt < "$DATA/story"
timeout --foreground -k 5 240 "$PYTHON" rush.py
