//! Conditions on items, for guarded writes and for queries.

use crate::item::Value;
pub use esclusa_data::item::Otherwise;
use std::borrow::Cow;

/// A comparison with an attribute. If the item lacks the attribute, only `Absent` and `NotEqual` hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison<'a> {
    /// The attribute exists.
    Exists,
    /// It does not exist.
    Absent,
    /// Equal; numbers by value.
    Equal(Value<'a>),
    /// Not equal, or absent.
    NotEqual(Value<'a>),
    /// Less; numbers by value, texts and binaries by bytes.
    Less(Value<'a>),
    /// Less or equal.
    LessOrEqual(Value<'a>),
    /// Greater.
    Greater(Value<'a>),
    /// Greater or equal.
    GreaterOrEqual(Value<'a>),
    /// A text that begins so.
    BeginsWith(Cow<'a, str>),
}

/// Comparisons by attribute, all of which must hold: `Condition::new().equal("state", "A").exists("owner")`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition<'a>(pub Vec<(Cow<'a, str>, Comparison<'a>)>);

/// A condition on the stored item, and what the router does if it does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard<'a> {
    /// The condition.
    pub condition: Condition<'a>,
    /// What the router does if it does not hold.
    pub otherwise: Otherwise,
}

impl<'a> Condition<'a> {
    /// A condition that always holds.
    #[must_use]
    pub fn new() -> Self {
        Condition::default()
    }

    /// One comparison more.
    #[must_use]
    pub fn and(mut self, attribute: impl Into<Cow<'a, str>>, comparison: Comparison<'a>) -> Self {
        self.0.push((attribute.into(), comparison));
        self
    }

    /// The attribute exists.
    #[must_use]
    pub fn exists(self, attribute: impl Into<Cow<'a, str>>) -> Self {
        self.and(attribute, Comparison::Exists)
    }

    /// The attribute does not exist. Of a key attribute: there is no such item.
    #[must_use]
    pub fn absent(self, attribute: impl Into<Cow<'a, str>>) -> Self {
        self.and(attribute, Comparison::Absent)
    }

    /// The attribute has this value.
    #[must_use]
    pub fn equal(self, attribute: impl Into<Cow<'a, str>>, value: impl Into<Value<'a>>) -> Self {
        self.and(attribute, Comparison::Equal(value.into()))
    }

    /// A guard that repeats the batch, with fresh reads, if this does not hold: for writes that rest on a read.
    #[must_use]
    pub fn or_rerun(self) -> Guard<'a> {
        Guard { condition: self, otherwise: Otherwise::Rerun }
    }

    /// A guard that leaves the write out if this does not hold: for "insert unless it is there".
    #[must_use]
    pub fn or_skip(self) -> Guard<'a> {
        Guard { condition: self, otherwise: Otherwise::Skip }
    }
}
