//! Texts with `*` for any run of characters. Matching never goes back: every part is looked for after the end of
//! the one before, so a text is passed once whatever the pattern.

use super::effort::{FilterEffort, Undecided};

/// A compiled wildcard.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wildcard {
    /// The beginning of the text; all of it if there is no `*`.
    first: String,
    /// Parts that follow in this order, with anything between.
    middle: Vec<String>,
    /// The end of the text; `None` if there is no `*`.
    last: Option<String>,
}

impl Wildcard {
    /// Compiles a wildcard: `*` for any run of characters, `\*` and `\\` for the characters themselves.
    pub(super) fn compile(pattern: &str) -> Result<Wildcard, String> {
        let mut parts = vec![];
        let mut part = String::new();
        let mut characters = pattern.chars().peekable();
        while let Some(character) = characters.next() {
            match (character, characters.peek()) {
                ('*', Some('*')) => return Err("\"**\" says no more than \"*\": write one".to_owned()),
                ('*', _) => parts.push(std::mem::take(&mut part)),
                ('\\', Some('*' | '\\')) => part.extend(characters.next()),
                ('\\', _) => return Err("after \\ comes * or \\: write \\\\ for a backslash".to_owned()),
                _ => part.push(character),
            }
        }
        let mut parts = parts.into_iter();
        Ok(match parts.next() {
            None => Wildcard { first: part, middle: vec![], last: None },
            Some(first) => Wildcard { first, middle: parts.collect(), last: Some(part) },
        })
    }

    /// True if the whole text is of this form. Spends a step for each byte of the text that it passes and of the parts that it
    /// looks for: at most two for each byte of the text.
    pub(super) fn matches(&self, text: &str, effort: &mut FilterEffort<'_>) -> Result<bool, Undecided> {
        let mut passed = 0usize;
        let matches = self.matches_with(text, |rest, part| {
            // A search begins with a look at the whole part, which may be longer than the text.
            if part.len() > rest.len() {
                return None;
            }
            let at = rest.find(part);
            let end = at.map_or(rest.len(), |at| at.saturating_add(part.len()));
            passed = passed.saturating_add(part.len()).saturating_add(end);
            at
        });
        effort.spend(passed)?;
        Ok(matches)
    }

    /// `find` gives the first place of a part in the rest of the text.
    fn matches_with(&self, text: &str, mut find: impl FnMut(&str, &str) -> Option<usize>) -> bool {
        let Some(last) = &self.last else { return text == self.first };
        let Some(inner) = text.strip_prefix(self.first.as_str()).and_then(|t| t.strip_suffix(last.as_str())) else {
            return false;
        };
        let mut rest = inner;
        self.middle.iter().all(|part| {
            let after = find(rest, part).and_then(|at| rest.get(at + part.len()..));
            rest = after.unwrap_or_default();
            after.is_some()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step_budget::StepBudget;
    use proptest::prelude::*;
    use std::sync::atomic::AtomicBool;

    fn matches(pattern: &str, text: &str) -> bool {
        matches_within(pattern, text, u64::MAX).unwrap()
    }

    fn matches_within(pattern: &str, text: &str, steps: u64) -> Result<bool, Undecided> {
        let (mut work, stop) = (StepBudget::of(steps), AtomicBool::new(false));
        Wildcard::compile(pattern).unwrap().matches(text, &mut FilterEffort::new(&mut work, &stop))
    }

    /// The definition, without regard to time.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            ['\\', c, rest @ ..] | [c, rest @ ..] => text.first() == Some(c) && naive(rest, &text[1..]),
        }
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "x", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*a", "a", false),
            ("ab*ba", "aba", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("", "", true),
            ("", "x", false),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            (r"a\\*", r"a\x", true),
            ("ä*ü", "äöü", true),
            ("*ab*ab*", "abab", true),
            ("*ab*ab*", "abxa", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn wrong_wildcards_are_refused() {
        for pattern in ["**", "a**b", r"\", r"a\b", r"a\"] {
            assert!(Wildcard::compile(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn the_text_is_passed_once_whatever_the_pattern() {
        let text = "a".repeat(100_000);
        for pattern in ["*a*a*a*a*b", "*a*a*a*a*b*", "*aaaaaaaab*aaab*", "*a*a*a*a*a*", &"*a".repeat(2000)] {
            assert!(matches_within(pattern, &text, 2 * text.len() as u64).is_ok(), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in r"([ab]|\\\*|\*[ab]){0,8}\*?", text in "[ab*]{0,10}") {
            let characters = |t: &str| t.chars().collect::<Vec<_>>();
            let expected = naive(&characters(&pattern), &characters(&text));
            prop_assert_eq!(matches(&pattern, &text), expected, "{} {}", pattern, text);
        }
    }
}
