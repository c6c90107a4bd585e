#!/usr/bin/env python3
"""Switches the mend of each row of the catalogue off, and sees its test fail: see scripts/guards.sh.

A switch is a table of scripts/guards/*.toml, named after its row:

    [K1]
    off = "what is so with the mend switched off"
    file = "host/aws/src/lineage.rs"
    code = '''the code, which is in the file exactly once'''
    guard = '''the code with the mend off if OFF(K1), else as it was'''
    test = "host/aws/src/lineage/tests.rs: children_wait_for_all_parents"      one of the row's tests, or a list of them
    same = "K10"      instead of file, code and guard: this row is off when that one is
    hangs = 20        with the mend off the test does not end within so many seconds; only then is that a failure
    [[K1.more]]       further edits: file, code and guard
"""
import json, os, pathlib, re, shutil, subprocess, sys, time, tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOME = ROOT / "target/guards"
TREE, BUILT = HOME / "tree", HOME / "target"
# Seconds after which a test is ended that is not expected to hang.
LIMIT = 240
# True if a row is off. An expression, so that production code needs no module for it; it is evaluated once, since some code is hot.
OFF = ('({{ static OFF: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| std::env::var_os("ESCLUSA_GUARD_OFF")'
       '.is_some_and(|row| row == "{}")); *OFF }})')


def switches():
    found = {}
    for path in sorted((ROOT / "scripts/guards").glob("*.toml")):
        found.update(tomllib.loads(path.read_text()))
    return dict(sorted(found.items(), key=lambda row: (row[0][0], int(row[0][1:]))))


def edits(switch):
    return [edit for edit in [switch, *switch.get("more", [])] if "code" in edit]


def tests(switch):
    named = switch["test"] if isinstance(switch["test"], list) else [switch["test"]]
    return [tuple(test.split(": ")) for test in named]


def guarded(path, text, of_file):
    """The text of a file with all its switches in it."""
    places = []
    for row, edit in of_file:
        if text.count(edit["code"]) != 1:
            sys.exit(f"guards: {row}: its code is {text.count(edit['code'])} times in {path}: {edit['code']!r}")
        start = text.index(edit["code"])
        guard = re.sub(r"OFF\((\w+)\)", lambda found: OFF.format(found[1]), edit["guard"])
        places.append((start, start + len(edit["code"]), guard, row))
    places.sort()
    for (_, end, _, one), (start, _, _, other) in zip(places, places[1:]):
        if start < end:
            sys.exit(f"guards: {one} and {other} change the same code of {path}: put both into one of them")
    for start, end, guard, _ in reversed(places):
        text = text[:start] + guard + text[end:]
    return text


