"""Runs the attacks one after the other and prints a line for each: see scripts/hostile.sh."""
import argparse
import json
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

import router
from attacks import ATTACKS
from scene import Scene

LATE = 100.0  # milliseconds; or LATE_TIMES the idle p99, whichever is more
LATE_TIMES = 10
PROBES, PROBES_AGAIN = 500, 100
INTERVAL = 0.010  # seconds between two probes
UNSAID = 1 << 30  # bytes that a router may take that prints no sum
GAP = 3.0  # seconds that the witness may take for a commit
GRACE = 0.5  # seconds that a process needs to be gone


def main():
    options = arguments()
    names = [name for name in ATTACKS if not options.names or any(name.startswith(wanted) for wanted in options.names)]
    if not names:
        sys.exit(f"hostile: there is no attack {', '.join(options.names)}; --list lists them")
    if options.needs_servers:
        sys.exit(0 if any(ATTACKS[name].servers for name in names) else 1)
    if options.list:
        for name in names:
            print(f"{name:12} {ATTACKS[name].about}")
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(HEAD, flush=True)
    failed = [name for name in names if not run(name, options.keep)]
    print(f"{len(names) - len(failed)} of {len(names)} attacks held" + (f"; not {', '.join(failed)}" if failed else ""))
    sys.exit(1 if failed else 0)


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/hostile.sh", description="Attacks the release binary.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="an attack, or the beginning of several names; default: all")
    parser.add_argument("--keep", action="store_true", help="keep the directories")
    parser.add_argument("--list", action="store_true", help="list the attacks")
    parser.add_argument("--needs-servers", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


HEAD = (f"{'':12} {'probes late':>11} {'worst':>8} {'idle p99':>8} {'longest':>8} {'until':>7} {'peak':>9} {'children':>9} "
        f"{'allowed':>9}\n"
        f"{'attack':12} {'of ' + str(PROBES + PROBES_AGAIN):>11} {'ms':>8} {'ms':>8} {'gap s':>8} {'gone s':>7} {'MB':>9} {'MB':>9} {'MB':>9}")


class Measured:
    """The measurements of an attack."""

    def __init__(self):
        self.probes, self.idle = [], []
        self.gap = self.gone = 0.0
        self.memory = self.children = 0
        self.allowed = None
        self.failures = []

    def limit(self):
        return max(LATE, LATE_TIMES * self.p99())

    def p99(self):
        return sorted(self.idle)[len(self.idle) * 99 // 100] if self.idle else 0.0

    def late(self):
        return sum(probe > self.limit() for probe in self.probes)

    def verdict(self):
        """Everything that failed, in a few words each."""
        found = list(self.failures)
        if self.late():
            found.append("probes")
        if self.gap > GAP:
            found.append("commits")
        if self.gone is None or self.gone > router.DRAIN + router.CUT_OFF + GRACE:
            found.append("SIGTERM")
        if self.allowed is None:
            found.append("no sum")
        if self.memory > (self.allowed or UNSAID):
            found.append("memory")
        return list(dict.fromkeys(found))

    def line(self, name):
        def mb(count):
            return "-" if count is None else f"{count / 1e6:.0f}"
        gone = "killed" if self.gone is None else f"{self.gone:.1f}"
        worst = f"{max(self.probes):.0f}" if self.probes else "-"
        verdict = self.verdict()
        return (f"{name:12} {self.late():>11} {worst:>8} {self.p99():>8.1f} {self.gap:>8.1f} {gone:>7} {mb(self.memory):>9} "
                f"{mb(self.children):>9} {mb(self.allowed):>9}  {'FAIL: ' + ', '.join(verdict) if verdict else 'PASS'}")


def run(name, keep):
    """Runs one attack; True if the router held."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix=f"hostile-{name}-"))
    measured, scene = Measured(), Scene(directory)
    try:
        attack(ATTACKS[name](scene), scene, measured)
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        measured.failures.append(f"not run: {error}")
    finally:
        scene.router.kill()
        scene.calm()
    measured.failures += scene.failures
    print(measured.line(name), flush=True)
    for note in scene.notes:
        print(f"{'':12} {note}")
    if keep:
        print(f"{'':12} {directory}")
    else:
        shutil.rmtree(directory, ignore_errors=True)
    return not measured.verdict()


def attack(steps, scene, measured):
    """Both runs of the router: the attack, SIGTERM in the middle of it, and again on the same store."""
    next(steps)
    scene.write()
    measured.allowed = allowed(scene)
    if not begin(scene, measured):
        return
    measured.idle = scene.router.probe(200, 0.005)
    scene.before()
    live(steps, scene, measured, PROBES)
    next(steps, None)
    if begin(scene, measured):
        live(steps, scene, measured, PROBES_AGAIN)


def begin(scene, measured):
    if scene.router.start() is not None:
        return True
    ended = scene.router.process.poll()
    log = (scene.directory / "log").read_text(errors="replace").strip().splitlines()
    measured.failures.append("start" if scene.router.watch.killed or ended is None else f"start: {log[-1] if log else ended}")
    if ended is None:
        end(scene, measured)
    weigh(scene, measured)
    return False


def live(steps, scene, measured, probes):
    """The attack, the probes during it, and the end."""
    scene.router.watch.forget()
    def attack():
        try:
            next(steps, None)
        except Exception as error:  # an attack that breaks off has not been held off
            measured.failures.append(f"attack: {error!r}")
    scene.meanwhile(attack)
    measured.probes += scene.router.probe(probes, INTERVAL)
    scene.measured()
    measured.gap = max(measured.gap, scene.router.watch.gap())
    measured.failures += [f"no event for {route}" for route in scene.spared()]
    if scene.router.process.poll() is not None:
        measured.failures.append("killed for its memory" if scene.router.watch.killed else "ended by itself")
    else:
        end(scene, measured)
    weigh(scene, measured)
    scene.router.kill()
    scene.calm()


def end(scene, measured):
    gone = scene.router.stop()
    measured.gone = None if gone is None or measured.gone is None else max(measured.gone, gone)


def weigh(scene, measured):
    measured.memory = max(measured.memory, scene.router.watch.memory)
    measured.children = max(measured.children, scene.router.watch.children)


def allowed(scene):
    """The sum that `esclusa validate --limits` prints, in bytes."""
    arguments = [router.ESCLUSA, "validate", "--limits", "--json", "--no-plugins", "--no-connect"]
    printed = subprocess.run(arguments, cwd=scene.directory, capture_output=True, text=True, timeout=60)
    try:
        return json.loads(printed.stdout)["limits"]["sum"]
    except (ValueError, KeyError):
        return None


if __name__ == "__main__":
    main()
