//! Tests of the reader, mostly against serde_json.

use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn fields(text: &str) -> Vec<(String, String)> {
    let record = Record::parse(text).unwrap();
    record.fields().iter().map(|(name, value)| (name.to_string(), format!("{value:?}"))).collect()
}

#[test]
fn fields_are_slices_of_the_text() {
    let text = r#" { "a" : "x" , "n": -1.50e+3, "l":[1, {"b":"]"}], "t":true,"f":false,"z":null,"o":{} } "#;
    let record = Record::parse(text).unwrap();
    assert!(matches!(record.get("a"), Some(Json::Text(Cow::Borrowed("x")))));
    assert_eq!(record.get("n"), Some(&Json::Number("-1.50e+3".into())));
    assert_eq!(record.get("l"), Some(&Json::Array(r#"[1, {"b":"]"}]"#.into())));
    assert_eq!(record.get("o"), Some(&Json::Object("{}".into())));
    assert_eq!(record.get("z"), Some(&Json::Null));
    assert_eq!(record.get("missing"), None);
}

#[test]
fn escapes_are_undone() {
    let text = r#"{"a\nb":"\"\\\/\b\f\n\r\té\ud83d\ude00 and a long tail without any escape"}"#;
    assert_eq!(
        Record::parse(text).unwrap().text("a\nb"),
        Some("\"\\/\u{8}\u{c}\n\r\t\u{e9}\u{1f600} and a long tail without any escape")
    );
}

#[test]
fn of_a_name_that_occurs_twice_the_last_counts() {
    assert_eq!(Record::parse(r#"{"a":"1","a":"2"}"#).unwrap().text("a"), Some("2"));
}

#[test]
fn paths_go_into_objects_and_whole_names_go_first() {
    let record = Record::parse(r#"{"a":{"b":{"c":"\u0041","d":7}},"x.y":"whole","x":{"y":"inner"}}"#).unwrap();
    assert_eq!(record.find("a.b.c"), Some(Json::Text("A".into())));
    assert_eq!(record.find("a.b.d"), Some(Json::Number("7".into())));
    assert_eq!(record.find("x.y"), Some(Json::Text("whole".into())));
    assert_eq!(record.find("a.x"), None);
    assert_eq!(record.find("a.b.c.d"), None);
}

#[test]
fn errors_say_what_and_where() {
    for (text, error) in [
        ("", "expected an object, found nothing at byte 0"),
        ("hello", "expected an object at byte 0"),
        ("[1]", "expected an object at byte 0"),
        (r#"{"a":1"#, "expected `,` or `}` at byte 6"),
        (r#"{"a":1} x"#, "expected the end of the text at byte 8"),
        (r#"{"a":01}"#, "expected `,` or `}` at byte 6"),
        (r#"{"a":"x}"#, "unfinished string at byte 8"),
        (r#"{"a":nul}"#, "expected a value at byte 5"),
        ("{\"a\":\"\n\"}", "control character in a string: it must be escaped at byte 6"),
        (r#"{"a":"\ud800"}"#, "half of a surrogate pair at byte 12"),
        (r#"{"a":1,}"#, "expected the name of a field at byte 7"),
    ] {
        assert_eq!(Record::parse(text).unwrap_err().to_string(), error, "{text}");
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(500_000), "]".repeat(500_000));
    assert!(Record::parse(&deep).unwrap_err().to_string().starts_with("more than 128"));
}

#[test]
fn documents_keep_every_digit_and_say_every_type() {
    let text = r#"[1.50, "a\"b", true, null, {"x": [12345678901234567890123456789012345678]}]"#;
    let typed = document::from_json(text).unwrap();
    assert_eq!(
        typed,
        r#"{"L":[{"N":"1.50"},{"S":"a\"b"},{"BOOL":true},{"NULL":true},{"M":{"x":{"L":[{"N":"12345678901234567890123456789012345678"}]}}}]}"#
    );
    assert_eq!(
        document::plain(&typed).unwrap(),
        r#"[1.50,"a\"b",true,null,{"x":[12345678901234567890123456789012345678]}]"#
    );
    assert!(document::from_json(&format!("[{}]", "1".repeat(39))).is_err());
    assert!(document::from_json(&format!("{}{}", "[".repeat(32), "]".repeat(32))).is_ok());
    assert!(document::from_json(&format!("{}{}", "[".repeat(33), "]".repeat(33))).is_err());
}

#[test]
fn numbers_that_only_dynamodb_writes_so_become_numbers_of_json() {
    let image = r#"{"a":{"N":"01"},"b":{"NS":["+1","-00.50","1.50"]},"c":{"L":[{"N":".5"},{"M":{"d":{"N":"5."}}}]}}"#;
    let record = document::record(image).unwrap().to_json();
    assert_eq!(record, r#"{"a":1,"b":[1,-0.5,1.50],"c":[0.5,{"d":5}]}"#);
    assert!(document::record(r#"{"a":{"N":"1 "}}"#).is_err());
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::String),
        "[ -~\\\\\"\n]{0,40}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            proptest::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|f| Value::Object(f.into_iter().collect())),
        ]
    })
}

fn to_value(json: &Json<'_>) -> Value {
    let mut text = String::new();
    json.write(&mut text);
    serde_json::from_str(&text).unwrap()
}

proptest! {
    #[test]
    fn what_serde_json_writes_is_read_back(object in proptest::collection::vec((any::<String>(), json()), 0..8), pretty: bool) {
        let object: serde_json::Map<String, Value> = object.into_iter().collect();
        let text = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }.unwrap();
        let record = Record::parse(&text).unwrap();
        let read: serde_json::Map<String, Value> = record.fields().iter().map(|(n, v)| (n.to_string(), to_value(v))).collect();
        prop_assert_eq!(&read, &object);
        // And through the documents of tables.
        for value in object.values().filter(|v| v.is_array() || v.is_object()) {
            let typed = document::from_json(&value.to_string()).unwrap();
            let plain: Value = serde_json::from_str(&document::plain(&typed).unwrap()).unwrap();
            prop_assert_eq!(&plain, value);
        }
    }

    #[test]
    fn broken_texts_are_broken_for_both(object in json(), at in any::<prop::sample::Index>(), byte in "[\\x00-\\x7f]") {
        let text = serde_json::json!({ "a": object, "b": "\\\u{1F600}" }).to_string();
        let mut broken: Vec<char> = text.chars().collect();
        let at = at.index(broken.len());
        broken[at] = byte.chars().next().unwrap();
        let broken: String = broken.into_iter().collect();
        let ours = Record::parse(&broken).is_ok();
        let theirs = serde_json::from_str::<serde_json::Map<String, Value>>(&broken).is_ok();
        // serde_json refuses numbers beyond 64-bit floating point; here they are text.
        prop_assert!(ours == theirs || broken.contains(['e', 'E']), "{broken}: ours {ours}, theirs {theirs}");
    }
}

#[test]
fn fields_come_in_the_order_of_the_text() {
    let names: Vec<String> = fields(r#"{"b":1,"a":2,"c":3}"#).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["b", "a", "c"]);
}

/// As [`Record::to_json`], by looking behind each field for a later one of its name.
fn naive_json(record: &Record<'_>) -> String {
    let mut parts = Vec::new();
    for (at, (name, value)) in record.fields().iter().enumerate() {
        if record.fields().iter().skip(at + 1).all(|(later, _)| later != name) {
            let mut part = String::new();
            write_text(name, &mut part);
            part.push(':');
            value.write(&mut part);
            parts.push(part);
        }
    }
    format!("{{{}}}", parts.join(","))
}

proptest! {
    #[test]
    fn a_record_is_written_with_the_last_field_of_each_name(names in prop::collection::vec("[a-c]{0,2}", 0..40)) {
        let mut record = Record::default();
        for (at, name) in names.into_iter().enumerate() {
            record.push(name, Json::Number(at.to_string().into()));
        }
        prop_assert_eq!(record.to_json(), naive_json(&record));
    }
}

#[test]
fn a_record_of_many_fields_is_written_in_one_pass() {
    let mut record = Record::default();
    for at in 0..60_000_u32 {
        record.push((at % 50_000).to_string(), Json::Number(at.to_string().into()));
    }
    let text = record.to_json();
    let written = Record::parse(&text).unwrap();
    assert_eq!(written.fields().len(), 50_000);
    let names = (10_000..60_000_u32).map(|at| ((at % 50_000).to_string(), at.to_string()));
    for ((name, value), (expected, number)) in written.fields().iter().zip(names) {
        assert_eq!((name.as_ref(), value), (expected.as_str(), &Json::Number(number.into())));
    }
}
