//! Conditions and changes by the rules of the router, for the tables of tests.

use crate::condition::{Comparison, Condition};
use crate::item::{Item, Value};
use esclusa_data::item::{self as rules, condition, number};
use std::cmp::Ordering;

/// True if the condition holds of an item; `None` stands for an absent one.
pub(super) fn holds(condition: &Condition<'_>, item: Option<&Item<'_>>) -> bool {
    condition.0.iter().all(|(name, compared)| {
        let stored = item.and_then(|item| item.get(name)).map(value);
        comparison(compared).holds(stored.as_ref())
    })
}

/// The order of two values of the same ordered type; `None` for all others.
pub(super) fn order(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    condition::order(&value(left), &value(right))
}

/// The sum of an attribute and a number; an absent attribute counts as 0.
///
/// # Errors
/// If one of them is no number, or the sum cannot be stored.
pub(super) fn add(stored: Option<&Value<'_>>, amount: &str) -> Result<String, String> {
    let stored = match stored {
        None => "0",
        Some(Value::Number(stored)) => stored,
        Some(other) => return Err(format!("the attribute is of type {}, not a number", value(other).type_name())),
    };
    number::add(stored, amount).map_err(|error| error.to_string())
}

fn comparison(comparison: &Comparison<'_>) -> rules::Comparison {
    match comparison {
        Comparison::Exists => rules::Comparison::Exists,
        Comparison::Absent => rules::Comparison::Absent,
        Comparison::Equal(operand) => rules::Comparison::Equal(value(operand)),
        Comparison::NotEqual(operand) => rules::Comparison::NotEqual(value(operand)),
        Comparison::Less(operand) => rules::Comparison::Less(value(operand)),
        Comparison::LessOrEqual(operand) => rules::Comparison::LessOrEqual(value(operand)),
        Comparison::Greater(operand) => rules::Comparison::Greater(value(operand)),
        Comparison::GreaterOrEqual(operand) => rules::Comparison::GreaterOrEqual(value(operand)),
        Comparison::BeginsWith(prefix) => rules::Comparison::BeginsWith(prefix.to_string()),
    }
}

fn value(value: &Value<'_>) -> rules::Value {
    match value {
        Value::Text(text) => rules::Value::Text(text.to_string()),
        Value::Number(text) => rules::Value::Number(text.to_string()),
        Value::Binary(bytes) => rules::Value::Binary(bytes.to_vec()),
        Value::Boolean(value) => rules::Value::Boolean(*value),
        Value::Null => rules::Value::Null,
        Value::TextSet(texts) => rules::Value::TextSet(texts.clone()),
        Value::NumberSet(texts) => rules::Value::NumberSet(texts.clone()),
        Value::Document(text) => rules::Value::Document(text.to_string()),
    }
}
