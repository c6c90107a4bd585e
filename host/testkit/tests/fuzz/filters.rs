//! Filters against a naive reading of their rules, and against their budget of steps.

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

/// The rules, said once more: on parsed JSON, straight from the pattern, with floats and backtracking.
mod naive {
    use serde_json::Value;

    pub(super) fn object(pattern: &Value, value: Option<&Value>) -> bool {
        if let Some(Value::Array(elements)) = value
            && !elements.is_empty()
        {
            return elements.iter().any(|element| object(pattern, Some(element)));
        }
        pattern.as_object().unwrap().iter().all(|(name, expected)| {
            if name == "$or" {
                return expected.as_array().unwrap().iter().any(|alternative| object(alternative, value));
            }
            let field = value.and_then(|value| value.get(name));
            if expected.is_object() { object(expected, field) } else { list(expected, field) }
        })
    }

    fn list(pattern: &Value, value: Option<&Value>) -> bool {
        let mut leaves = Vec::new();
        flatten(value, &mut leaves);
        pattern.as_array().unwrap().iter().any(|check| match check.get("exists") {
            Some(Value::Bool(exists)) => *exists != leaves.is_empty(),
            _ => leaves.iter().any(|leaf| one(check, leaf)),
        })
    }

    fn flatten<'a>(value: Option<&'a Value>, leaves: &mut Vec<&'a Value>) {
        match value {
            Some(Value::Array(elements)) => elements.iter().for_each(|element| flatten(Some(element), leaves)),
            Some(Value::Object(_)) | None => {}
            Some(leaf) => leaves.push(leaf),
        }
    }

    fn one(check: &Value, leaf: &Value) -> bool {
        let Some((operator, operand)) = check.as_object().and_then(|check| check.iter().next()) else {
            return match (check.as_f64(), leaf.as_f64()) {
                (Some(a), Some(b)) => a == b,
                _ => check == leaf,
            };
        };
        let (text, expected) = (leaf.as_str(), operand.as_str().unwrap_or_default());
        match operator.as_str() {
            "prefix" => text.is_some_and(|text| text.starts_with(expected)),
            "suffix" => text.is_some_and(|text| text.ends_with(expected)),
            "equals-ignore-case" => text.is_some_and(|text| lower(text) == lower(expected)),
            "wildcard" => text.is_some_and(|text| wildcard(expected.as_bytes(), text.as_bytes())),
            "numeric" => leaf.as_f64().is_some_and(|number| {
                operand.as_array().unwrap().chunks(2).all(|pair| {
                    let bound = pair[1].as_f64().unwrap();
                    match pair[0].as_str().unwrap() {
                        "=" => number == bound,
                        "<" => number < bound,
                        "<=" => number <= bound,
                        ">" => number > bound,
                        ">=" => number >= bound,
                        other => panic!("{other}"),
                    }
                })
            }),
            "anything-but" => match operand {
                Value::Array(excluded) => !excluded.iter().any(|excluded| one(excluded, leaf)),
                excluded => !one(excluded, leaf),
            },
            other => panic!("{other}"),
        }
    }

    fn lower(text: &str) -> String {
        text.chars().flat_map(char::to_lowercase).collect()
    }

    /// By the sets of places that each step of the pattern may lead to.
    fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
        let mut places = vec![true];
        places.resize(text.len() + 1, false);
        for step in pattern {
            let mut next = vec![false; text.len() + 1];
            for (at, there) in places.iter().enumerate().filter(|(_, there)| **there) {
                match step {
                    b'*' => next[at..].fill(*there),
                    step if text.get(at) == Some(step) => next[at + 1] = true,
                    _ => {}
                }
            }
            places = next;
        }
        places[text.len()]
    }
}
