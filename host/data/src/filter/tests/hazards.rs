//! JSON that parsers disagree about.

use super::*;

#[test]
fn of_a_field_that_is_there_twice_the_last_counts() {
    let given = json!({ "a": [1] });
    assert!(matches_data(given.clone(), r#"{"a":2,"a":1}"#));
    assert!(!matches_data(given.clone(), r#"{"a":1,"a":2}"#));
    assert!(!matches_data(given, r#"{"a":1,"\u0061":2}"#));
}

#[test]
fn names_and_texts_are_compared_unescaped() {
    assert!(matches_data(json!({ "method": ["GET"] }), r#"{"me\u0074hod":"G\u0045T"}"#));
    assert!(matches_data(json!({ "a/b~\"": ["😀"] }), r#"{"a\/b~\"":"\ud83d\ude00"}"#));
    assert!(matches_data(json!({ "": { "": [1] } }), r#"{"":{"":1}}"#));
}

#[test]
fn half_a_surrogate_pair_equals_no_text() {
    let data = r#"{"bad":"x\ud800","b\udc00":1,"good":"y"}"#;
    assert!(matches_data(json!({ "good": ["y"] }), data));
    assert!(matches_data(json!({ "bad": [{ "anything-but": "x\u{fffd}" }] }), data));
    assert!(!matches_data(json!({ "bad": ["x"] }), data));
    assert!(matches_data(json!({ "bad": ["x\\ud800"] }), data));
}

#[test]
fn what_is_nested_too_deeply_is_no_json() {
    let nested = |depth: usize| format!("{{\"a\":1,\"b\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let given = json!({ "a": [1] });
    assert!(matches_data(given.clone(), nested(126)));
    assert!(!matches_data(given.clone(), nested(127)));
    assert!(!matches_data(given.clone(), nested(10_000)));
    assert!(serde_json::from_str::<Value>(&nested(126)).is_ok(), "the limit is that of the parser");
    assert!(serde_json::from_str::<Value>(&nested(127)).is_err(), "the limit is that of the parser");
    let flat = format!("{{\"a\":1,\"b\":[{}{{}}],\"c\":\"{}\"}}", "{},".repeat(1000), "[\\\"".repeat(1000));
    assert!(matches_data(given.clone(), flat));
    assert!(!matches_data(json!({ "b": [1] }), format!("{{\"b\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000))));
    assert!(matches_data(json!([{ "prefix": "[[[" }]), "[".repeat(10_000)));
    assert!(!matches_data(given, format!("{}\"a\":1{}", "{\"a\":".repeat(5000), "}".repeat(5000))));
}

#[test]
fn numbers_of_any_length_are_numbers() {
    let long = "1".repeat(39);
    for (operand, number, expected) in [
        (json!(["<", "111111111111111111111111111111111111112"]), long.as_str(), true),
        (json!([">", 0]), "1e400", true),
        (json!([">", 1e300]), "1e400", true),
        (json!(["<", 1]), "1e-400", true),
        (json!([">", 0]), "1e99999999999999999999", false),
        (json!(["<", 1]), "-1e400", true),
    ] {
        let data = format!("{{\"a\":{number}}}");
        assert_eq!(matches_data(json!({ "a": [{ "numeric": operand }] }), &data), expected, "{operand} {data}");
    }
    let unreadable = r#"{"a":1e99999999999999999999}"#;
    assert!(matches_data(json!({ "a": [{ "anything-but": 1 }] }), unreadable));
    assert!(matches_data(json!({ "a": [{ "exists": true }] }), unreadable));
}

#[test]
fn what_is_almost_json_is_none() {
    for data in [
        r#"{"a":NaN}"#,
        r#"{"a":Infinity}"#,
        r#"{"a":1,}"#,
        r#"{"a":01}"#,
        r#"{'a':1}"#,
        r#"{"a":+1}"#,
        "{\"a\":1}\u{0}",
        "\u{feff}{\"a\":1}",
        r#"{"a":1}{"a":1}"#,
        r#"{a:1}"#,
        "{\"a\":\"\n\"}",
        r#"{"a":.5}"#,
        r#"{"a":"\x"}"#,
    ] {
        assert!(!matches_data(json!({ "a": [{ "exists": true }] }), data), "{data}");
        assert!(!matches_data(json!({ "a": [{ "exists": false }] }), data), "{data}");
        assert!(matches_data(json!([{ "exists": true }]), data), "{data}");
    }
}

#[test]
fn bytes_that_are_no_text_are_no_json() {
    let data = b"{\"a\":1,\"b\":\"\xff\"}";
    assert!(!matches_data(json!({ "a": [1] }), data));
    assert!(matches_data(json!([{ "suffix": "\u{fffd}\"}" }]), data));
}

#[test]
fn only_named_data_is_read() {
    let broken = NewEvent { key: "a", data: b"\xff{", ..NewEvent::default() };
    assert!(matches("stream", json!({ "key": ["a"] }), &broken));
    assert!(matches("table-changes", json!({ "key": ["a"] }), &broken));
}
