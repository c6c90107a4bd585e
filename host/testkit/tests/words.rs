//! One term per thing: the words that ARCHITECTURE.md's glossary has replaced stay gone, in code, comments and documents.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Words that are gone, each with the one to say instead. A word counts in any case, also as a part of an identifier.
const GONE: &[(&str, &str)] = &[
    (concat!("out", "let"), "sink"),
    (concat!("see the ", "module."), "what it is, in a sentence"),
    (concat!("who", "ever"), "the actor: the worker, the lane, the caller"),
    (concat!("split", "_commits"), "nothing: only tests read it"),
    (concat!("un", "hold"), "release"),
];

/// Words that are gone as a word of its own, in the same case: parts of others are fine.
const GONE_ALONE: &[(&str, &str)] = &[
    (concat!("Kee", "per"), "ProgressStore"),
    (concat!("kee", "per"), "progress store"),
    (concat!("Pati", "ence"), "RetryBudget"),
    (concat!("Tol", "d"), "the thing that is said"),
    (concat!("De", "sk"), "HttpSource or DeadLetterAccess"),
    (concat!("Be", "nch"), "RouteLoader"),
    (concat!("tri", "al"), "invocation, dry run"),
    (concat!("re", "build"), "replay"),
    (concat!("Tur", "ns"), "SendOrder"),
    (concat!("Hu", "b"), "SharedReceiver"),
    (concat!("Sha", "res"), "AckTracker"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// The script that counts such words has to name them.
const COUNTS: &str = "scripts/measure-house.py";

/// The sources and documents, by path; without generated files, and without the history of changes.
fn texts() -> Vec<(String, String)> {
    let (mut texts, mut folders) = (Vec::new(), vec![root()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let relative = path.strip_prefix(root()).unwrap().display().to_string();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') && name != "bindings" && name != "data"
                    || relative == "host/data"
                {
                    folders.push(path);
                }
            } else if [".rs", ".md", ".toml", ".sh", ".py", ".wit"].iter().any(|end| name.ends_with(end))
                && name != "CHANGELOG.md"
            {
                if relative == COUNTS {
                    continue;
                }
                texts.push((relative, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(texts.len() > 500, "found {} files only", texts.len());
    texts
}

fn stands_alone(line: &str, at: usize, word: &str) -> bool {
    let letter = |c: char| c.is_alphanumeric();
    let before = line.get(..at).and_then(|before| before.chars().next_back());
    let after = line.get(at + word.len()..).and_then(|after| after.chars().next());
    !before.is_some_and(letter) && !after.is_some_and(letter)
}

#[test]
fn words_that_are_gone_stay_gone() {
    let mut found = Vec::new();
    for (path, text) in texts() {
        for (number, line) in (1..).zip(text.lines()) {
            let lower = line.to_lowercase();
            let gone = GONE.iter().filter(|(word, _)| lower.contains(word));
            let alone = GONE_ALONE
                .iter()
                .filter(|(word, _)| line.match_indices(word).any(|(at, _)| stands_alone(line, at, word)));
            found.extend(gone.chain(alone).map(|(word, instead)| format!("{path}:{number}: {word}; say {instead}")));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_glossary_gives_the_words_of_aws_and_kafka() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let section = text.split("\n## Glossary\n").nth(1).expect("a section Glossary").split("\n## ").next().unwrap();
    let rows: Vec<&str> =
        section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| term")).collect();
    assert!(rows.len() >= 25, "{} terms", rows.len());
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells.len() == 4 && cells.iter().all(|cell| !cell.is_empty()), "term, meaning, AWS, Kafka: {row}");
    }
}

/// The texts of code in double quotes, in what is no test.
fn literals(code: &str) -> impl Iterator<Item = &str> {
    let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| line.split('"').skip(1).step_by(2))
}

// Codes with a family, as literals on one line. Those of dead letters without one are in a test of `esclusa explain`.
#[test]
fn every_code_that_the_router_shows_is_explained() {
    let pages = std::fs::read_dir(root().join("host/config/src/codes")).unwrap();
    let pages: Vec<String> = pages.map(|page| std::fs::read_to_string(page.unwrap().path()).unwrap()).collect();
    let explained: BTreeSet<&str> =
        pages.iter().flat_map(|page| page.lines()).filter_map(|line| line.strip_prefix("## ")).collect();
    // Those of diagnostics, with `::`, are in one list already.
    let families: BTreeSet<&str> = explained.iter().filter_map(|code| Some(code.split_once('.')?.0)).collect();
    let (mut shown, mut missing) = (BTreeSet::new(), BTreeSet::new());
    for (path, text) in texts() {
        let tests = path.contains("/tests/") || path.ends_with("tests.rs") || path.starts_with("host/testkit/");
        if tests || !path.starts_with("host/") || !path.ends_with(".rs") {
            continue;
        }
        for literal in literals(&text) {
            let name = literal.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '.' | '-' | '_'));
            let family = literal.split_once('.').filter(|(_, rest)| name && !rest.is_empty() && !rest.contains('.'));
            if family.is_some_and(|(family, _)| families.contains(family)) {
                shown.insert(literal.to_owned());
                if !explained.contains(literal) {
                    missing.insert(format!("{path}: {literal}"));
                }
            }
        }
    }
    assert!(shown.len() > 50, "found {} codes only", shown.len());
    assert!(missing.is_empty(), "`esclusa explain` does not know {missing:#?}");
}
