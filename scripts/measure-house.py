#!/usr/bin/env python3
"""Measures the Rust sources of host/ and plugins/ and prints one table: sizes, names, comments, words, imports.

    scripts/measure-house.py [DIR] [--json]      DIR: the root of a checkout, by default this one; --json: for machines
    scripts/measure-house.py [DIR] --list M      what metric M counts: file:line name; a wrong M prints all metrics

Production code is measured: not directories named tests, files tests.rs and items behind #[cfg(test)].
"""
import argparse, bisect, collections, itertools, json, math, pathlib, re

Hit = collections.namedtuple("Hit", "path line name size", defaults=(0,))
# A comment, or a string or character literal. A lifetime such as 'a has no closing quote, so it does not match.
TOKEN = re.compile(r"""(?P<comment>//[^\n]*|/\*.*?\*/)|\bb?r(?P<hashes>\#*)".*?"(?P=hashes)|b?"(?:\\.|[^"\\])*"
    |b?'(?:\\u\{[^}]*\}|\\x..|\\.|[^\\'\n])'""", re.S | re.X)
TEST_ITEM = re.compile(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*"
                       r"[^;{]*?\b(?:use\b[^;]*|mod\s+(?P<mod>\w+)\s*)?(?=[;{])")
# A `type` that is indented belongs to a trait or an impl: it is not counted.
TYPE = re.compile(r"^(?: *(?:pub(?:\([^)]*\))?\s+)?(?:unsafe\s+)?(?:struct|enum|trait|union)"
                  r"|(?:pub(?:\([^)]*\))?\s+)?type)\s+(\w+)", re.M)
PUB = re.compile(r"^ *(pub\b(?:\([^)]*\))?)\s+(?:(?:async|const|unsafe|extern)\s+)*"
                 r"(?:fn|struct|enum|union|trait|type|const|static|mod|use)\s+(\w+)", re.M)
USE = re.compile(r"\buse\s+([^;]+);")
INLINE_PATH = re.compile(r"(?<![\w:$])(?:crate|self|super)(?:\s*::\s*\w+)+")
NAMES = {"stems": r"[^_-]+", "types": r"[A-Z]+|[A-Z][^A-Z]*", "functions": r"_*[^_]+_*"}  # One word of each kind.
SPACE = lambda found: re.sub(r"[^\n]", " ", found[0])  # Blanks a match; lines stay lines.
# Words of comments and documents, by their metric. `where-if` is an estimate of the conditions among all uses: not
# after a word that asks for a place, and at the start of a sentence only before a comma or under Errors and Panics.
WORDS = {
    "where": r"(?i)\bwhere\b",
    "where-if": r"(?<!\bof )(?<!\bto )(?<!\bfrom )(?<!\band )(?<!\bsay )(?<!\bsays )(?<!\bknow )(?<!\bknows )"
                r"(?<!\bsee )\bwhere\b|\bWhere\b[^.;:]*,|(?<=# Errors )Where\b|(?<=# Panics )Where\b",
    "what": r"(?i)\bwhat\b", "whoever": r"(?i)\bwhoever\b",
    "told": r"\b(?:tell|tells|told)\b", "see-the-module": r"See the module\.",
}
LEGEND = f"""\
same2+, same3+: types (share), or files (number of stems), whose name at least two or three bear, in all crates.
plain, doc: // and /// or //! per 100 lines that are neither blank nor only a comment.
parent-child: modules that use items of a module above them. poison: uses of PoisonError::into_inner.
sources: comments of production files and of the test modules in them; docs: README, ARCHITECTURE and docs/.
told: {WORDS['told']}. where, what and whoever: every use. where-if: an estimate of conditions, by the simple pattern
{WORDS['where-if']}
"""


def block_end(code, start):
    """Offset behind the brace that closes the first one from `start` on."""
    depth = 0
    for m in re.compile("[{}]").finditer(code, start):
        depth += 1 if m[0] == "{" else -1
        if depth == 0:
            return m.end()
    return len(code)


