//! Conditions on items, and guards: a guarded write happens only if its condition holds.

mod equality;
#[cfg(test)]
mod tests;

use super::{Item, Value, number};
use crate::step_budget::{Exhausted, StepBudget};
use equality::equal;
use std::cmp::Ordering;

/// Steps for a byte of a set, which is sorted to be compared, or of a document, which is parsed.
const STRUCTURED: usize = 16;

/// One comparison with a stored attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// The attribute exists.
    Exists,
    /// The attribute does not exist.
    Absent,
    /// Equal, of the same type; numbers by value.
    Equal(Value),
    /// Not equal; true if the attribute is absent, as in DynamoDB.
    NotEqual(Value),
    /// Less; numbers by value, texts and binaries by bytes. False for another type or an absent attribute.
    Less(Value),
    /// Less or equal, likewise.
    LessOrEqual(Value),
    /// Greater, likewise.
    Greater(Value),
    /// Greater or equal, likewise.
    GreaterOrEqual(Value),
    /// A text that begins so.
    BeginsWith(String),
}

/// Comparisons by attribute; all must hold. An empty condition holds always.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition(pub Vec<(String, Comparison)>);

/// The fate of a write whose condition does not hold of the stored item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// The events are handled again, on fresh reads.
    Rerun,
    /// The write is left out and counted.
    Skip,
}

/// A condition on the stored item, and what the engine does if it does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// The condition; an absent item has no attributes.
    pub condition: Condition,
    /// The fate of the write if the condition does not hold.
    pub otherwise: Otherwise,
}

impl Condition {
    /// True if every comparison holds of `item`; `None` stands for an absent item.
    #[must_use]
    pub fn holds(&self, item: Option<&Item>) -> bool {
        self.0.iter().all(|(name, comparison)| comparison.holds(item.and_then(|i| i.get(name))))
    }

    /// Likewise, of an item whose attributes `get` finds, within a budget.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn holds_within<'i>(
        &self,
        get: impl Fn(&str) -> Option<&'i Value>,
        work: &mut StepBudget,
    ) -> Result<bool, Exhausted> {
        for (name, comparison) in &self.0 {
            let stored = get(name);
            // Paid before it is compared: sets and documents of an outsider may be large.
            work.spend(name.len().saturating_add(comparison.cost(stored)))?;
            if !comparison.holds(stored) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Bytes of its names and operands.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.iter().map(|(name, comparison)| name.len().saturating_add(comparison.size())).sum()
    }
}

impl Comparison {
    /// Bytes of its operand.
    fn size(&self) -> usize {
        match self {
            Comparison::Exists | Comparison::Absent => 0,
            Comparison::Equal(value)
            | Comparison::NotEqual(value)
            | Comparison::Less(value)
            | Comparison::LessOrEqual(value)
            | Comparison::Greater(value)
            | Comparison::GreaterOrEqual(value) => value.size(),
            Comparison::BeginsWith(text) => text.len(),
        }
    }

    /// Steps that it takes, at most.
    fn cost(&self, stored: Option<&Value>) -> usize {
        let compared = |stored: &Value| {
            let bytes = stored.size().saturating_add(self.size());
            match stored {
                Value::TextSet(_) | Value::NumberSet(_) | Value::Document(_) => bytes.saturating_mul(STRUCTURED),
                _ => bytes,
            }
        };
        stored.map_or(1, |stored| compared(stored).saturating_add(1))
    }

    /// True if the comparison holds of a stored value; `None` stands for an absent attribute.
    #[must_use]
    pub fn holds(&self, stored: Option<&Value>) -> bool {
        // As in DynamoDB: an absent attribute is not equal to anything, and neither less nor greater.
        let Some(stored) = stored else {
            return matches!(self, Comparison::Absent | Comparison::NotEqual(_));
        };
        let ordered = |operand| order(stored, operand);
        match self {
            Comparison::Exists => true,
            Comparison::Absent => false,
            Comparison::Equal(operand) => equal(stored, operand),
            Comparison::NotEqual(operand) => !equal(stored, operand),
            Comparison::Less(operand) => ordered(operand).is_some_and(Ordering::is_lt),
            Comparison::LessOrEqual(operand) => ordered(operand).is_some_and(Ordering::is_le),
            Comparison::Greater(operand) => ordered(operand).is_some_and(Ordering::is_gt),
            Comparison::GreaterOrEqual(operand) => ordered(operand).is_some_and(Ordering::is_ge),
            Comparison::BeginsWith(prefix) => matches!(stored, Value::Text(text) if text.starts_with(prefix)),
        }
    }
}

/// The order of two values of the same ordered type; `None` for everything else, numbers that are none included.
#[must_use]
pub fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Text(l), Value::Text(r)) => Some(l.cmp(r)),
        (Value::Binary(l), Value::Binary(r)) => Some(l.cmp(r)),
        (Value::Number(l), Value::Number(r)) => number::compare(l, r),
        _ => None,
    }
}
