//! The rules of patterns, said once more: on parsed JSON, straight from the pattern, with floats and the sets of places that a wildcard may
//! lead to. The tests of filters compare with it, and so does their fuzz target, which is in another crate.

use serde_json::Value;

/// True if a pattern matches a value; `None`: there is no value.
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