class Source:
    """A file: its production code, and its module path within the crate (None outside of src/)."""

    def __init__(self, root, file):
        parts = file.relative_to(root).parts
        self.path, self.crate, self.text = "/".join(parts), "/".join(parts[:2]), file.read_text()
        self.code = TOKEN.sub(SPACE, self.text)
        self.comments = [(m.start(), m[0]) for m in TOKEN.finditer(self.text) if m["comment"]]
        self.starts = [0] + [m.end() for m in re.finditer("\n", self.text)]
        self.test = "tests" in parts or parts[-1] == "tests.rs"
        path = tuple(part.removesuffix(".rs") for part in parts[3:] if part not in ("lib.rs", "main.rs", "mod.rs"))
        self.module = path if parts[2] == "src" else None
        self.test_modules, self.test_lines = [], set()
        for m in TEST_ITEM.finditer(self.code):
            end = m.end() + 1 if self.code[m.end()] == ";" else block_end(self.code, m.end())
            self.test_lines |= set(range(self.line(m.start()), self.line(end - 1) + 1))
            self.test_modules += ["/".join([*parts[:3], *path, m["mod"]])] if m["mod"] else []
            self.code = self.code[:m.start()] + SPACE([self.code[m.start():end]]) + self.code[end:]
        inline = re.finditer(r"\bmod\s+(\w+)\s*\{", self.code)
        self.inline = [(m.start(), block_end(self.code, m.start()), m[1]) for m in inline]

    def line(self, offset):
        return bisect.bisect_right(self.starts, offset)

    def module_at(self, offset):
        return self.module + tuple(name for start, end, name in self.inline if start < offset < end)

    def functions(self):
        """Name, line, and lines from the opening to the closing brace; None without a body."""
        for m in re.finditer(r"\bfn\s+(\w+)", self.code):
            depth, at = 0, m.end()
            while at < len(self.code) - 1 and (depth or self.code[at] not in ";{"):
                depth += (self.code[at] in "([") - (self.code[at] in ")]")
                at += 1
            last = self.line(block_end(self.code, at) - 1) if self.code[at] == "{" else None
            yield Hit(self.path, self.line(m.start()), m[1], last and last - self.line(at) + 1)


def use_paths(tree):
    """The paths of a use tree with the name that each brings in. Braces are expanded from the inside."""
    tree = re.sub(r"\s*(::|[{},])\s*", r"\1", tree)
    while m := re.search(r"([^{},]*)\{([^{}]*)\}", tree):
        tree = tree[:m.start()] + ",".join(m[1] + part for part in m[2].split(",") if part) + tree[m.end():]
    for path in filter(None, tree.split(",")):
        path, _, alias = re.sub(r"^::|::self\b", "", path).partition(" as ")
        yield path.split("::"), alias.strip() or path.split("::")[-1]


def imports(hits, sources):
    """Of one crate: pairs of siblings that import each other, and children that use items of their parent. An item that
    a module passes on by `use` counts for the module that has it. Uses count for all modules that hold the file."""
    modules = {s.module_at(offset) for s in sources for offset in [-1] + [start + 1 for start, _, _ in s.inline]}
    modules |= {m[:n] for m in modules for n in range(len(m))}
    found, names = [], collections.defaultdict(dict)
    for s in sources:
        for m in USE.finditer(s.code):
            for steps, name in use_paths(m[1]):
                found.append((s, m.start(), steps))
                names[s.module_at(m.start())].setdefault(name, steps)
        found += [(s, m.start(), re.split(r"\s*::\s*", m[0])) for m in INLINE_PATH.finditer(USE.sub(SPACE, s.code))]

    def resolve(at, steps, depth=0):
        """The module that a path leads to, and the item in it; `at` for a path to another crate."""
        now = at
        for n, step in enumerate(steps):
            if step in ("crate", "self", "super"):
                now = {"crate": (), "self": now, "super": now[:-1]}[step]
            elif now + (step,) in modules:
                now += (step,)
            elif n == 0:
                break
            elif step in names[now] and depth < 8:
                return resolve(now, names[now][step] + steps[n + 1:], depth + 1)
            else:
                return now, step
        return now, None

    edges, upward = collections.defaultdict(list), collections.defaultdict(list)
    for s, offset, steps in found:
        at, place = s.module_at(offset), f"{s.path}:{s.line(offset)}"
        module, item = resolve(at, steps)
        shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(at, module)))
        if shared < min(len(at), len(module)):
            edges[at[:shared + 1], module[:shared + 1]].append(place)
        elif len(module) < len(at) and item:
            upward[module, at[:shared + 1]].append((place, item))
    for (a, b), there in sorted(edges.items()):
        if a < b and (back := edges.get((b, a))):
            text = f"{'::'.join(a)} <-> {'::'.join(b)} ({len(there)} and {len(back)} uses; back: {back[0]})"
            hits["mutual"].append(Hit(*there[0].split(":"), text))
    for (parent, child), uses in sorted(upward.items()):
        text = f"{'::'.join(child)} uses of its parent: {', '.join(sorted({item for _, item in uses}))}"
        hits["parent-child"].append(Hit(*uses[0][0].split(":"), text))


