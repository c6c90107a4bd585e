//! Tables as people ask for them: names checked, keys read from JSON, items written as JSON with every digit.

use esclusa_config::plan::{Plan, TableSpec};
use esclusa_embedded::{Store, plain_json};
use esclusa_flow::engine::ReadError;
use esclusa_flow::item::{Item, Value, number};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A question that has no answer.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    /// There is no table of that name.
    #[error("there is no table {name:?}; routes.toml has {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// It is not one of the embedded engine.
    #[error("table {name:?} is {there:?} in DynamoDB: read it with `aws dynamodb scan --table-name {there}`")]
    Elsewhere {
        /// The name asked for.
        name: String,
        /// Its name in DynamoDB.
        there: String,
    },
    /// The key is not one.
    #[error("{0}")]
    Key(String),
    /// The table does not answer.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// All items of a table as they are now, a line of JSON each.
///
/// # Errors
/// [`NotRead::Unknown`]; each line may be a [`ReadError`], which is the last one.
pub fn scan(
    store: &Store,
    plan: &Plan,
    table: &str,
) -> Result<impl Iterator<Item = Result<String, ReadError>> + use<>, NotRead> {
    check(plan, table)?;
    Ok(store.scan_all(table).map(|item| item.map(|item| plain_json(&item))))
}

/// The item with a key that is given as a JSON object, as JSON.
///
/// # Errors
/// [`NotRead`].
pub fn get(store: &Store, plan: &Plan, table: &str, key: &str) -> Result<Option<String>, NotRead> {
    check(plan, table)?;
    let key = self::key(key).map_err(NotRead::Key)?;
    Ok(store.get(table, &key)?.map(|item| plain_json(&item)))
}

/// Whether there is such a table to read.
///
/// # Errors
/// [`NotRead::Unknown`] or [`NotRead::Elsewhere`].
pub fn check(plan: &Plan, name: &str) -> Result<(), NotRead> {
    match plan.tables.get(name) {
        Some(TableSpec::Embedded(_)) => return Ok(()),
        Some(TableSpec::Dynamodb { name: there, .. }) => {
            return Err(NotRead::Elsewhere { name: name.to_owned(), there: there.clone() });
        }
        None => {}
    }
    let known: Vec<&str> = plan.tables.keys().map(String::as_str).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Err(NotRead::Unknown { name: name.to_owned(), known })
}

/// A key from a JSON object of texts and numbers. Numbers keep every digit.
fn key(text: &str) -> Result<Item, String> {
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
