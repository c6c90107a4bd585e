//! Filters against a naive reading of their rules, and against their budget of steps.

#[path = "../../../data/src/filter/tests/naive.rs"]
mod naive;

use esclusa_flow::event::{Columns, NewEvent};
use esclusa_flow::filter::{Filter, Undecided};
use esclusa_flow::step_budget::Exhausted;
use serde_json::{Value, json};
use std::sync::atomic::AtomicBool;

/// The first line of the input is a pattern, or a list of them; the rest is the data of an event.
pub(crate) fn target(data: &[u8]) {
    let split = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (pattern, data) = data.split_at(split);
    let data = data.get(1..).unwrap_or_default();
    let Ok(value) = serde_json::from_slice::<Value>(pattern) else { return };
    let patterns = match value {
        Value::Array(patterns) => patterns,
        value => vec![value],
    };
    let of_data: Vec<Value> = patterns.iter().map(|pattern| json!({ "data": pattern })).collect();
    let Ok(filter) = Filter::compile(&of_data) else { return };
    let mut columns = Columns::default();
    columns.push(&NewEvent { data, ..NewEvent::default() }).unwrap();
    let event = columns.get(0).unwrap();
    let Err(Exhausted(most)) = filter.budget(event).spend(usize::MAX) else { panic!("a budget without an end") };
    let steps = 64 * (event.size() + pattern.len()) + (1 << 20);
    assert!(most <= steps as u64, "{most} steps for {} bytes and {} of patterns", event.size(), pattern.len());
    let taken = match filter.matches("stream", event, &mut filter.budget(event), &AtomicBool::new(false)) {
        Ok(taken) => taken,
        Err(Undecided::Exhausted(_)) => return,
        Err(stopped) => panic!("{stopped}"),
    };
    compare(&patterns, data, taken);
}

fn compare(patterns: &[Value], data: &[u8], taken: bool) {
    // Names of fields that are there twice, half surrogate pairs and depth are compared elsewhere: no value of serde_json has them.
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    if !plain(data, &value) || !patterns.iter().all(known) {
        return;
    }
    let expected = patterns.iter().any(|pattern| naive::object(pattern, Some(&value)));
    assert_eq!(taken, expected, "{patterns:?} on {value}");
}

/// True if the naive reading has all of the text: no field is there twice, and floats hold each number.
fn plain(data: &[u8], value: &Value) -> bool {
    let fields = |value: &Value| value.to_string().matches("\":").count();
    let text = String::from_utf8_lossy(data);
    let colons =
        |text: &str| text.split('"').skip(2).step_by(2).filter(|rest| rest.trim_start().starts_with(':')).count();
    !text.contains('\\') && colons(&text) == fields(value) && numbers(value)
}

/// True if every number is one that floats hold: at most 15 digits, and no exponent.
fn numbers(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            let text = number.to_string();
            text.len() <= 15 && !text.contains(['e', 'E'])
        }
        Value::Array(list) => list.iter().all(numbers),
        Value::Object(fields) => fields.values().all(numbers),
        _ => true,
    }
}

/// True if the naive reading knows all of a pattern.
fn known(pattern: &Value) -> bool {
    numbers(pattern)
        && pattern.as_object().is_some_and(|fields| {
            // In a field of this name texts are numbers.
            fields.iter().filter(|(name, _)| *name != "N").count() == fields.len()
                && fields.iter().all(|(name, expected)| match expected {
                    Value::Array(alternatives) if name == "$or" => alternatives.iter().all(known),
                    Value::Array(checks) => checks.iter().all(is_known_check),
                    other => known(other),
                })
        })
}

fn is_known_check(check: &Value) -> bool {
    let Some((operator, operand)) = check.as_object().and_then(|check| check.iter().next()) else { return true };
    let text = |operator: &str, operand: &Value| {
        let known = ["prefix", "suffix", "equals-ignore-case", "wildcard"].contains(&operator);
        known && operand.as_str().is_some_and(|text| !text.contains('\\'))
    };
    match (operator.as_str(), operand) {
        ("exists", _) => true,
        ("numeric", Value::Array(terms)) => terms.iter().skip(1).step_by(2).all(Value::is_number),
        ("anything-but", Value::Object(inner)) => inner.iter().all(|(operator, operand)| text(operator, operand)),
        ("anything-but", _) => true,
        (operator, operand) => text(operator, operand),
    }
}