def count_words(hits, group, path, pieces):
    """Words of (line, text); pieces are joined, so that a phrase may go on in the next line."""
    pieces = [(line, " ".join(text.split())) for line, text in pieces]
    starts = list(itertools.accumulate((len(text) + 1 for _, text in pieces), initial=0))
    joined = " ".join(text for _, text in pieces)
    for metric, pattern in WORDS.items():
        for m in re.finditer(pattern, joined):
            line = pieces[bisect.bisect_right(starts, m.start()) - 1][0]
            hits[metric].append(Hit(path, line, f"{group}: {joined[max(0, m.start() - 30):m.end() + 30]}"))


def measure(root):
    """All hits of all metrics."""
    hits = collections.defaultdict(list, {metric: [] for metric in ("mutual", "parent-child", *WORDS)})
    files = sorted(f for top in ("host", "plugins") for f in (root / top).rglob("*.rs") if "/guest/bindings/" not in str(f))
    sources = [Source(root, f) for f in files if "target" not in f.relative_to(root).parts]
    behind = tuple(module + end for s in sources for module in s.test_modules for end in (".rs", "/"))
    for s in sources:
        s.test = s.test or s.path.startswith(behind)
        spans = [(s.line(at) + n, re.sub(r"^\s*//[/!]?", "", text)) for at, comment in s.comments
                 for n, text in enumerate(comment.splitlines())]
        count_words(hits, "tests" if s.test else "sources", s.path, spans)
    sources = [s for s in sources if not s.test]
    for s in sources:
        lines = [(n, line) for n, line in enumerate(s.text.splitlines(), 1) if n not in s.test_lines]
        stem = pathlib.PurePath(s.path).stem
        hits["files"].append(Hit(s.path, 1, stem, len("\n".join(line for _, line in lines).rstrip().splitlines())))
        hits["functions"] += s.functions()
        if stem not in ("lib", "main", "mod"):  # Cargo gives these names.
            hits["stems"].append(Hit(s.path, 1, stem))
        for metric, pattern in (("types", TYPE), ("pub", PUB), ("poison", re.compile("(PoisonError::into_inner)"))):
            hits[metric] += [Hit(s.path, s.line(m.end()), " ".join(m.groups(""))) for m in pattern.finditer(s.code)]
        for at, comment in (c for c in s.comments if s.line(c[0]) not in s.test_lines):
            kind = "doc-comments" if re.match(r"//!|///(?!/)", comment) else "plain-comments"
            hits[kind].append(Hit(s.path, s.line(at), comment.splitlines()[0]))
        hits["code"] += [Hit(s.path, n, line) for n, line in lines if not re.match(r"\s*(?://|$)", line)]
    for crate in sorted({s.crate for s in sources}):
        imports(hits, [s for s in sources if s.crate == crate and s.module is not None])
    for file in [root / "README.md", root / "ARCHITECTURE.md", *sorted((root / "docs").rglob("*.md"))]:
        count_words(hits, "docs", str(file.relative_to(root)), list(enumerate(file.read_text().splitlines(), 1)))
    hits["short-files"] = [h for h in hits["files"] if h.size < 60]
    hits["long-files"] = [h for h in hits["files"] if h.size > 400]
    hits["long-functions"] = [h for h in hits["functions"] if (h.size or 0) > 60]
    hits["pub-crate"] = [h for h in hits["pub"] if h.name.startswith("pub(crate)")]
    for kind, one in NAMES.items():
        hits["one-word-" + kind] = [h for h in hits[kind] if re.fullmatch(one, h.name)]
        bearers = collections.Counter(h.name for h in hits[kind])
        for n in (2, 3):
            hits[f"{kind}-same-{n}"] = sorted((h for h in hits[kind] if bearers[h.name] >= n), key=lambda h: h.name)
    return hits


