//! Texts that a value is compared with, all of them by one search: exactly or by their beginning or end, with or
//! without regard to case.

use std::cmp::Ordering;

/// How a value is compared with a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WordMatch {
    /// All of the value; else its beginning.
    pub whole: bool,
    /// From the end.
    pub backwards: bool,
    /// In lower case.
    pub lower: bool,
}

/// Words for one way to compare.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Words {
    how: WordMatch,
    /// In the form in which they are compared, ascending. None of several beginnings begins with another one, so the
    /// greatest word that is not above a value is the only one that the value may begin with.
    words: Vec<String>,
}

impl Words {
    /// Words in any order.
    pub(super) fn new(how: WordMatch, texts: &[String]) -> Words {
        let form = |text: &String| match how {
            WordMatch { backwards: false, lower: false, .. } => text.clone(),
            WordMatch { backwards: true, lower: false, .. } => text.chars().rev().collect(),
            WordMatch { backwards: false, lower: true, .. } => lower(text).collect(),
            WordMatch { backwards: true, lower: true, .. } => lower(text).rev().collect(),
        };
        let mut words: Vec<String> = texts.iter().map(form).collect();
        words.sort_unstable();
        words.dedup_by(|next, kept| if how.whole { next == kept } else { next.starts_with(kept.as_str()) });
        Words { how, words }
    }

    /// Comparisons that a search takes at most.
    pub(super) fn steps(&self) -> usize {
        self.words.len().checked_ilog2().unwrap_or_default() as usize + 2
    }

    /// True if the value is one of the words, or begins or ends with one.
    pub(super) fn fit(&self, value: &str) -> bool {
        match self.how {
            WordMatch { backwards: false, lower: false, whole } => {
                let word = self.last(|word| word.as_bytes().cmp(value.as_bytes()));
                word.is_some_and(|word| if whole { word == value } else { value.starts_with(word) })
            }
            WordMatch { backwards: true, lower: false, .. } => self.search(|| value.chars().rev()),
            WordMatch { backwards: false, lower: true, .. } => self.search(|| lower(value)),
            WordMatch { backwards: true, lower: true, .. } => self.search(|| lower(value).rev()),
        }
    }

    fn search<I: Iterator<Item = char>>(&self, value: impl Fn() -> I) -> bool {
        let Some(word) = self.last(|word| word.chars().cmp(value())) else { return false };
        let mut value = value();
        word.chars().all(|character| value.next() == Some(character)) && (!self.how.whole || value.next().is_none())
    }

    /// The greatest word that is not above the value.
    fn last(&self, to_value: impl Fn(&str) -> Ordering) -> Option<&str> {
        let after = self.words.partition_point(|word| to_value(word).is_le());
        self.words.get(after.checked_sub(1)?).map(String::as_str)
    }
}

/// The text in lower case, character by character: the same for every place that a character stands in.
fn lower(text: &str) -> impl DoubleEndedIterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn one_search_finds_what_comparing_with_every_word_finds(
            texts in proptest::collection::vec("[aAbİ]{0,4}", 1..8), value in "[aAbİ]{0,6}",
            whole: bool, backwards: bool, lowered: bool,
        ) {
            let how = WordMatch { whole, backwards, lower: lowered };
            let form = |text: &str| if lowered { lower(text).collect() } else { text.to_owned() };
            let expected = texts.iter().any(|text| match (whole, backwards) {
                (true, _) => form(&value) == form(text),
                (false, false) => form(&value).starts_with(&form(text)),
                (false, true) => form(&value).ends_with(&form(text)),
            });
            prop_assert_eq!(Words::new(how, &texts).fit(&value), expected);
        }
    }

    #[test]
    fn a_thousand_words_take_a_dozen_comparisons() {
        let texts: Vec<String> = (0..1000).map(|n| format!("{n:04}")).collect();
        for whole in [true, false] {
            assert!(Words::new(WordMatch { whole, backwards: false, lower: false }, &texts).steps() <= 12);
        }
    }
}
