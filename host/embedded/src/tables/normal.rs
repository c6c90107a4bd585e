//! Items in the form that is stored: numbers canonical, sets without repetitions, documents checked.

use crate::json;
use esclusa_flow::effect::AttributeChange;
use esclusa_flow::item::{Item, Value, number};
use std::collections::HashSet;

/// The item in the form that is stored; `None`: it is in it already.
pub(crate) fn normal(item: &Item) -> Result<Option<Item>, String> {
    check_names(item)?;
    let mut copy: Option<Item> = None;
    for (i, (name, value)) in item.0.iter().enumerate() {
        if is_normal(value) {
            continue;
        }
        let mut value = value.clone();
        normalize(name, &mut value)?;
        let copy = copy.get_or_insert_with(|| item.clone());
        if let Some(slot) = copy.0.get_mut(i) {
            slot.1 = value;
        }
    }
    Ok(copy)
}

fn check_names(item: &Item) -> Result<(), String> {
    let twice = if item.0.len() <= 32 {
        item.0.iter().enumerate().find(|(i, (name, _))| item.0.iter().take(*i).any(|(n, _)| n == name)).map(|(_, a)| a)
    } else {
        let mut seen = HashSet::with_capacity(item.0.len());
        item.0.iter().find(|(name, _)| !seen.insert(name))
    };
    match twice {
        Some((name, _)) => Err(format!("the attribute {name:?} is given twice")),
        None if item.0.iter().any(|(name, _)| name.is_empty()) => Err("an attribute has no name".to_owned()),
        None => Ok(()),
    }
}

fn is_normal(value: &Value) -> bool {
    match value {
        Value::Number(text) => number::is_canonical(text),
        Value::Text(_) | Value::Binary(_) | Value::Boolean(_) | Value::Null => true,
        Value::TextSet(_) | Value::NumberSet(_) | Value::Document(_) => false,
    }
}

fn normalize(name: &str, value: &mut Value) -> Result<(), String> {
    let wrong = |e: number::NumberError| format!("the attribute {name:?}: {e}");
    match value {
        Value::Number(text) => *text = number::canonical(text).map_err(wrong)?,
        Value::NumberSet(texts) => {
            for text in texts.iter_mut() {
                *text = number::canonical(text).map_err(wrong)?;
            }
            deduplicate(name, texts)?;
        }
        Value::TextSet(texts) => deduplicate(name, texts)?,
        Value::Document(text) => json::check_document(text).map_err(|e| format!("the attribute {name:?}: {e}"))?,
        Value::Text(_) | Value::Binary(_) | Value::Boolean(_) | Value::Null => {}
    }
    Ok(())
}

fn deduplicate(name: &str, texts: &mut Vec<String>) -> Result<(), String> {
    if texts.is_empty() {
        return Err(format!("the attribute {name:?} is an empty set: leave it out"));
    }
    let mut seen = HashSet::with_capacity(texts.len());
    texts.retain(|text| seen.insert(text.clone()));
    Ok(())
}

/// Brings the operand of a change into the form that is stored.
pub(crate) fn normalize_change(name: &str, change: &mut AttributeChange) -> Result<(), String> {
    match change {
        _ if name.is_empty() => Err("an attribute has no name".to_owned()),
        AttributeChange::Set(value) => normalize(name, value),
        AttributeChange::Add(text) => {
            *text = number::canonical(text).map_err(|e| format!("the attribute {name:?}: {e}"))?;
            Ok(())
        }
        AttributeChange::Remove => Ok(()),
    }
}
