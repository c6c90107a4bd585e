//! The catalogue of failures in docs/reference/failures.md: every row is there once, and every test that it names exists. So do the
//! files and tests that SECURITY.md names for its promises.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "failures/guards.rs"]
mod guards;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The page, below the root.
const PAGE: &str = "docs/reference/failures.md";
/// Suites of behaviours: functions that the tests of each implementation call. An unused one does not compile without a warning.
const SUITES: &str = "host/testkit/src/conformance/";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn page() -> String {
    std::fs::read_to_string(root().join(PAGE)).unwrap()
}

/// A row of the page.
#[derive(Debug, Default)]
struct Row {
    /// Its letter and number.
    id: String,
    /// Its tests: file and name.
    tests: Vec<(String, String)>,
}

/// The text between the backticks of `line`, if it has this beginning and this end.
fn quoted<'a>(line: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    line.strip_prefix(begin)?.strip_prefix('`')?.strip_suffix(end)?.strip_suffix('`')
}

fn rows(page: &str) -> Vec<Row> {
    let (mut rows, mut file) = (Vec::<Row>::new(), String::new());
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            let id = heading.split(':').next().unwrap_or_default().to_owned();
            rows.push(Row { id, ..Row::default() });
            file.clear();
        } else if let Some(row) = rows.last_mut() {
            if let Some(path) = quoted(line, "- ", ":") {
                path.clone_into(&mut file);
            } else if let Some(name) = quoted(line, "  - ", "") {
                row.tests.push((file.clone(), name.to_owned()));
            }
        }
    }
    rows
}

/// The letters of the catalogue, each with its number of rows.
fn letters(page: &str) -> BTreeMap<String, usize> {
    let section = page.split("\n## The catalogue\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let cells = |line: &str| -> Option<(String, usize)> {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        Some((cells.next()?.to_owned(), cells.next()?.parse().ok()?))
    };
    section.lines().filter_map(cells).collect()
}

/// The parts of a text that stand between backticks.
fn in_quotes(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// True if a file has a test of this name, or a suite has a behaviour of this name.
fn is_there(path: &str, text: &str, name: &str) -> bool {
    let (lines, signature): (Vec<&str>, _) = (text.lines().map(str::trim).collect(), format!("fn {name}("));
    let marked = |at: usize| {
        let mut above = lines.iter().take(at).rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        above.any(|line| *line == "#[test]" || line.starts_with("#[tokio::test"))
    };
    let defined = |line: &str| line.contains(&signature) && !line.starts_with("//");
    (0..).zip(&lines).any(|(at, line)| defined(line) && (marked(at) || path.starts_with(SUITES)))
}

#[test]
fn every_row_of_the_catalogue_is_there_once() {
    let page = page();
    let letters = letters(&page);
    assert_eq!(letters.values().sum::<usize>(), 108, "59 failures, 9 of Kafka and 40 hostile plugins: {letters:?}");
    let mut expected: Vec<String> =
        letters.iter().flat_map(|(letter, count)| (1..=*count).map(move |n| format!("{letter}{n}"))).collect();
    let mut found: Vec<String> = rows(&page).into_iter().map(|row| row.id).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "left: the rows of {PAGE}, right: its catalogue");
}

#[test]
fn every_test_that_a_row_names_is_in_its_file() {
    let (mut missing, mut named) = (Vec::new(), 0);
    for row in rows(&page()) {
        for (path, name) in row.tests {
            named += 1;
            let text = std::fs::read_to_string(root().join(&path));
            if !text.is_ok_and(|text| is_there(&path, &text, &name)) {
                missing.push(format!("{}: {path} has no test {name}", row.id));
            }
        }
    }
    assert!(named > 200, "found {named} names only");
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_row_has_a_test() {
    let untested: Vec<String> =
        rows(&page()).into_iter().filter(|row| row.tests.is_empty()).map(|row| row.id).collect();
    assert!(untested.is_empty(), "rows without a test: {untested:?}");
}

#[test]
fn every_promise_names_its_code_and_its_tests() {
    let text = std::fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let (mut missing, mut promises) = (Vec::new(), 0);
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [promise, mechanism, _, tests] = cells[..] else { continue };
        if promise == "promise" {
            continue;
        }
        promises += 1;
        let gone = in_quotes(mechanism).filter(|path| !root().join(path).is_file());
        missing.extend(gone.map(|path| format!("{promise}: there is no file {path}")));
        for test in tests.split("; ") {
            let quoted: Vec<&str> = in_quotes(test).collect();
            let there = |path: &str, name: &str| {
                std::fs::read_to_string(root().join(path)).is_ok_and(|text| is_there(path, &text, name))
            };
            if !matches!(quoted[..], [name, path, ..] if there(path, name)) {
                missing.push(format!("{promise}: there is no test {test:?}"));
            }
        }
    }
    assert!(promises > 35, "found {promises} promises only");
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn a_name_counts_only_if_it_is_a_test() {
    let text = "/// A test.\n#[tokio::test(start_paused = true)]\nasync fn one() {}\n// fn two() {}\n#[test]\n// K1\nfn three(\n)\nfn four() {}";
    let known = ["one", "two", "three", "four", "on"].map(|name| is_there("a.rs", text, name));
    assert_eq!(known, [true, false, true, false, false]);
    assert!(is_there(SUITES, text, "four"));
}
