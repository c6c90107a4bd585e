//! Event patterns: a pure predicate on an event.

/// A compiled list of patterns; any of them is enough.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {}
