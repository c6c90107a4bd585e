//! From an event to the item that is put.

use crate::config::{AttributeType, EtlSettings};
use esclusa_plugin::json::{Json, Record};
use esclusa_plugin::{EventError, Item, Put, Value};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The put for a record, whose fields are taken out.
///
/// # Errors
/// [`EventError::Reject`] with the reason, if the record does not fit.
pub(crate) fn put<'a>(settings: &'a EtlSettings, record: &mut Record<'a>) -> Result<Put<'a>, EventError> {
    let key = settings.key.attributes();
    let mut item = Item::with_capacity(key.len() + record.fields().len());
    for (name, template) in key {
        let text = template.render(record)?;
        if text.is_empty() {
            return Err(EventError::Reject(format!("key attribute {name:?} is empty: {:?}", template.source())));
        }
        push(&mut item, settings, Cow::Borrowed(name), Json::Text(text))?;
    }
    match &settings.fields {
        None => {
            for (name, json) in record.drain() {
                push(&mut item, settings, name, json)?;
            }
        }
        Some(fields) => {
            for (name, path) in fields {
                if let Some(json) = record.find(path) {
                    push(&mut item, settings, Cow::Borrowed(name), json)?;
                }
            }
        }
    }
    keep_last(&mut item);
    Ok(Put { table: Cow::Borrowed(&settings.table), item, guard: settings.guard() })
}

/// Adds an attribute. Most are texts that stay as they are: they are built inside the item, not moved there.
#[inline(always)]
fn push<'a>(item: &mut Item<'a>, settings: &EtlSettings, name: Cow<'a, str>, json: Json<'a>) -> Result<(), EventError> {
    match json {
        Json::Text(text) if !name.is_empty() && settings.type_of(&name).is_none() => {
            item.0.push((name, Value::Text(text)));
        }
        json => {
            let value = value(settings, &name, json)?;
            item.0.push((name, value));
        }
    }
    Ok(())
}

fn value<'a>(settings: &EtlSettings, name: &str, json: Json<'a>) -> Result<Value<'a>, EventError> {
    let reject = |what: &dyn std::fmt::Display| Err(EventError::Reject(format!("field {name:?}: {what}")));
    if name.is_empty() {
        return Err(EventError::reject("a field has an empty name"));
    }
    let json = match settings.type_of(name) {
        None => json,
        // Null has every type: a record that lacks a value is no mistake.
        Some(_) if json == Json::Null => Json::Null,
        Some(wanted) => match convert(wanted, json) {
            Ok(json) => json,
            Err(what) => return reject(&what),
        },
    };
    Value::from_json(json).or_else(|error| reject(&error))
}

fn convert(wanted: AttributeType, json: Json<'_>) -> Result<Json<'_>, String> {
    Ok(match (wanted, json) {
        (AttributeType::Text, Json::Number(text)) => Json::Text(text),
        (AttributeType::Text, Json::Boolean(value)) => Json::Text(Cow::Borrowed(if value { "true" } else { "false" })),
        (AttributeType::Number, Json::Text(text)) => Json::Number(text),
        (AttributeType::Boolean, Json::Text(text)) if text == "true" => Json::Boolean(true),
        (AttributeType::Boolean, Json::Text(text)) if text == "false" => Json::Boolean(false),
        (AttributeType::Text, json @ Json::Text(_))
        | (AttributeType::Number, json @ Json::Number(_))
        | (AttributeType::Boolean, json @ Json::Boolean(_)) => json,
        (AttributeType::Boolean, Json::Text(text)) => return Err(format!("{text:?} is neither true nor false")),
        (wanted, json) => return Err(format!("{} cannot become {}", json.kind(), wanted.name())),
    })
}

/// If a name occurs twice, the last one counts: a field of the record replaces a key attribute of the same name, and
/// of two fields of a record the later one counts.
fn keep_last(item: &mut Item<'_>) {
    let attributes = &mut item.0;
    if all_differ(attributes.iter().map(|(name, _)| name.as_bytes())) {
        return;
    }
    let mut seen = BTreeSet::new();
    let mut last: Vec<bool> = attributes.iter().rev().map(|(name, _)| seen.insert(name.clone())).collect();
    last.reverse();
    let mut last = last.into_iter();
    attributes.retain(|_| last.next().unwrap_or(true));
}

/// True if the names surely differ by their lengths and ends alone, as those of most records do. A false costs only time.
fn all_differ<'n>(names: impl Iterator<Item = &'n [u8]>) -> bool {
    let mut seen = [0_u64; 16];
    for name in names {
        let ends = u32::from(name.first().copied().unwrap_or_default()) << 8
            | u32::from(name.last().copied().unwrap_or_default());
        // The upper bits of a product depend on all bits of the factor.
        let mark = (ends << 16 | name.len() as u32 & 0xFFFF).wrapping_mul(0x9E37_79B1) >> 22;
        let Some(word) = seen.get_mut(mark as usize / 64) else { return false };
        let bit = 1 << (mark % 64);
        if *word & bit != 0 {
            return false;
        }
        *word |= bit;
    }
    true
}

impl AttributeType {
    fn name(self) -> &'static str {
        match self {
            AttributeType::Text => "a text",
            AttributeType::Number => "a number",
            AttributeType::Boolean => "a boolean",
        }
    }
}
