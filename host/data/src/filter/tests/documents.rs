//! What a pattern sees of an event, by the kind of its source.

use super::*;

fn event() -> NewEvent<'static> {
    NewEvent {
        id: "m-1",
        key: "customer-7",
        data: br#"{"type":"order"}"#,
        attributes: &[("trace", "a"), ("trace", "b"), ("lang", "es")],
        timestamp: 1_767_225_600_000,
        attempt: 1,
    }
}

#[test]
fn every_event_has_an_envelope() {
    for kind in ["stream", "queue", "http", "file", "generate", "schedule", "table-changes", "kinesis", "sqs"] {
        for (given, expected) in [
            (json!({ "data": { "type": ["order"] } }), true),
            (json!({ "data": { "type": ["refund"] } }), false),
            (json!({ "key": ["customer-7"], "partitionKey": [{ "prefix": "customer-" }] }), true),
            (json!({ "id": ["m-1"] }), true),
            (json!({ "timestamp": [{ "numeric": [">=", 1_767_225_600_000u64] }] }), true),
            (json!({ "attributes": { "lang": ["es"] } }), true),
            (json!({ "attributes": { "trace": ["b"] } }), true),
            (json!({ "attributes": { "trace": ["a"] } }), false),
            (json!({ "attributes": { "none": [{ "exists": false }] } }), true),
            (json!({ "attributes": [{ "exists": true }] }), false),
        ] {
            assert_eq!(matches(kind, given.clone(), &event()), expected, "{kind} {given}");
        }
    }
}

#[test]
fn a_filter_can_be_held_to_the_time_of_acceptance() {
    let mut columns = Columns::default();
    columns.push(&event()).unwrap();
    let at = event().timestamp;
    let order = json!({ "data": { "type": ["order"] } });
    let refund = json!({ "data": { "type": ["refund"] } });
    let earlier = json!({ "timestamp": [{ "numeric": ["<", at] }] });
    for (patterns, since, until, expected) in [
        (None, at, at, true),
        (None, 0, at - 1, false),
        (None, at + 1, u64::MAX, false),
        (Some(vec![refund.clone(), order.clone()]), 0, at, true),
        (Some(vec![refund.clone(), order]), 0, at - 1, false),
        (Some(vec![refund]), 0, at, false),
        (Some(vec![earlier]), 0, at, false),
    ] {
        let filter = patterns.as_deref().map(|patterns| Filter::compile(patterns).unwrap());
        for kind in ["stream", "kinesis", "table-changes"] {
            let filter = Filter::within(filter.clone(), since, until);
            assert_eq!(taken(&filter, kind, columns.get(0).unwrap()), expected, "{kind} {since} {until} {patterns:?}");
        }
    }
}

#[test]
fn names_of_one_kind_are_absent_elsewhere() {
    for (kind, name) in
        [("queue", "body"), ("sqs", "messageId"), ("stream", "sequenceNumber"), ("queue", "messageAttributes")]
    {
        let given = match name {
            "messageId" | "sequenceNumber" => json!({ name: ["m-1"] }),
            "body" => json!({ name: { "type": ["order"] } }),
            _ => json!({ name: { "lang": { "stringValue": ["es"], "dataType": ["String"] } } }),
        };
        assert!(matches(kind, given.clone(), &event()), "{kind} {given}");
        assert!(!matches("file", given.clone(), &event()), "{kind} {given}");
        assert!(matches("file", json!({ name: [{ "exists": false }] }), &event()));
    }
    assert!(matches("queue", json!({ "messageAttributes": { "lang": ["es"] } }), &event()));
}

#[test]
fn a_change_lies_at_the_top() {
    let data = br#"{"eventName":"MODIFY","dynamodb":{"Keys":{},"NewImage":{"stock":{"N":"3"}}},"id":"x"}"#;
    let change = NewEvent { data, ..event() };
    for kind in ["table-changes", "dynamodb-stream"] {
        for (given, expected) in [
            (json!({ "eventName": ["INSERT", "MODIFY"] }), true),
            (json!({ "eventName": ["REMOVE"] }), false),
            (json!({ "dynamodb": { "NewImage": { "stock": { "N": [{ "numeric": ["<", 10] }] } } } }), true),
            (json!({ "dynamodb": { "OldImage": { "stock": { "N": [{ "exists": false }] } } } }), true),
            (json!({ "eventName": ["MODIFY"], "key": ["customer-7"] }), true),
            (json!({ "data": { "eventName": ["MODIFY"] } }), true),
            (json!({ "id": ["m-1"], "eventName": ["MODIFY"] }), true),
        ] {
            assert_eq!(matches(kind, given.clone(), &change), expected, "{kind} {given}");
        }
    }
    assert!(!matches("stream", json!({ "eventName": ["MODIFY"] }), &change));
    for data in ["no record", "[]", "5"] {
        let broken = NewEvent { data: data.as_bytes(), ..event() };
        assert!(!matches("table-changes", json!({ "eventName": [{ "exists": false }] }), &broken));
        assert!(matches("table-changes", json!({ "key": ["customer-7"] }), &broken));
    }
}

#[test]
fn a_missing_key_is_absent() {
    let event = NewEvent { key: "", ..event() };
    assert!(matches("stream", json!({ "key": [{ "exists": false }] }), &event));
    assert!(!matches("stream", json!({ "key": [""] }), &event));
}

#[test]
fn data_that_is_no_json_is_a_text() {
    for (given, data, expected) in [
        (json!(["hello"]), "hello", true),
        (json!([{ "prefix": "ERROR" }]), "ERROR: x", true),
        (json!(["{broken"]), "{broken", true),
        (json!(["hello"]), "\"hello\"", true),
        (json!(["hello"]), "{\"hello\":1}", false),
        (json!([""]), "", true),
        (json!([5]), " 5 ", true),
        (json!(["5"]), "5", false),
        (json!({ "a": [1] }), "{\"a\": 1", false),
        (json!({ "a": [1] }), "{\"a\": 1} x", false),
        (json!({ "a": [1] }), "[{\"a\": 1}, ", false),
        (json!({ "a": [1] }), "[{\"a\": 1}]", true),
        (json!({ "a": [{ "exists": false }] }), "hello", false),
        (json!({ "a": [{ "exists": false }] }), "", false),
        (json!({ "a": [{ "exists": false }] }), "5", true),
        (json!([{ "exists": true }]), "", true),
        (json!([{ "exists": false }]), "{}", true),
    ] {
        assert_eq!(matches_data(given.clone(), data), expected, "{given} {data}");
    }
}

#[test]
fn fields_that_no_event_has_are_found() {
    let forgotten = Filter::compile(&[json!({ "data": ["x"] }), json!({ "key": ["a"], "method": ["GET"] })]).unwrap();
    assert_eq!(forgotten.unknown_field("stream"), Some((1, "method")));
    let nested = Filter::compile(&[json!({ "$or": [{ "data": [1] }, { "body": [1] }] })]).unwrap();
    assert_eq!(nested.unknown_field("queue"), None);
    assert_eq!(nested.unknown_field("stream"), Some((0, "body")));
    let change = Filter::compile(&[json!({ "eventName": ["INSERT"] })]).unwrap();
    assert_eq!(change.unknown_field("table-changes"), None);
    assert_eq!(change.unknown_field("http"), Some((0, "eventName")));
}
