#!/usr/bin/env bash
# Runs the example from nothing and compares its results:  examples/04-ticketing/run.sh [--aws]
. "$(dirname "$0")/../setup.sh"
plugin ticketing

story=()
if [ -z "$aws" ]; then                                   # routes.toml with the mails of smtp.toml, in a place of its own
  mkdir "$DATA/story"
  story=(env "DATA=$DATA/story" "ESCLUSA_CONFIG=$DATA/story/routes.toml")
  sed "/^\[output.mails\]/,/^$/d; s|\"../../plugins|\"$root/plugins|; s|\"plugin/|\"$here/plugin/|" routes.toml |
    cat - smtp.toml > "$DATA/story/routes.toml"
fi
mkdir -p "$DATA/document"
(                                                        # tables and mails of its own, on AWS too
  export DATA=$DATA/document SUFFIX=${SUFFIX:-}-document MAIL_FROM=document-${MAIL_FROM:-boletia@example.com}
  create
  timeout --foreground -k 5 120 "$PYTHON" document.py
)
timeout --foreground -k 5 120 ${story[@]+"${story[@]}"} "$PYTHON" story.py > "$DATA/answers"
expect expected.txt < "$DATA/answers"
timeout --foreground -k 5 240 "$PYTHON" rush.py
