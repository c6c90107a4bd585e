//! Checks of a single value.

use super::network::Network;
use super::view::Leaf;
use super::wildcard::Wildcard;
use crate::item::number;
use std::cmp::Ordering;

/// What a single value must be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Check {
    /// This text.
    Text(String),
    /// This number, by value.
    Number(String),
    /// This.
    Boolean(bool),
    /// JSON's null.
    Null,
    /// A text that begins so.
    Prefix(String),
    /// A text that ends so.
    Suffix(String),
    /// This text in any case; given in lower case.
    AnyCase(String),
    /// A text that begins so in any case; given in lower case.
    PrefixAnyCase(String),
    /// A text that ends so in any case; given in lower case.
    SuffixAnyCase(String),
    /// A text of this form.
    Wildcard(Wildcard),
    /// An address of this range, as text.
    Network(Network),
    /// A number within these bounds.
    Numeric(Bounds),
    /// Any value that passes none of these.
    AnythingBut(Vec<Check>),
}

/// Bounds of a number; all of them count.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bounds {
    /// Comparison and number.
    pub bounds: Vec<(Comparison, String)>,
    /// Numbers as text count too: DynamoDB's `N`.
    pub texts: bool,
}

/// A comparison of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    /// `=`
    Equal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Check {
    /// A whole number between two, both included.
    pub fn between(least: u64, most: u64) -> Check {
        let bounds = [(Comparison::GreaterOrEqual, least), (Comparison::LessOrEqual, most)];
        Check::Numeric(Bounds { bounds: bounds.map(|(how, bound)| (how, bound.to_string())).into(), texts: false })
    }

    /// True where the value passes.
    pub fn holds(&self, leaf: &Leaf<'_>) -> bool {
        match (self, leaf) {
            (Check::AnythingBut(checks), _) => !checks.iter().any(|check| check.holds(leaf)),
            (Check::Null, Leaf::Null) => true,
            (Check::Boolean(expected), Leaf::Boolean(boolean)) => expected == boolean,
            (Check::Number(expected), Leaf::Number(text)) => number::compare(text, expected) == Some(Ordering::Equal),
            (Check::Numeric(bounds), Leaf::Number(text)) => bounds.hold(text),
            (Check::Numeric(bounds), Leaf::Text(text)) => bounds.texts && bounds.hold(text),
            (_, Leaf::Text(text)) => self.holds_of_text(text),
            _ => false,
        }
    }

    fn holds_of_text(&self, text: &str) -> bool {
        match self {
            Check::Text(expected) => text == expected,
            Check::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Check::Suffix(suffix) => text.ends_with(suffix.as_str()),
            Check::AnyCase(expected) => lower(text).eq(expected.chars()),
            Check::PrefixAnyCase(prefix) => begins(lower(text), prefix.chars()),
            Check::SuffixAnyCase(suffix) => begins(lower(text).rev(), suffix.chars().rev()),
            Check::Wildcard(wildcard) => wildcard.matches(text),
            Check::Network(network) => network.contains(text),
            Check::Number(_) | Check::Boolean(_) | Check::Null | Check::Numeric(_) | Check::AnythingBut(_) => false,
        }
    }
}

impl Bounds {
    fn hold(&self, text: &str) -> bool {
        self.bounds.iter().all(|(comparison, bound)| {
            number::compare(text, bound).is_some_and(|order| match comparison {
                Comparison::Equal => order.is_eq(),
                Comparison::Less => order.is_lt(),
                Comparison::LessOrEqual => order.is_le(),
                Comparison::Greater => order.is_gt(),
                Comparison::GreaterOrEqual => order.is_ge(),
            })
        })
    }
}

/// The text in lower case, character by character: the same for every place that a character stands in.
pub(super) fn lower(text: &str) -> impl DoubleEndedIterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

fn begins(mut text: impl Iterator<Item = char>, mut prefix: impl Iterator<Item = char>) -> bool {
    prefix.all(|character| text.next() == Some(character))
}