def copy_tree(rows):
    """Brings the copy of the checkout up to date; files that stay as they are keep their time, so little is compiled again."""
    by_file = {}
    for row, switch in rows.items():
        for edit in edits(switch):
            by_file.setdefault(edit["file"], []).append((row, edit))
    listed = subprocess.run(["git", "ls-files", "-zco", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True)
    names = [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    names += [str(path.relative_to(ROOT)) for path in (ROOT / "plugins").glob("*.wasm")]
    for name in names:
        content = (ROOT / name).read_bytes()
        if name in by_file:
            content = guarded(name, content.decode(), by_file.pop(name)).encode()
        copy = TREE / name
        if not copy.is_file() or copy.read_bytes() != content:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
            shutil.copymode(ROOT / name, copy)
    if by_file:
        sys.exit(f"guards: there is no file {', '.join(by_file)}")
    for folder, _, files in os.walk(TREE):
        relative = pathlib.Path(folder).relative_to(TREE)
        if relative.parts[:1] != ("target",):
            for name in files:
                if not (ROOT / relative / name).is_file():
                    (TREE / relative / name).unlink()
    (TREE / "target").mkdir(exist_ok=True)
    for shared in ["guests", "venv"]:
        if not (TREE / "target" / shared).is_symlink():
            (TREE / "target" / shared).symlink_to(ROOT / "target" / shared)


def copy_built():
    """Takes over the dependencies that are compiled already. Only files that no compiler writes in place are linked."""
    source = ROOT / "target/release"
    if BUILT.is_dir() or not source.is_dir():
        return
    for part in ["deps", "build", ".fingerprint"]:
        def place(one, other):
            linked = part == "deps" and one.endswith((".rlib", ".rmeta", ".so")) and "esclusa" not in one.rsplit("/", 1)[1]
            os.link(one, other) if linked else shutil.copy2(one, other)
        def programs(_, names):
            return [name for name in names if part == "deps" and "." not in name]
        shutil.copytree(source / part, BUILT / "release" / part, copy_function=place, symlinks=True, ignore=programs)


def build(wanted):
    """Compiles the tests of the files, and gives their programs by crate and target."""
    targets = sorted({"--lib" if kind == "lib" else f"--test={kind}" for _, kind in wanted})
    command = ["cargo", "test", "--no-run", "--release", "--locked", "--workspace", "--message-format=json", *targets]
    env = dict(os.environ, CARGO_TARGET_DIR=str(BUILT))
    run = subprocess.run(command, cwd=TREE, env=env, stdout=subprocess.PIPE, text=True)
    messages = [json.loads(line) for line in run.stdout.splitlines()]
    if run.returncode != 0:
        # Warnings are left out: a guard need not be beautiful.
        errors = [m["message"]["rendered"] for m in messages if m.get("message", {}).get("level") == "error"]
        sys.exit("\n".join([*errors, "guards: the copy with all switches does not compile"]))
    programs = {}
    for message in messages:
        if message.get("reason") == "compiler-artifact" and message.get("executable") and message["profile"]["test"]:
            crate = str(pathlib.Path(message["manifest_path"]).parent.relative_to(TREE))
            kind = "lib" if "lib" in message["target"]["kind"] else message["target"]["name"]
            programs[crate, kind] = message["executable"]
    return programs


def target(path):
    """The crate and the test target of a file, and its module there."""
    crate = str(pathlib.Path(*pathlib.Path(path).parts[:2]))
    kind, *module = pathlib.Path(path).relative_to(crate).with_suffix("").parts
    if kind == "src":
        return (crate, "lib"), [part for part in module if part != "lib"]
    return (crate, module[0]), [part for part in module[1:] if part != "main"]


def full_name(programs, path, name):
    """The program that holds a test, and the test's name there."""
    key, module = target(path)
    program = programs[key]
    listed = subprocess.run([program, "--list", "--format=terse"], capture_output=True, text=True, check=True).stdout
    known = [line.removesuffix(": test") for line in listed.splitlines() if line.endswith(": test")]
    # A file with tests in a module has one step more, one whose target holds all in a module has one before.
    steps = lambda test: [step for step in test.split("::")[:-1] if step not in ("tests", kind)]
    kind, named = key[1], [step for step in module if step != "tests"]
    found = [test for test in known if test.split("::")[-1] == name and steps(test) == named]
    if len(found) != 1:
        sys.exit(f"guards: {path} has {len(found)} tests {name}")
    return key[0], program, found[0]


def run(test, off, limit):
    """Runs one test: "passed", "failed" or "hangs", and why it failed."""
    crate, program, name = test
    env = dict(os.environ, CARGO_MANIFEST_DIR=str(TREE / crate))
    env.pop("ESCLUSA_GUARD_OFF", None)
    if off:
        env["ESCLUSA_GUARD_OFF"] = off
    started = subprocess.Popen([program, "--exact", name], cwd=TREE / crate, env=env, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
    try:
        output, _ = started.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, 9)
        started.communicate()
        return "hangs", f"no end within {limit} s"
    if started.returncode == 0 and "test result: ok. 1 passed" in output:
        return "passed", ""
    panic = re.search(r"panicked at (\S+?):\d+:\n(.*(?:\n {1,2}(?:left|right).*)*)", output)
    if "test result: FAILED. 0 passed; 1 failed" in output and panic:
        return "failed", f"{panic[1]}: {' '.join(panic[2].split())[:160]}"
    return "broke", output[-600:]


def main(chosen):
    rows = switches()
    if unknown := [row for row in chosen if row not in rows]:
        sys.exit(f"guards: there is no switch for {', '.join(unknown)}")
    copy_tree(rows)
    copy_built()
    chosen = chosen or list(rows)
    wanted = {test: None for row in chosen for test in tests(rows[row])}
    programs = build({target(path)[0] for path, _ in wanted})
    wanted = {test: full_name(programs, *test) for test in wanted}
    begun, broken = time.monotonic(), {}
    for test in wanted:
        result, why = run(wanted[test], None, LIMIT)
        if result != "passed":
            broken[test] = f"{result} with nothing switched off: {why}"
            print(f"{test[1]}: {broken[test]}", flush=True)
    red = 0
    for row in chosen:
        switch, ends = rows[row], []
        limit = switch.get("hangs", LIMIT)
        for test in tests(switch):
            result, why = (broken[test], "") if test in broken else run(wanted[test], switch.get("same", row), limit)
            ends.append((result == "failed" or (result == "hangs" and "hangs" in switch), test[1], result, why))
        good = all(end[0] for end in ends)
        red += good
        print(f"{row:4} {'red  ' if good else 'GREEN'} {switch['off']}", flush=True)
        for _, name, result, why in ends:
            print(f"           {name}: {result} {why}", flush=True)
    print(f"{len(chosen)} rows, {red} red, {len(chosen) - red} green ({time.monotonic() - begun:.0f} s)")
    return 0 if red == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
