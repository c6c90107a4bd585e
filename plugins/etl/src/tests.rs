//! Tests of `etl`.

use super::*;
use esclusa_plugin::testing::{self, NewEvent, call, outcomes, show};
use serde_json::json;

const CONFIG: &str = r##"{"table":"requests","key":{"pk":"path#{path}","sk":"{timestamp}"}}"##;

fn one(config: &str, record: &str) -> Result<String, String> {
    let plugin: Etl = testing::plugin(config);
    let batch = testing::events_of(&[NewEvent { id: "1", data: record.as_bytes(), ..NewEvent::default() }]);
    let out = call(&plugin, &batch);
    assert_eq!(out.effects().len() + out.outcomes().len(), 1);
    show(&out).pop().ok_or_else(|| outcomes(&out).pop().unwrap())
}

#[test]
fn the_key_comes_first_and_every_field_follows() {
    let record = r#"{"path":"/a?b","timestamp":"2015-05-17T10:05:03.000Z","bytes":203023,"ok":true,"none":null,"x":{"y":[1.50]}}"#;
    assert_eq!(
        one(CONFIG, record).unwrap(),
        format!(
            "0: put requests {}",
            json!({
                "bytes": { "N": "203023" }, "none": { "NULL": true }, "ok": { "BOOL": true }, "path": { "S": "/a?b" },
                "pk": { "S": "path#/a?b" }, "sk": { "S": "2015-05-17T10:05:03.000Z" },
                "timestamp": { "S": "2015-05-17T10:05:03.000Z" }, "x": { "M": { "y": { "L": [{ "N": "1.50" }] } } },
            })
        )
    );
}

#[test]
fn a_field_named_like_a_key_attribute_replaces_it_and_of_doubles_the_last_counts() {
    let config = r#"{"table":"t","key":{"id":"x{id}"}}"#;
    assert_eq!(one(config, r#"{"id":5,"a":1,"a":2}"#).unwrap(), r#"0: put t {"a":{"N":"2"},"id":{"N":"5"}}"#);
    let many: String = (0..100).map(|i| format!(r#","f{}":{i}"#, i % 50)).collect();
    let item = one(config, &format!(r#"{{"id":"y"{many}}}"#)).unwrap();
    assert!(item.contains(r#""f49":{"N":"99"}"#) && item.contains(r#""id":{"S":"y"}"#), "{item}");
    assert_eq!(item.matches("\"f1\"").count(), 1);
}

#[test]
fn fields_are_picked_renamed_and_typed() {
    let record = r#"{"id":"a","price":"2.55","code":7,"on":"true","deep":{"x":"y"},"left":"out"}"#;
    let picked = r#"{"table":"t","key":{"pk":"{id}"},"fields":["price","gone"],"types":{"price":"number"}}"#;
    assert_eq!(one(picked, record).unwrap(), r#"0: put t {"pk":{"S":"a"},"price":{"N":"2.55"}}"#);
    let renamed = r#"{"table":"t","key":{"pk":"{code}"},"fields":{"x":"deep.x","c":"code","on":"on"},
        "types":{"pk":"number","c":"text","on":"boolean"}}"#;
    assert_eq!(
        one(renamed, record).unwrap(),
        r#"0: put t {"c":{"S":"7"},"on":{"BOOL":true},"pk":{"N":"7"},"x":{"S":"y"}}"#
    );
}

#[test]
fn not_exists_leaves_an_item_alone_that_is_there() {
    let config = r#"{"table":"t","key":{"pk":"{id}"},"condition":"not-exists"}"#;
    assert_eq!(
        one(config, r#"{"id":"a"}"#).unwrap(),
        r#"0: put t {"id":{"S":"a"},"pk":{"S":"a"}} if pk absent else skip"#
    );
}

#[test]
fn a_bad_event_is_rejected_with_the_reason_and_the_others_go_on() {
    let plugin: Etl =
        testing::plugin(r#"{"table":"t","key":{"pk":"{id}"},"types":{"n":"number","b":"boolean","t":"text"}}"#);
    let big = format!(r#"{{"id":"a","n":{}}}"#, "9".repeat(39));
    let deep = format!(r#"{{"id":"a","x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let events: [&[u8]; 14] = [
        br#"{"id":"fine"}"#,
        b"",
        b"hello",
        b"[1,2]",
        b"\xff\xfe",
        br#"{"other":1}"#,
        br#"{"id":""}"#,
        br#"{"id":null}"#,
        big.as_bytes(),
        deep.as_bytes(),
        br#"{"id":"a","n":"many"}"#,
        br#"{"id":"a","b":"maybe"}"#,
        br#"{"id":"a","t":[]}"#,
        br#"{"id":"a","":1}"#,
    ];
    let events = events.map(|data| NewEvent { id: "1", data, ..NewEvent::default() });
    let batch = testing::events_of(&events);
    let out = call(&plugin, &batch);
    assert_eq!(out.effects().len(), 1);
    let reasons = [
        "1: reject the payload is not JSON: expected an object, found nothing at byte 0",
        "2: reject the payload is not JSON: expected an object at byte 0",
        "3: reject the payload is not JSON: expected an object at byte 0",
        "4: reject the payload is not UTF-8 from byte 0 on",
        "5: reject field \"id\" is missing, template \"{id}\" needs it",
        "6: reject key attribute \"pk\" is empty: \"{id}\"",
        "7: reject field \"id\" is null, template \"{id}\" needs a text or a number",
        "8: reject field \"n\": 999999999999999999999999999999999999999 has more than 38 significant digits: round it before it is stored",
        "9: reject the payload is not JSON: more than 128 arrays and objects within each other at byte 141",
        "10: reject field \"n\": \"many\" is not a decimal number",
        "11: reject field \"b\": \"maybe\" is neither true nor false",
        "12: reject field \"t\": an array cannot become a text",
        "13: reject a field has an empty name",
    ];
    assert_eq!(outcomes(&out), reasons);
}

#[test]
fn a_record_of_ten_mebibytes_is_an_item_like_any_other() {
    let record = format!(r#"{{"id":"a","text":"{}"}}"#, "x".repeat(10 << 20));
    assert!(one(r#"{"table":"t","key":{"pk":"{id}"}}"#, &record).unwrap().len() > 10 << 20);
}

#[test]
fn a_wrong_configuration_is_refused_with_the_place() {
    let refusal = testing::refusal::<Etl>;
    assert!(refusal(r#"{"table":"t","key":{}}"#).contains("config.key: name the key attributes"));
    assert!(refusal(r#"{"table":"t","key":{"pk":"{id"}}"#).contains("config.key.pk: template \"{id\", column 1"));
    assert!(refusal(r#"{"table":"t","key":{"pk":"a"},"feilds":[]}"#).contains("unknown field `feilds`"));
    assert!(refusal(r#"{"table":"t","key":{"pk":"a"},"types":{"a":"int"}}"#).contains("unknown variant `int`"));
}

#[test]
fn the_schema_names_every_option_and_nothing_else() {
    let schema: serde_json::Value = serde_json::from_str(Etl::SCHEMA).unwrap();
    assert_eq!(schema["additionalProperties"], json!(false));
    let mut names: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["condition", "fields", "key", "table", "types"]);
    let refused = testing::refusal::<Etl>(r#"{"no-such-option":1}"#);
    for name in names {
        assert!(refused.contains(&format!("`{name}`")), "{refused}");
    }
}
