//! From an event to the item that is put.

use crate::config::{Settings, Type};
use esclusa_plugin::json::{Json, Record};
use esclusa_plugin::{EventError, Item, Put, Value};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Attributes up to which duplicates are looked for one by one.
const FEW: usize = 32;

/// The put for a record, whose fields are taken out.
///
/// # Errors
/// [`EventError::Reject`] with what is wrong with the record.
pub fn put<'a>(settings: &'a Settings, record: &mut Record<'a>) -> Result<Put<'a>, EventError> {
    let mut item = Item::with_capacity(settings.key.len() + record.fields().len());
    for (name, template) in &settings.key {
        let text = template.render(record)?;
        if text.is_empty() {
            return Err(EventError::Reject(format!("key attribute {name:?} is empty: {:?}", template.source())));
        }
        item.0.push((Cow::Borrowed(name), value(settings, name, Json::Text(text))?));
    }
    match &settings.fields {
        None => {
            for (name, json) in record.drain() {
                let value = value(settings, &name, json)?;
                item.0.push((name, value));
            }
        }
        Some(fields) => {
            for (name, path) in fields {
                if let Some(json) = record.find(path) {
                    item.0.push((Cow::Borrowed(name), value(settings, name, json)?));
                }
            }
        }
    }
    Ok(Put { table: Cow::Borrowed(&settings.table), item: keep_last(item), guard: settings.guard() })
}

fn value<'a>(settings: &Settings, name: &str, json: Json<'a>) -> Result<Value<'a>, EventError> {
    let reject = |what: &dyn std::fmt::Display| Err(EventError::Reject(format!("field {name:?}: {what}")));
    if name.is_empty() {
        return Err(EventError::reject("a field has an empty name"));
    }
    let json = match settings.type_of(name) {
        None => json,
        Some(_) if json == Json::Null => Json::Null,
        Some(wanted) => match convert(wanted, json) {
            Ok(json) => json,
            Err(what) => return reject(&what),
        },
    };
    Value::from_json(json).or_else(|error| reject(&error))
}

fn convert(wanted: Type, json: Json<'_>) -> Result<Json<'_>, String> {
    Ok(match (wanted, json) {
        (Type::Text, Json::Number(text)) => Json::Text(text),
        (Type::Text, Json::Boolean(value)) => Json::Text(Cow::Borrowed(if value { "true" } else { "false" })),
        (Type::Number, Json::Text(text)) => Json::Number(text),
        (Type::Boolean, Json::Text(text)) if text == "true" => Json::Boolean(true),
        (Type::Boolean, Json::Text(text)) if text == "false" => Json::Boolean(false),
        (Type::Text, json @ Json::Text(_))
        | (Type::Number, json @ Json::Number(_))
        | (Type::Boolean, json @ Json::Boolean(_)) => json,
        (Type::Boolean, Json::Text(text)) => return Err(format!("{text:?} is neither true nor false")),
        (wanted, json) => return Err(format!("{} cannot become {}", json.kind(), wanted.name())),
    })
}

/// Where a name occurs twice, the last one counts: a field of the record replaces a key attribute of the same name, and
/// of two fields of a record the later one counts.
fn keep_last(mut item: Item<'_>) -> Item<'_> {
    let attributes = &mut item.0;
    if attributes.len() <= FEW {
        let mut at = 0;
        while let Some((name, _)) = attributes.get(at) {
            let again = attributes.get(at + 1..).unwrap_or_default().iter().any(|(later, _)| later == name);
            if again {
                attributes.remove(at);
            } else {
                at += 1;
            }
        }
    } else {
        let mut seen = BTreeSet::new();
        let mut last: Vec<bool> = attributes.iter().rev().map(|(name, _)| seen.insert(name.clone())).collect();
        last.reverse();
        let mut last = last.into_iter();
        attributes.retain(|_| last.next().unwrap_or(true));
    }
    item
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Type::Text => "a text",
            Type::Number => "a number",
            Type::Boolean => "a boolean",
        }
    }
}
