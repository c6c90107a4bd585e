//! Tests of `aggregate`.

use super::*;
use esclusa_plugin::testing::{self, NewEvent, Tables, call, lines, outcomes, show};
use esclusa_plugin::{Item, Value};

const CONFIG: &str = r#"{"table":"totals","key":{"order_date":"{order_date:date}","item_number":"{item_id}"},
    "sum":{"quantity":"quantity"},"count":"orders"}"#;

fn image(date: &str, item: &str, quantity: &str) -> String {
    format!(r#"{{"order_date":{{"S":"{date}T08:26:00Z"}},"item_id":{{"S":"{item}"}},"quantity":{{"N":"{quantity}"}}}}"#)
}

fn change(kind: &str, old: Option<String>, new: Option<String>) -> String {
    let image = |name: &str, image: Option<String>| image.map(|i| format!(r#","{name}":{i}"#)).unwrap_or_default();
    let (old, new) = (image("OldImage", old), image("NewImage", new));
    format!(r#"{{"eventName":"{kind}","dynamodb":{{"Keys":{{}}{old}{new}}}}}"#)
}

fn run(config: &str, text: &str) -> (Vec<String>, Vec<String>) {
    let plugin: Aggregate = testing::plugin(config);
    let batch = lines(text);
    let out = call(&plugin, &batch);
    (show(&out), outcomes(&out))
}

fn total(cause: &str, date: &str, item: &str, quantity: &str, orders: &str) -> String {
    let key = format!(r#"{{"item_number":{{"S":"{item}"}},"order_date":{{"S":"{date}"}}}}"#);
    format!("{cause}: update totals {key} quantity += {quantity} orders += {orders}")
}

#[test]
fn inserts_add_removals_subtract_and_updates_move() {
    let text = [
        change("INSERT", None, Some(image("2010-12-01", "a", "6"))),
        change("INSERT", None, Some(image("2010-12-01", "a", "-2"))),
        change("INSERT", None, Some(image("2010-12-02", "b", "0"))),
        change("MODIFY", Some(image("2010-12-03", "c", "5")), Some(image("2010-12-04", "c", "7"))),
        change("REMOVE", Some(image("2010-12-05", "d", "1.50")), None),
    ];
    let (effects, outcomes) = run(CONFIG, &text.join("\n"));
    assert_eq!(outcomes, [""; 0]);
    // In the order of the keys; item_number is the first of them.
    assert_eq!(
        effects,
        [
            total("-", "2010-12-01", "a", "4", "2"),
            total("2", "2010-12-02", "b", "0", "1"),
            total("3", "2010-12-03", "c", "-5", "-1"),
            total("3", "2010-12-04", "c", "7", "1"),
            total("4", "2010-12-05", "d", "-1.5", "-1"),
        ]
    );
}

#[test]
fn an_update_of_the_same_key_is_one_write_of_the_difference() {
    let text = change("MODIFY", Some(image("2010-12-01", "a", "5")), Some(image("2010-12-01", "a", "7")));
    assert_eq!(run(CONFIG, &text).0, [total("0", "2010-12-01", "a", "2", "0")]);
    let same = change("MODIFY", Some(image("2010-12-01", "a", "5")), Some(image("2010-12-01", "a", "5.0")));
    assert_eq!(run(CONFIG, &same), (vec![], vec!["0: skip nothing that counts has changed".to_owned()]));
}

#[test]
fn plain_records_add() {
    let record =
        |quantity: &str| format!(r#"{{"order_date":"2010-12-01T08:26:00Z","item_id":"a","quantity":{quantity}}}"#);
    let (effects, outcomes) = run(CONFIG, &[record("6"), record("\"0.5\""), record("-1")].join("\n"));
    assert_eq!((effects, outcomes.len()), (vec![total("-", "2010-12-01", "a", "5.5", "3")], 0));
}

#[test]
fn an_event_that_lacks_a_field_is_skipped_and_a_malformed_one_touches_no_sum() {
    let text = [
        r#"{"order_date":"2010-12-01T08:26:00Z","item_id":"a","quantity":1}"#.to_owned(),
        r#"{"item_id":"a","quantity":1}"#.to_owned(),
        r#"{"order_date":"2010-12-01","item_id":"","quantity":1}"#.to_owned(),
        r#"{"order_date":"2010-12-01","item_id":"a"}"#.to_owned(),
        r#"{"order_date":"2010-12-01","item_id":"a","quantity":null}"#.to_owned(),
        "hello".to_owned(),
        r#"{"order_date":"soon","item_id":"a","quantity":1}"#.to_owned(),
        r#"{"order_date":"2010-12-01","item_id":"a","quantity":"many"}"#.to_owned(),
        format!(r#"{{"order_date":"2010-12-01","item_id":"a","quantity":{}}}"#, "1".repeat(39)),
        // Leaves a sum of more than 38 digits.
        r#"{"order_date":"2010-12-01","item_id":"a","quantity":1e-40}"#.to_owned(),
        change("REMOVE", None, None),
        change("MODIFY", None, Some(image("2010-12-01", "a", "5"))),
    ];
    let (effects, outcomes) = run(CONFIG, &text.join("\n"));
    assert_eq!(effects, [total("0", "2010-12-01", "a", "1", "1")]);
    let kinds: Vec<&str> = outcomes.iter().filter_map(|o| o.split(' ').nth(1)).collect();
    assert_eq!(kinds, [["skip"; 4].as_slice(), &["reject"; 7]].concat(), "{outcomes:#?}");
    assert!(outcomes[10].contains("the feed must keep both"), "{outcomes:#?}");
}

#[test]
fn a_modification_counts_the_image_that_has_the_fields() {
    let bare = r#"{"item_id":{"S":"a"}}"#.to_owned();
    let text = [
        change("MODIFY", Some(bare.clone()), Some(image("2010-12-01", "a", "5"))),
        change("MODIFY", Some(image("2010-12-02", "a", "5")), Some(bare.clone())),
        change("MODIFY", Some(bare.clone()), Some(bare)),
    ];
    let (effects, outcomes) = run(CONFIG, &text.join("\n"));
    assert_eq!(effects, [total("0", "2010-12-01", "a", "5", "1"), total("1", "2010-12-02", "a", "-5", "-1")]);
    assert_eq!(outcomes, [r#"2: skip field "order_date" is missing"#]);
}

#[test]
fn a_malformed_image_contributes_nothing_whichever_it_is() {
    let wrong = || Some(r#"{"order_date":{"S":"2010-12-01"},"item_id":{"S":"a"},"quantity":{"S":"12,5"}}"#.to_owned());
    let good = || Some(image("2010-12-01", "a", "9"));
    let (effects, outcomes) = run(CONFIG, &change("MODIFY", wrong(), good()));
    assert_eq!((effects, outcomes), (vec![total("0", "2010-12-01", "a", "9", "1")], vec![]));
    let (effects, outcomes) = run(CONFIG, &change("MODIFY", good(), wrong()));
    assert_eq!((effects, outcomes), (vec![total("0", "2010-12-01", "a", "-9", "-1")], vec![]));
    // From its beginning to its end a record leaves nothing.
    let whole = [
        change("INSERT", None, wrong()),
        change("MODIFY", wrong(), good()),
        change("MODIFY", good(), wrong()),
        change("MODIFY", wrong(), good()),
        change("REMOVE", good(), None),
    ];
    let (effects, outcomes) = run(CONFIG, &whole.join("\n"));
    assert_eq!(effects, [total("-", "2010-12-01", "a", "0", "0")]);
    assert!(outcomes.len() == 1 && outcomes[0].starts_with("0: reject field \"quantity\""), "{outcomes:?}");
}

#[test]
fn if_no_image_contributes_a_malformed_one_goes_before_one_that_lacks_a_field() {
    let wrong = || Some(r#"{"order_date":{"S":"2010-12-01"},"item_id":{"S":"a"},"quantity":{"S":"many"}}"#.to_owned());
    let bare = || Some(r#"{"item_id":{"S":"a"}}"#.to_owned());
    let text = [
        change("MODIFY", bare(), wrong()),
        change("MODIFY", wrong(), bare()),
        change("MODIFY", wrong(), wrong()),
        change("REMOVE", wrong(), None),
        change("REMOVE", bare(), None),
    ];
    let (effects, outcomes) = run(CONFIG, &text.join("\n"));
    assert_eq!(effects, [""; 0]);
    let kinds: Vec<&str> = outcomes.iter().filter_map(|o| o.split(' ').nth(1)).collect();
    assert_eq!(kinds, ["reject", "reject", "reject", "reject", "skip"], "{outcomes:#?}");
}

#[test]
fn totals_do_not_depend_on_the_batches() {
    let data: Vec<String> = (0..40)
        .map(|i| image(&format!("2010-12-{:02}", i % 3 + 1), ["a", "b"][i % 2], &(i as i64 - 20).to_string()))
        .collect();
    let mut events: Vec<String> = data.iter().map(|i| change("INSERT", None, Some(i.clone()))).collect();
    events.extend(data.iter().step_by(3).map(|i| change("REMOVE", Some(i.clone()), None)));
    let plugin: Aggregate = testing::plugin(CONFIG);
    let apply = |size: usize| {
        let mut tables = Tables::new().table("totals", &["order_date", "item_number"]);
        for chunk in events.chunks(size) {
            let batch = lines(&chunk.join("\n"));
            tables.apply(&call(&plugin, &batch)).unwrap();
        }
        let mut items: Vec<String> = tables
            .items("totals")
            .iter()
            .map(|item| format!("{:?}", item.get("quantity").zip(item.get("orders"))))
            .collect();
        items.sort();
        items
    };
    assert_eq!(apply(1), apply(7));
    assert_eq!(apply(1), apply(events.len()));
}

#[test]
fn extremes_rest_on_what_is_stored_and_are_guarded() {
    let config = r#"{"table":"t","key":{"k":"{k}"},"min":{"least":"v"},"max":{"most":"v"}}"#;
    let plugin: Aggregate = testing::plugin(config);
    let mut tables = Tables::new().table("t", &["k"]);
    let batch = lines("{\"k\":\"a\",\"v\":5}\n{\"k\":\"a\",\"v\":-3}\n{\"k\":\"b\",\"v\":1}");
    let first = testing::with_tables(&tables, || call(&plugin, &batch));
    assert_eq!(
        show(&first),
        [
            r#"-: update t {"k":{"S":"a"}} least = {"N":"-3"} most = {"N":"5"} if least absent and most absent else rerun"#,
            r#"2: update t {"k":{"S":"b"}} least = {"N":"1"} most = {"N":"1"} if least absent and most absent else rerun"#,
        ]
    );
    tables.apply(&first).unwrap();
    let batch = lines("{\"k\":\"a\",\"v\":4}\n{\"k\":\"b\",\"v\":10}");
    let second = testing::with_tables(&tables, || call(&plugin, &batch));
    assert_eq!(show(&second), [r#"1: update t {"k":{"S":"b"}} most = {"N":"10"} if most = {"N":"1"} else rerun"#]);
    tables.apply(&second).unwrap();
    let b = tables.items("t").iter().find(|item| item.text("k") == Some("b")).unwrap();
    assert_eq!((b.get("least"), b.get("most")), (Some(&Value::from(1)), Some(&Value::from(10))));
}

#[test]
fn a_key_that_is_too_long_is_left_to_the_router_which_knows_its_event() {
    let plugin: Aggregate = testing::plugin(r#"{"table":"t","key":{"k":"{k}"},"max":{"most":"v"}}"#);
    let tables = Tables::new().table("t", &["k"]).item("t", Item::new().with("k", "a").with("most", 5));
    let long = "x".repeat(2049);
    let batch = lines(&format!("{{\"k\":\"a\",\"v\":7}}\n{{\"k\":\"{long}\",\"v\":1}}"));
    let out = testing::with_tables(&tables, || call(&plugin, &batch));
    assert_eq!(
        show(&out),
        [
            r#"0: update t {"k":{"S":"a"}} most = {"N":"7"} if most = {"N":"5"} else rerun"#.to_owned(),
            format!(r#"1: update t {{"k":{{"S":"{long}"}}}} most = {{"N":"1"}} if most absent else rerun"#),
        ]
    );
    assert!(tables.clone().apply(&out).unwrap_err().contains("more than 2048"));
}

#[test]
fn a_value_is_not_taken_back_out_of_an_extreme() {
    let config = r#"{"table":"t","key":{"k":"{item_id}"},"max":{"most":"quantity"},"count":"n"}"#;
    let plugin: Aggregate = testing::plugin(config);
    let text = [
        change("REMOVE", Some(image("2010-12-01", "a", "5")), None),
        change("MODIFY", Some(image("2010-12-01", "a", "5")), Some(image("2010-12-01", "a", "4"))),
    ];
    let batch = lines(&text.join("\n"));
    let tables = Tables::new().table("t", &["k"]).item("t", Item::new().with("k", "a").with("most", 5));
    let out = testing::with_tables(&tables, || call(&plugin, &batch));
    assert_eq!(out.effects().len(), 0);
    assert!(outcomes(&out).iter().all(|o| o.contains("reject a value cannot be taken back")), "{:?}", outcomes(&out));
}

#[test]
fn bytes_that_are_no_text_are_rejected() {
    let plugin: Aggregate = testing::plugin(CONFIG);
    let batch = testing::events_of(&[NewEvent { data: b"\xff", ..NewEvent::default() }]);
    assert_eq!(outcomes(&call(&plugin, &batch)).len(), 1);
}

#[test]
fn a_wrong_configuration_is_refused_with_the_place() {
    let refusal = testing::refusal::<Aggregate>;
    assert!(
        refusal(r#"{"table":"t","key":{"a":"{a:week}"},"count":"n"}"#).contains("config.key.a: template \"{a:week}\"")
    );
    assert!(refusal(r#"{"table":"t","key":{"a":"{a}"}}"#).contains("nothing to total"));
    assert!(refusal(r#"{"table":"t","key":{"a":"{a}"},"count":"a"}"#).contains("attribute \"a\" is used twice"));
    assert!(refusal(r#"{"table":"t","key":{"a":"{a}"},"sums":{}}"#).contains("unknown field `sums`"));
}

#[test]
fn the_schema_names_every_option_and_nothing_else() {
    let schema: serde_json::Value = serde_json::from_str(Aggregate::SCHEMA).unwrap();
    assert_eq!(schema["additionalProperties"], serde_json::json!(false));
    let mut names: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["count", "key", "max", "min", "sum", "table"]);
    let refused = testing::refusal::<Aggregate>(r#"{"no-such-option":1}"#);
    for name in names {
        assert!(refused.contains(&format!("`{name}`")), "{refused}");
    }
}