def row(hits, prefix):
    """The figures of the files below a path, by column."""
    here = {metric: [h for h in found if h.path.startswith(prefix)] for metric, found in hits.items()}
    count = collections.Counter({metric: len(found) for metric, found in here.items()})
    per_100 = lambda part, whole: round(100 * count[part] / max(1, count[whole]), 1)
    figures, ranks = {}, {"median": 0.5, "p90": 0.9, "max": 1}
    for kind, odd in ("files", {"<60": "short-files", ">400": "long-files"}), ("functions", {">60": "long-functions"}):
        sizes = sorted(h.size for h in here[kind] if h.size) or [0]
        figures[f"{kind} number"] = count[kind]
        figures |= {f"{kind} {name}": sizes[math.ceil(share * len(sizes)) - 1] for name, share in ranks.items()}
        figures |= {f"{kind} {limit}": count[metric] for limit, metric in odd.items()}
    figures |= {f"{kind} 1-word%": per_100("one-word-" + kind, kind) for kind in NAMES}
    figures |= {f"types same{n}+%": per_100(f"types-same-{n}", "types") for n in (2, 3)}
    figures |= {"types number": count["types"], "stems same3+": len({h.name for h in here["stems-same-3"]})}
    figures |= {f"{kind} /100": per_100(kind + "-comments", "code") for kind in ("plain", "doc")}
    return figures | {"pub items": count["pub"], "pub (crate)": count["pub-crate"], "imports mutual": count["mutual"],
                      "parent- child": count["parent-child"], "locks poison": count["poison"]}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("dir", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument("--list", metavar="METRIC")
    hits = measure((options := arguments.parse_args()).dir)
    if options.list and options.list not in hits:
        arguments.error("metrics: " + " ".join(sorted(hits)))
    elif options.list:
        return print("\n".join(f"{h.path}:{h.line} {h.name}" + f" {h.size}" * bool(h.size) for h in hits[options.list]))
    crates = sorted({"/".join(h.path.split("/")[:2]) for h in hits["files"]})
    rows = {name: row(hits, f"{name}/") for name in [*crates, "host", "plugins"]} | {"all": row(hits, "")}
    groups = [f"words {group}" for group in ("sources", "tests", "docs")]
    words = {w: {g: sum(h.name.startswith(g[6:]) for h in hits[w]) for g in groups} for w in WORDS}
    pairs = [f"{h.path}:{h.line} {h.name}" for h in hits["mutual"]]
    if options.json:
        return print(json.dumps({"rows": rows, "words": words, "patterns": WORDS, "mutual": pairs}, indent=1))
    columns = list(rows["all"])
    for table, titles in ((rows, columns[:11]), (rows, columns[11:]), (words, groups)):
        lines = [*zip(["", ""], *map(str.split, titles))]  # Two words, one above the other.
        lines += [[name, *(str(figures[title]) for title in titles)] for name, figures in table.items()]
        widths = [max(map(len, column)) for column in zip(*lines)]
        for first, *others in lines:
            print("  ".join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]).rstrip())
        print()
    print(LEGEND, f"Modules that import each other ({len(pairs)}):", *pairs, sep="\n")


if __name__ == "__main__":
    main()
