//! No text makes reading panic, and whatever is reported can be drawn.

use crate::cases::env;
use esclusa_config::{Problems, effective, parse};
use proptest::prelude::*;
use std::path::Path;

const GOOD: &str = include_str!("../cases/everything.toml");

/// Pieces that mean something to a parser.
const PIECES: [&str; 24] = [
    "[",
    "]",
    "[[",
    "{",
    "}",
    "=",
    "\"",
    "\"\"\"",
    "'",
    "\n",
    "#",
    ".",
    ",",
    "${",
    "$",
    "-1",
    "1e999",
    "nan",
    "é",
    "\u{feff}",
    "\r\n",
    "a.b.c",
    "99999999999999999999",
    "\t",
];

fn survives(text: &str) {
    match parse(text, "routes.toml", Path::new(""), &env) {
        Ok(loaded) => {
            loaded.warnings.iter().for_each(|warning| drop(warning.render(false)));
            drop(effective(&loaded));
        }
        Err(problems) => draw(&problems),
    }
}

fn draw(problems: &Problems) {
    assert!(!problems.0.is_empty());
    drop((problems.render(false), problems.to_json()));
}

/// A byte of the good file that starts a character.
fn boundary(at: usize) -> usize {
    (0..=at.min(GOOD.len())).rev().find(|at| GOOD.is_char_boundary(*at)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_piece_put_in_anywhere(at in 0..GOOD.len(), piece in prop::sample::select(&PIECES[..])) {
        let (head, tail) = GOOD.split_at(boundary(at));
        survives(&format!("{head}{piece}{tail}"));
    }

    #[test]
    fn a_part_cut_out(from in 0..GOOD.len(), length in 0..200usize) {
        let (from, to) = (boundary(from), boundary(from + length));
        survives(&format!("{}{}", &GOOD[..from], &GOOD[to.max(from)..]));
    }

    #[test]
    fn lines_shuffled(lines in Just(GOOD.lines().collect::<Vec<_>>()).prop_shuffle(), keep in 0..200usize) {
        survives(&lines[..keep.min(lines.len())].join("\n"));
    }

    #[test]
    fn values_exchanged(a in 0..200usize, b in 0..200usize) {
        let mut lines: Vec<String> = GOOD.lines().map(str::to_owned).collect();
        let value = |line: &str| line.split_once(" = ").map(|(_, value)| value.to_owned());
        let (a, b) = (a % lines.len(), b % lines.len());
        if let (Some((key, _)), Some(value)) = (lines[a].clone().split_once(" = "), value(&lines[b])) {
            lines[a] = format!("{key} = {value}");
        }
        survives(&lines.join("\n"));
    }

    #[test]
    fn any_text(text in "\\PC*") {
        survives(&text);
    }
}

#[test]
fn deep_nesting_is_an_error_not_a_crash() {
    survives(&format!("version = 1\n{} = 1", vec!["a"; 200_000].join(".")));
    survives(&format!("version = 1\n[{}]", vec!["route"; 200_000].join(".")));
    survives(&format!("version = 1\na = {}", "[".repeat(200_000)));
    survives(&format!("version = 1\na = {}1{}", "{ a = ".repeat(100_000), "}".repeat(100_000)));
    survives(&format!("version = 1\na = {{ {} = 1 }}", vec!["'a'"; 200_000].join(" . ")));
}
