#!/usr/bin/env bash
# Runs rustc as cargo asks for it, and notes its processor seconds in the file ESCLUSA_BUILD_TIMES, for scripts/build-times.py. In bash, because a
# build starts rustc two thousand times: Python takes a tenth of a second each time, and would be a twentieth of what it measures.
crate='' tests='' checked=''
previous=''
for argument in "$@"; do
  [ "$previous" != --crate-name ] || crate=$argument
  case $argument in
    --test) tests=' (tests)' ;;
    */lint-rustc.sh) checked=' (checked)' ;;
  esac
  previous=$argument
done
case $crate in build_script_*) crate=${CARGO_PKG_NAME//-/_} tests=' (build script)' ;; esac
# Messages of rustc go where they would go; those of `time` into the variable's file. cargo's job server hands its tokens over inherited files with low
# numbers.
TIMEFORMAT="%U"$'\t'"%S"$'\t'"$crate$tests$checked"
exec 199>&2
{ time "$@" 2>&199 199>&-; } 2>>"$ESCLUSA_BUILD_TIMES"
