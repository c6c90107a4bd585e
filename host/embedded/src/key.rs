//! Keys as bytes, in the order of their values: by type, then numbers by value, texts and binaries by their bytes.
//!
//! A part of a key never is the beginning of another one, so parts can follow each other.

use esclusa_flow::item::{Item, Value, number};
use esclusa_flow::settings::KeySchema;

/// Longest partition key, bytes. DynamoDB developer guide, "Quotas", November 2026.
pub const PARTITION_LIMIT: usize = 2048;
/// Longest sort key, bytes. The same source.
pub const SORT_LIMIT: usize = 1024;

const NUMBER: u8 = 1;
const TEXT: u8 = 2;
const BINARY: u8 = 3;

/// A key that cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    /// The attribute is not there.
    #[error("the key attribute {0:?} is missing")]
    Missing(String),
    /// It has a type that cannot be a key.
    #[error("the key attribute {0:?} has type {1}: a key is a text, a number or a binary")]
    Type(String, &'static str),
    /// It is empty.
    #[error("the key attribute {0:?} is empty")]
    Empty(String),
    /// It is too long.
    #[error("the key attribute {0:?} has {1} bytes, more than {2}")]
    TooLong(String, usize, usize),
    /// It is not a number.
    #[error("the key attribute {0:?} is not a number that can be stored: {1}")]
    Number(String, String),
}

/// Appends the key of `item`.
pub(crate) fn encode(key: &KeySchema, item: &Item, out: &mut Vec<u8>) -> Result<(), KeyError> {
    let present = |name: &String| item.get(name).ok_or_else(|| KeyError::Missing(name.clone()));
    push_partition(&key.partition, present(&key.partition)?, out)?;
    match &key.sort {
        Some(sort) => push_sort(sort, present(sort)?, out),
        None => Ok(()),
    }
}

/// Appends the key of `item` and says true; false if an attribute of the key is absent.
pub(crate) fn encode_if_present(key: &KeySchema, item: &Item, out: &mut Vec<u8>) -> Result<bool, KeyError> {
    if key.names().any(|name| item.get(name).is_none()) {
        return Ok(false);
    }
    encode(key, item, out).map(|()| true)
}

/// Appends a partition key.
pub(crate) fn push_partition(name: &str, value: &Value, out: &mut Vec<u8>) -> Result<(), KeyError> {
    push(name, value, PARTITION_LIMIT, out)
}

/// Appends a sort key.
pub(crate) fn push_sort(name: &str, value: &Value, out: &mut Vec<u8>) -> Result<(), KeyError> {
    push(name, value, SORT_LIMIT, out)
}

fn push(name: &str, value: &Value, limit: usize, out: &mut Vec<u8>) -> Result<(), KeyError> {
    match value {
        Value::Text(text) => {
            check(name, text.len(), limit)?;
            out.push(TEXT);
            escape(text.as_bytes(), out);
        }
        Value::Binary(bytes) => {
            check(name, bytes.len(), limit)?;
            out.push(BINARY);
            escape(bytes, out);
        }
        Value::Number(text) => {
            let bytes = number::sortable(text).ok_or_else(|| {
                let why = number::canonical(text).err().map_or_else(|| text.clone(), |e| e.to_string());
                KeyError::Number(name.to_owned(), why)
            })?;
            out.push(NUMBER);
            out.extend_from_slice(&bytes);
        }
        other => return Err(KeyError::Type(name.to_owned(), other.type_name())),
    }
    Ok(())
}

fn check(name: &str, len: usize, limit: usize) -> Result<(), KeyError> {
    if len == 0 {
        Err(KeyError::Empty(name.to_owned()))
    } else if len > limit {
        Err(KeyError::TooLong(name.to_owned(), len, limit))
    } else {
        Ok(())
    }
}

/// A zero byte is followed by 0xff, the end is a zero byte followed by 1: a shorter text comes first.
fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    push_prefix(bytes, out);
    out.extend_from_slice(&[0, 1]);
}

fn push_prefix(bytes: &[u8], out: &mut Vec<u8>) {
    for part in bytes.split_inclusive(|b| *b == 0) {
        out.extend_from_slice(part);
        if part.last() == Some(&0) {
            out.push(0xff);
        }
    }
}

/// Appends the common beginning, as a key part, of all texts that begin with `prefix`.
pub(crate) fn push_text_prefix(prefix: &str, out: &mut Vec<u8>) {
    out.push(TEXT);
    push_prefix(prefix.as_bytes(), out);
}

/// The least and the first byte above all parts with the type of `value`.
pub(crate) fn type_bounds(value: &Value) -> Option<(u8, u8)> {
    let tag = match value {
        Value::Number(_) => NUMBER,
        Value::Text(_) => TEXT,
        Value::Binary(_) => BINARY,
        _ => return None,
    };
    Some((tag, tag + 1))
}

/// The least byte string that is greater than everything that begins with `prefix`; `None`: there is none.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(value: Value) -> Vec<u8> {
        let mut out = Vec::new();
        push_partition("k", &value, &mut out).unwrap();
        out
    }

    #[test]
    fn keys_sort_by_type_then_value() {
        let ordered = [
            Value::Number("-10".into()),
            Value::Number("-1.5".into()),
            Value::Number("0".into()),
            Value::Number("9".into()),
            Value::Number("10".into()),
            Value::Text("\0".into()),
            Value::Text("\0\0".into()),
            Value::Text("\0a".into()),
            Value::Text("a".into()),
            Value::Text("a\0".into()),
            Value::Text("ab".into()),
            Value::Text("é".into()),
            Value::Binary(vec![0]),
            Value::Binary(vec![255]),
            Value::Binary(vec![255, 255]),
        ];
        for pair in ordered.windows(2) {
            assert!(key(pair[0].clone()) < key(pair[1].clone()), "{pair:?}");
        }
        for a in &ordered {
            for b in &ordered {
                assert!(a == b || !key(b.clone()).starts_with(&key(a.clone())), "{a:?} begins {b:?}");
            }
        }
    }

    #[test]
    fn equal_numbers_are_equal_keys() {
        assert_eq!(key(Value::Number("1.0".into())), key(Value::Number("1".into())));
    }

    #[test]
    fn keys_that_cannot_be_stored_say_why() {
        let refuse = |value| push_partition("k", &value, &mut Vec::new()).unwrap_err().to_string();
        assert_eq!(refuse(Value::Text(String::new())), "the key attribute \"k\" is empty");
        assert_eq!(refuse(Value::Text("x".repeat(2049))), "the key attribute \"k\" has 2049 bytes, more than 2048");
        assert!(refuse(Value::Boolean(true)).contains("has type BOOL"));
        assert!(refuse(Value::Number("1".repeat(39))).contains("38 significant digits"));
    }

    #[test]
    fn after_prefix_is_the_least_upper_bound() {
        assert_eq!(after_prefix(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(after_prefix(&[1, 0xff]), Some(vec![2]));
        assert_eq!(after_prefix(&[0xff]), None);
    }
}
