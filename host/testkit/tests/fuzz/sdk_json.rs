//! The SDK's reader of JSON against serde_json, and its way to DynamoDB JSON and back.

use esclusa_plugin::json::{Json, Record, document};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The input is a text; one that is no UTF-8 never gets to the reader.
pub(crate) fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (ours, theirs) = (Record::parse(text), serde_json::from_str::<Map<String, Value>>(text));
    match (&ours, &theirs) {
        (Ok(record), Ok(value)) => same(text, record, value),
        // serde_json refuses numbers beyond those of 64-bit floating point; here they are text.
        (Ok(_), Err(error)) => assert!(error.to_string().contains("number out of range"), "only we take it: {error}"),
        (Err(error), Ok(_)) => panic!("only serde_json takes it: {error}"),
        (Err(error), Err(_)) => assert!(error.to_string().len() < 200, "{error}"),
    }
    // An image of DynamoDB: whatever it is, it is read or refused.
    if let Ok(plain) = document::record(text) {
        serde_json::from_str::<Map<String, Value>>(&plain.to_json()).unwrap();
    }
}

fn same(text: &str, record: &Record<'_>, value: &Map<String, Value>) {
    let raw: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap();
    assert_eq!(raw.len(), value.len());
    for (name, whole) in raw {
        let expected = &value[&name];
        match (record.get(&name).unwrap(), expected) {
            (Json::Null, Value::Null) => {}
            (Json::Boolean(ours), Value::Bool(theirs)) => assert_eq!(ours, theirs),
            (Json::Number(literal), Value::Number(_)) => assert_eq!(literal, whole.get()),
            (Json::Text(ours), Value::String(theirs)) => assert_eq!(ours, theirs),
            (Json::Array(ours), Value::Array(_)) | (Json::Object(ours), Value::Object(_)) => {
                assert_eq!(ours, whole.get())
            }
            (ours, theirs) => panic!("{name:?} is {ours:?}, and {theirs:?} for serde_json"),
        }
        document_of(whole.get(), expected);
    }
    let written: Value = serde_json::from_str(&record.to_json()).unwrap();
    assert_eq!(written.as_object().unwrap(), value);
}

/// A value as a document of a table, and back.
fn document_of(text: &str, value: &Value) {
    let Ok(typed) = document::from_json(text) else { return };
    serde_json::from_str::<Value>(&typed).unwrap();
    let plain = document::plain(&typed).unwrap_or_else(|| panic!("{typed} cannot be read back"));
    assert_eq!(serde_json::from_str::<Value>(&plain).unwrap(), *value, "by way of {typed}");
}
