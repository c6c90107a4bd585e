//! Behaviours on which plugin authors rely.

use esclusa_plugin::objects::ObjectError;
use esclusa_plugin::tables::{Selection, TableError};
use esclusa_plugin::testing::{self, NewEvent, Tables};
use esclusa_plugin::{
    Batch, Columns, Comparison, Condition, Effects, EventError, Failure, Item, Plugin, Send, Update, Value, tables,
};

struct Author;

impl Plugin for Author {
    type Config = serde_json::Value;

    fn new(_: serde_json::Value) -> Result<Self, String> {
        Ok(Author)
    }

    fn handle<'a>(&'a self, batch: &'a Batch, out: &mut Effects<'a>) -> Result<(), Failure> {
        out.for_each(batch, |event, out| {
            out.put("t", Item::new().with("id", event.id()));
            out.reply(event, 200, "text/plain", "fine");
            match event.text()? {
                "reject" => Err(EventError::reject("no")),
                "skip" => Err(EventError::skip("not now")),
                "retry" => Err(EventError::Retry(Some(50))),
                "read" => tables::get("t", &Item::new().with("id", "1")).map(|_| ()).map_err(EventError::from),
                _ => Ok(()),
            }
        })?;
        out.push(Send::text("end", "done").key("k").attribute("subject", "s"));
        Ok(())
    }
}

