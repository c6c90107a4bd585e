#!/usr/bin/env python3
"""Runs a build command, and prints the processor seconds that it took: in all, and for each crate.

    scripts/build-times.py make build

cargo starts build-times-rustc.sh in place of rustc (RUSTC_WRAPPER), so the seconds of each crate are known. Processor seconds,
because the clock depends on the load of the machine. The work of build scripts (mostly C) is in the sum only.
"""

import collections
import os
import resource
import subprocess
import sys
import tempfile

# Crates of fewer seconds share one line.
SHOWN = 8.0
# Of a crate that was compiled without code, for lints.
CHECKED = " (checked)"


def seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(command):
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as lines:
        wrapper = os.path.join(os.path.dirname(os.path.realpath(__file__)), "build-times-rustc.sh")
        env = dict(os.environ, RUSTC_WRAPPER=wrapper, ESCLUSA_BUILD_TIMES=lines.name)
        ended = subprocess.run(command, env=env, check=False)
        crates = collections.Counter()
        for line in lines:
            # Other lines are what bash says of a rustc that a signal has ended.
            if line.count("\t") == 2 and not line.endswith("\t\n"):
                user, system, crate = line.rstrip("\n").replace(",", ".").split("\t")
                crates[crate] += float(user) + float(system)
    print(f"processor seconds: {seconds():.0f} in all, {sum(crates.values()):.0f} by rustc, of {len(crates)} crates:")
    checked = {crate: took for crate, took in crates.items() if crate.endswith(CHECKED)}
    if checked:
        print(f"{sum(checked.values()):8.1f}  of {len(checked)} crates that were checked for lints, without code")
    for crate in checked:
        del crates[crate]
    shown = [(took, crate) for crate, took in crates.items() if took >= SHOWN]
    for took, crate in sorted(shown, reverse=True):
        print(f"{took:8.1f}  {crate}")
    print(f"{sum(crates.values()) - sum(took for took, _ in shown):8.1f}  {len(crates) - len(shown)} crates of less than {SHOWN:.0f} s each")
    return ended.returncode


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    code = main(sys.argv[1:])
    sys.exit(code if code >= 0 else 128 - code)
