//! Reads tables for people: checks names, reads keys from JSON, and writes items as JSON with every digit.

use crate::configuration::list_names;
use esclusa_config::plan::{Plan, TableSpec};
use esclusa_embedded::{Store, plain_json};
use esclusa_flow::item::{Item, Value, number};
use esclusa_flow::reads::ReadError;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Why a table was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotRead {
    /// There is no table of that name.
    #[error("there is no table {name:?}; routes.toml has {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// The table is in DynamoDB, not in the embedded engine.
    #[error("table {name:?} is {there:?} in DynamoDB: read it with `aws dynamodb scan --table-name {there}`")]
    Elsewhere {
        /// The name asked for.
        name: String,
        /// Its name in DynamoDB.
        there: String,
    },
    /// The key is malformed.
    #[error("{0}")]
    Key(String),
    /// The read failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// All items of a table as of now, a line of JSON each.
///
/// # Errors
/// [`NotRead::Unknown`] or [`NotRead::Elsewhere`]. A line may be a [`ReadError`]; it is the last line then.
pub(crate) fn scan(
    store: &Store,
    plan: &Plan,
    table: &str,
) -> Result<impl Iterator<Item = Result<String, ReadError>> + use<>, NotRead> {
    check(plan, table)?;
    Ok(store.scan_all(table).map(|item| item.map(|item| plain_json(&item))))
}

/// The item with this key as JSON; the key is a JSON object.
///
/// # Errors
/// [`NotRead`].
pub(crate) fn get(store: &Store, plan: &Plan, table: &str, key: &str) -> Result<Option<String>, NotRead> {
    check(plan, table)?;
    let key = self::key(key).map_err(NotRead::Key)?;
    Ok(store.get(table, &key)?.map(|item| plain_json(&item)))
}

/// Fails if there is no such table to read.
///
/// # Errors
/// [`NotRead::Unknown`] or [`NotRead::Elsewhere`].
pub(crate) fn check(plan: &Plan, name: &str) -> Result<(), NotRead> {
    match plan.tables.get(name) {
        Some(TableSpec::Embedded(_)) => return Ok(()),
        Some(TableSpec::Dynamodb { name: there, .. }) => {
            return Err(NotRead::Elsewhere { name: name.to_owned(), there: there.clone() });
        }
        None => {}
    }
    Err(NotRead::Unknown { name: name.to_owned(), known: list_names(plan.tables.keys()) })
}

/// Reads a key from a JSON object of strings and numbers. Numbers keep every digit.
fn key(text: &str) -> Result<Item, String> {
    // Raw values keep every digit of a number, which a float would not.
    let fields: BTreeMap<Cow<'_, str>, &RawValue> =
        serde_json::from_str(text).map_err(|error| format!("the key {text} is not a JSON object: {error}"))?;
    let value = |(name, json): (&Cow<'_, str>, &&RawValue)| {
        let value = match json.get().as_bytes().first() {
            Some(b'"') => Value::Text(serde_json::from_str(json.get()).map_err(|error| error.to_string())?),
            Some(b'-' | b'0'..=b'9') => {
                Value::Number(number::canonical(json.get()).map_err(|error| error.to_string())?)
            }
            _ => return Err(format!("key attribute {name:?} is neither a text nor a number")),
        };
        Ok((name.clone().into_owned(), value))
    };
    fields.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::{Value, key};

    #[test]
    fn keys_keep_every_digit() {
        let key = key(r#"{"pk": "a", "sk": 12345678901234567890.5}"#).unwrap();
        assert_eq!(key.get("pk"), Some(&Value::Text("a".into())));
        assert_eq!(key.get("sk"), Some(&Value::Number("12345678901234567890.5".into())));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(key("[]").unwrap_err().contains("not a JSON object"));
        assert!(key(r#"{"pk": null}"#).unwrap_err().contains("neither a text nor a number"));
    }
}
