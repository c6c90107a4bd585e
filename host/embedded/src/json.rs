//! Items as JSON: plain, as people and tools read it, and as DynamoDB writes it. Numbers keep every digit.

mod document;

pub(crate) use document::check_document;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use esclusa_data::json::write_text;
use esclusa_flow::item::{Item, Value};

/// An item as a plain JSON object: numbers as numbers with every digit, sets as arrays, binaries in base64,
/// documents without their type letters.
#[must_use]
pub fn plain_json(item: &Item) -> String {
    let mut out = String::with_capacity(256);
    object(item, &mut out, push_plain);
    out
}

/// An item as DynamoDB JSON: `{"a":{"S":"x"},"b":{"N":"1"}}`.
#[must_use]
pub fn dynamo_json(item: &Item) -> String {
    let mut out = String::with_capacity(256);
    push_dynamo_object(item, &mut out);
    out
}

/// Appends an item as DynamoDB JSON.
pub(crate) fn push_dynamo_object(item: &Item, out: &mut String) {
    object(item, out, push_dynamo);
}

fn object(item: &Item, out: &mut String, push: fn(&Value, &mut String)) {
    out.push('{');
    for (i, (name, value)) in item.0.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_text(name, out);
        out.push(':');
        push(value, out);
    }
    out.push('}');
}

fn list<T>(members: &[T], out: &mut String, push: impl Fn(&T, &mut String)) {
    out.push('[');
    for (i, member) in members.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        push(member, out);
    }
    out.push(']');
}

fn push_plain(value: &Value, out: &mut String) {
    match value {
        Value::Text(text) => write_text(text, out),
        Value::Number(text) => document::push_number(text, out),
        Value::Binary(bytes) => write_text(&STANDARD.encode(bytes), out),
        Value::Boolean(yes) => out.push_str(if *yes { "true" } else { "false" }),
        Value::Null => out.push_str("null"),
        Value::TextSet(texts) => list(texts, out, |text, out| write_text(text, out)),
        Value::NumberSet(texts) => list(texts, out, |text, out| document::push_number(text, out)),
        Value::Document(json) => document::push_plain(json, out),
    }
}

fn push_dynamo(value: &Value, out: &mut String) {
    let mut typed = |letter: &str, push: &dyn Fn(&mut String)| {
        out.push_str("{\"");
        out.push_str(letter);
        out.push_str("\":");
        push(out);
        out.push('}');
    };
    match value {
        Value::Text(text) => typed("S", &|out| write_text(text, out)),
        Value::Number(text) => typed("N", &|out| write_text(text, out)),
        Value::Binary(bytes) => typed("B", &|out| write_text(&STANDARD.encode(bytes), out)),
        Value::Boolean(yes) => typed("BOOL", &|out| out.push_str(if *yes { "true" } else { "false" })),
        Value::Null => typed("NULL", &|out| out.push_str("true")),
        Value::TextSet(texts) => typed("SS", &|out| list(texts, out, |text, out| write_text(text, out))),
        Value::NumberSet(texts) => typed("NS", &|out| list(texts, out, |text, out| write_text(text, out))),
        Value::Document(json) => out.push_str(json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item() -> Item {
        Item(vec![
            ("pk".into(), Value::Text("a\"b\\\n\u{1}é".into())),
            ("n".into(), Value::Number("12345678901234567890123456789012345678".into())),
            ("b".into(), Value::Binary(vec![0, 255])),
            ("yes".into(), Value::Boolean(true)),
            ("nil".into(), Value::Null),
            ("ss".into(), Value::TextSet(vec!["x".into(), "y".into()])),
            ("ns".into(), Value::NumberSet(vec!["1".into(), "2.5".into()])),
            ("doc".into(), Value::Document(r#"{"M":{"l":{"L":[{"N":"1.50"},{"S":"s"},{"NULL":true}]}}}"#.into())),
        ])
    }

    #[test]
    fn plain_json_has_every_digit_and_no_type_letters() {
        assert_eq!(
            plain_json(&item()),
            concat!(
                r#"{"pk":"a\"b\\\n\u0001é","n":12345678901234567890123456789012345678,"b":"AP8=","yes":true,"nil":null,"#,
                r#""ss":["x","y"],"ns":[1,2.5],"doc":{"l":[1.5,"s",null]}}"#
            )
        );
    }

    #[test]
    fn dynamo_json_is_what_dynamodb_writes() {
        assert_eq!(
            dynamo_json(&item()),
            concat!(
                r#"{"pk":{"S":"a\"b\\\n\u0001é"},"n":{"N":"12345678901234567890123456789012345678"},"b":{"B":"AP8="},"#,
                r#""yes":{"BOOL":true},"nil":{"NULL":true},"ss":{"SS":["x","y"]},"ns":{"NS":["1","2.5"]},"#,
                r#""doc":{"M":{"l":{"L":[{"N":"1.50"},{"S":"s"},{"NULL":true}]}}}}"#
            )
        );
    }
}