#[test]
fn an_error_takes_the_effects_and_replies_of_its_event_with_it() {
    let batch = testing::lines("a\nreject\nskip\nretry\nb");
    let out = testing::call(&Author, &batch);
    assert_eq!(
        testing::show(&out),
        [r#"0: put t {"id":{"S":"1"}}"#, r#"4: put t {"id":{"S":"5"}}"#, r#"-: send end [k] done subject="s""#]
    );
    assert_eq!(testing::outcomes(&out), ["1: reject no", "2: skip not now", "3: retry Some(50)"]);
    assert_eq!(out.replies().iter().map(|r| r.event).collect::<Vec<_>>(), [0, 4]);
}

#[test]
fn bytes_that_are_no_text_are_rejected_with_their_place() {
    let batch = testing::events_of(&[NewEvent { id: "1", data: b"ab\xff", ..NewEvent::default() }]);
    assert_eq!(
        testing::outcomes(&testing::call(&Author, &batch)),
        ["0: reject the payload is not UTF-8 from byte 2 on"]
    );
}

#[test]
fn a_read_that_fails_fails_the_batch() {
    let batch = testing::lines("read");
    let missing = testing::with_tables(&Tables::new(), || esclusa_plugin::plugin::call(&Author, &batch).unwrap_err());
    assert!(matches!(missing, Failure::Halt(reason) if reason.contains("\"t\" is not granted")));
    let tables = Tables::new().table("t", &["id"]);
    assert!(testing::with_tables(&tables, || esclusa_plugin::plugin::call(&Author, &batch)).is_ok());
}

#[test]
fn a_wrong_read_of_an_event_rejects_it_and_a_wrong_read_of_the_batch_stops_the_route() {
    let batch = testing::lines("a\nread\nb");
    let wrong = Tables::new().table("t", &["other"]);
    let out = testing::with_tables(&wrong, || testing::call(&Author, &batch));
    assert_eq!(testing::outcomes(&out), [r#"1: reject the key of the table is ["other"]"#]);
    assert_eq!(testing::show(&out).len(), 3);
    let invalid = || TableError::Invalid("wrong".to_owned());
    assert_eq!(EventError::from(invalid()), EventError::Reject("wrong".to_owned()));
    assert_eq!(Failure::from(invalid()), Failure::Halt("wrong".to_owned()));
    let invalid = || ObjectError::Invalid("wrong".to_owned());
    assert_eq!(EventError::from(invalid()), EventError::Reject("wrong".to_owned()));
    assert_eq!(Failure::from(invalid()), Failure::Halt("wrong".to_owned()));
    let [granted, away] = ["t", "away"].map(str::to_owned);
    assert!(matches!(EventError::from(ObjectError::NotGranted(granted.clone())), EventError::Batch(Failure::Halt(_))));
    assert!(matches!(EventError::from(TableError::NotGranted(granted)), EventError::Batch(Failure::Halt(_))));
    assert!(matches!(EventError::from(ObjectError::Unavailable(away.clone())), EventError::Batch(Failure::Retry(_))));
    assert!(matches!(EventError::from(TableError::Unavailable(away)), EventError::Batch(Failure::Retry(_))));
}

#[test]
fn the_store_for_tests_limits_keys_as_the_router_does() {
    let tables = Tables::new().table("t", &["p", "s"]).index("t", "by-state", &["state", "at"]);
    let get = |p: usize, s: usize| {
        let key = Item::new().with("p", "x".repeat(p)).with("s", "x".repeat(s));
        testing::with_tables(&tables, || tables::get("t", &key))
    };
    assert_eq!(get(2048, 1024), Ok(None));
    let too_long = |name: &str, length: usize, limit: usize| {
        TableError::Invalid(format!("the key attribute {name:?} has {length} bytes, more than {limit}"))
    };
    assert_eq!(get(2049, 1), Err(too_long("p", 2049, 2048)));
    assert_eq!(get(1, 1025), Err(too_long("s", 1025, 1024)));
    let query = |state: usize, at: usize| {
        let condition = Condition::new().equal("state", "x".repeat(state));
        let condition = condition.and("at", Comparison::Less(Value::from("x".repeat(at))));
        testing::with_tables(&tables, || tables::query(&Selection::of("t", condition).index("by-state")))
    };
    assert_eq!(query(2048, 1024), Ok(Vec::new()));
    assert_eq!(query(2049, 1), Err(too_long("state", 2049, 2048)));
    assert_eq!(query(1, 1025), Err(too_long("at", 1025, 1024)));
    let mut out = Effects::default();
    out.put("t", Item::new().with("p", "x").with("s", "x".repeat(1025)));
    assert!(tables.clone().apply(&out).unwrap_err().contains("more than 1024"));
}

#[test]
fn events_give_everything_that_came_with_them() {
    let batch = testing::events_of(&[
        NewEvent {
            id: "a",
            key: "k",
            data: br#"{"n":1}"#,
            attributes: &[("x", "1"), ("y", "2")],
            timestamp: 7,
            attempt: 0,
        },
        NewEvent { id: "b", attributes: &[("z", "3")], timestamp: 5, attempt: 3, ..NewEvent::default() },
    ]);
    let event = batch.get(0).unwrap();
    assert_eq!((event.id(), event.key(), event.timestamp(), event.attempt()), ("a", "k", 7, 1));
    assert_eq!(event.json::<serde_json::Value>().unwrap(), serde_json::json!({ "n": 1 }));
    assert_eq!(event.attributes().collect::<Vec<_>>(), [("x", "1"), ("y", "2")]);
    assert_eq!((batch.get(1).unwrap().attribute("z"), batch.get(1).unwrap().attempt()), (Some("3"), 3));
    assert_eq!((batch.len(), batch.now(), batch.get(2).is_none()), (2, 7, true));
}

#[test]
fn a_malformed_batch_does_not_panic() {
    let columns = Columns {
        events: vec![9, 9, 9, 9, 9, 9, 9, u32::MAX],
        timestamps: vec![0, 0],
        attempts: vec![0, 0],
        ..Columns::default()
    };
    let batch = Batch { columns, ..Batch::default() };
    let event = batch.get(0).unwrap();
    assert_eq!((event.id(), event.key(), event.data(), event.attributes().count()), ("", "", &[][..], 0));
    // The second event has a time and no offsets.
    assert_eq!((batch.iter().count(), batch.get(1).is_none()), (1, true));
}

#[test]
fn the_store_for_tests_carries_out_what_a_plugin_returns() {
    let mut tables = Tables::new().table("t", &["id"]).index("t", "by-state", &["state", "id"]);
    let mut out = Effects::default();
    out.put("t", Item::new().with("id", "a").with("state", "A"));
    out.push(Update::new("t", Item::new().with("id", "a")).add("n", "2").set("x", true));
    out.push(Update::new("t", Item::new().with("id", "a")).add("n", "1").guard(Condition::new().absent("n").or_skip()));
    tables.apply(&out).unwrap();
    assert_eq!(tables.items("t")[0].get("n"), Some(&Value::Number("2".into())));

    let selection = tables::Selection::of("t", Condition::new().equal("state", "A")).index("by-state");
    let found = testing::with_tables(&tables, || tables::query(&selection)).unwrap();
    assert_eq!(found.len(), 1);

    let mut stale = Effects::default();
    stale.push(
        Update::new("t", Item::new().with("id", "a"))
            .remove("x")
            .guard(Condition::new().equal("state", "B").or_rerun()),
    );
    assert!(tables.apply(&stale).is_err());
}

#[test]
fn the_store_for_tests_compares_and_adds_numbers_with_every_digit() {
    let stored = Item::new().with("id", "a").with("n", Value::Number("12345678901234567890".into()));
    let mut tables = Tables::new().table("t", &["id"]).item("t", stored.with("price", Value::Number("0.1".into())));
    let update = || Update::new("t", Item::new().with("id", "a"));
    let n = |text: &'static str| Value::number(text).unwrap();
    let mut out = Effects::default();
    let another = Condition::new().equal("n", n("12345678901234567891"));
    out.push(update().set("touched", true).guard(another.or_skip()));
    out.push(update().add("price", "0.20").guard(Condition::new().equal("n", n("1234567890123456789e1")).or_rerun()));
    tables.apply(&out).unwrap();
    let item = &tables.items("t")[0];
    assert_eq!((item.get("touched"), item.get("price")), (None, Some(&n("0.3"))));

    let mut wrong = Effects::default();
    wrong.push(update().add("id", "1"));
    let why = tables.apply(&wrong).unwrap_err();
    assert_eq!(why, "adding to \"id\": the attribute is of type S, not a number");
}
