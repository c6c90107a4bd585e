//! The checks of a pattern's list: the single values that pass.
//!
//! Exact values, beginnings, ends and networks are found by a search, however many there are. All other checks
//! are tried one by one, and each costs a step.

use super::effort::{FilterEffort, Undecided};
use super::network::{Network, Networks};
use super::wildcard::Wildcard;
use super::words::{WordMatch, Words};
use crate::item::number::{Decimal, Parts};
use std::cmp::Ordering;

/// A value that is neither an object nor an array.
#[derive(Debug, Clone, Copy)]
pub(super) enum Leaf<'a> {
    /// A text.
    Text(&'a str),
    /// A number; `None` for one whose exponent nobody reads.
    Number(Option<Parts<'a>>),
    /// True or false.
    Boolean(bool),
    /// JSON's null.
    Null,
}

impl<'a> Leaf<'a> {
    /// A number from its text.
    pub(super) fn number(text: &'a str) -> Leaf<'a> {
        Leaf::Number(Parts::read(text).ok())
    }
}

/// A check of a single value.
#[derive(Debug)]
pub(super) enum ValueCheck {
    /// A text like this one.
    Text(WordMatch, String),
    /// This number, by value.
    Number(Decimal),
    /// This.
    Boolean(bool),
    /// JSON's null.
    Null,
    /// A text of this form.
    Wildcard(Wildcard),
    /// An address of this range, as text.
    Network(Network),
    /// A number within these bounds.
    Numeric(NumberBounds),
    /// Any value that passes none of these.
    AnythingBut(ValueChecks),
}

/// Checks of which one is enough.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ValueChecks {
    words: Vec<Words>,
    /// Ascending.
    numbers: Vec<Decimal>,
    booleans: Vec<bool>,
    null: bool,
    wildcards: Vec<Wildcard>,
    networks: Networks,
    bounds: Vec<NumberBounds>,
    but: Vec<ValueChecks>,
}

/// Bounds of a number; all of them count.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NumberBounds {
    /// Comparison and number.
    pub bounds: Vec<(NumberRelation, Decimal)>,
    /// Numbers as text count too: DynamoDB's `N`.
    pub texts: bool,
}

/// A comparison of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberRelation {
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

impl ValueChecks {
    /// Sorts checks by their kind.
    pub(super) fn new(checks: Vec<ValueCheck>) -> ValueChecks {
        let (mut all, mut texts, mut networks) =
            (ValueChecks::default(), Vec::<(WordMatch, Vec<String>)>::new(), vec![]);
        for check in checks {
            match check {
                ValueCheck::Text(how, text) => match texts.iter_mut().find(|(known, _)| *known == how) {
                    Some((_, same)) => same.push(text),
                    None => texts.push((how, vec![text])),
                },
                ValueCheck::Number(number) => all.numbers.push(number),
                ValueCheck::Boolean(boolean) => all.booleans.push(boolean),
                ValueCheck::Null => all.null = true,
                ValueCheck::Wildcard(wildcard) => all.wildcards.push(wildcard),
                ValueCheck::Network(network) => networks.push(network),
                ValueCheck::Numeric(bounds) => all.bounds.push(bounds),
                ValueCheck::AnythingBut(checks) => all.but.push(checks),
            }
        }
        all.words = texts.iter().map(|(how, texts)| Words::new(*how, texts)).collect();
        all.numbers.sort_unstable_by(|a, b| a.parts().compare(&b.parts()));
        all.booleans.dedup();
        all.networks = Networks::new(networks);
        all
    }

    /// True if the value passes one of them.
    pub(super) fn hold(&self, leaf: Leaf<'_>, effort: &mut FilterEffort<'_>) -> Result<bool, Undecided> {
        let holds = match leaf {
            Leaf::Text(text) => self.hold_of_text(text, effort)?,
            Leaf::Number(Some(number)) => self.hold_of_number(&number, effort)?,
            Leaf::Boolean(boolean) => self.booleans.contains(&boolean),
            Leaf::Null => self.null,
            Leaf::Number(None) => false,
        };
        if holds {
            return Ok(true);
        }
        // Last, since they cost most: each may hold a whole list of checks.
        for but in &self.but {
            effort.spend(1)?;
            if !but.hold(leaf, effort)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn hold_of_number(&self, number: &Parts<'_>, effort: &mut FilterEffort<'_>) -> Result<bool, Undecided> {
        if !self.numbers.is_empty() {
            effort.spend(self.numbers.len().ilog2() as usize + 1)?;
            if self.numbers.binary_search_by(|known| known.parts().compare(number)).is_ok() {
                return Ok(true);
            }
        }
        any(&self.bounds, effort, |bounds, _| Ok(bounds.hold(number)))
    }

    fn hold_of_text(&self, text: &str, effort: &mut FilterEffort<'_>) -> Result<bool, Undecided> {
        for words in &self.words {
            effort.spend(words.steps())?;
            if words.fit(text) {
                return Ok(true);
            }
        }
        if !self.networks.is_empty() {
            effort.spend(self.networks.steps())?;
            if self.networks.contain(text) {
                return Ok(true);
            }
        }
        // Only `N` of DynamoDB JSON holds a number as text; reading every text as one would cost too much.
        if self.bounds.iter().any(|bounds| bounds.texts) {
            effort.spend(text.len())?;
            if let Ok(number) = Parts::read(text)
                && any(&self.bounds, effort, |bounds, _| Ok(bounds.texts && bounds.hold(&number)))?
            {
                return Ok(true);
            }
        }
        any(&self.wildcards, effort, |wildcard, effort| wildcard.matches(text, effort))
    }
}

/// True if any check holds; each costs a step, besides its own steps.
fn any<'w, T>(
    checks: &[T],
    effort: &mut FilterEffort<'w>,
    holds: impl Fn(&T, &mut FilterEffort<'w>) -> Result<bool, Undecided>,
) -> Result<bool, Undecided> {
    for check in checks {
        effort.spend(1)?;
        if holds(check, effort)? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl NumberBounds {
    fn hold(&self, number: &Parts<'_>) -> bool {
        self.bounds.iter().all(|(comparison, bound)| comparison.holds(number.compare(&bound.parts())))
    }
}

impl NumberRelation {
    /// True if a number that is so to its bound is within it.
    fn holds(self, order: Ordering) -> bool {
        match self {
            NumberRelation::Equal => order.is_eq(),
            NumberRelation::Less => order.is_lt(),
            NumberRelation::LessOrEqual => order.is_le(),
            NumberRelation::Greater => order.is_gt(),
            NumberRelation::GreaterOrEqual => order.is_ge(),
        }
    }
}
