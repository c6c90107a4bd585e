//! Tests of the plugin, native, on tables in memory.

use super::*;
use esclusa_plugin::testing::{self, NewEvent, Tables, lines, outcomes, show};

const ENDPOINT: &str = r#"{"role":"endpoint","table":"messages","queue":"messages","topics":"topics"}"#;
const WORKER: &str = r#"{"role":"worker","table":"messages"}"#;
const UNDERTAKER: &str = r#"{"role":"undertaker","table":"messages"}"#;

fn tables() -> Tables {
    Tables::new().table("messages", &["board", "id"])
}

fn message(id: &'static str, state: &'static str) -> Item<'static> {
    key(id).with("text", "hola").with("state", state)
}

fn request(method: &str, path: &str, body: &str) -> Batch {
    let attributes = [("method", method), ("path", path)];
    let event =
        NewEvent { id: "7", data: body.as_bytes(), attributes: &attributes, timestamp: 1000, ..NewEvent::default() };
    testing::events_of(&[event])
}

/// Status and text of the only answer.
fn answer(out: &Effects<'_>) -> (u16, String) {
    let [reply] = out.replies() else { panic!("one answer") };
    (reply.status, String::from_utf8(reply.body.clone()).unwrap())
}

/// What stands before the JSON of a line, and the JSON: its fields have no order.
fn parts(line: &str) -> (&str, serde_json::Value) {
    let (before, json) = line.split_at(line.find(['{', '[']).unwrap());
    match serde_json::from_str(json) {
        Ok(json) => (before, json),
        // The key of a message stands in brackets before its text.
        Err(_) => {
            let (before, json) = line.split_at(line.find('{').unwrap());
            (before, serde_json::from_str(json).unwrap())
        }
    }
}

#[test]
fn a_message_is_stored_as_pending_and_goes_into_the_queue_of_its_author_and_to_its_topic() {
    let board: Board = testing::plugin(ENDPOINT);
    let batch = request("POST", "/messages", r#"{"text":"say \"hola\"","author":"ana","topic":"users"}"#);
    let out = testing::call(&board, &batch);
    let expected = [
        r#"0: put messages {"author":{"S":"ana"},"board":{"S":"main"},"id":{"S":"0000000001000-7"},"state":{"S":"pending"},"text":{"S":"say \"hola\""}}"#,
        r#"0: send messages [ana] {"id":"0000000001000-7","text":"say \"hola\""}"#,
        r#"0: send topics [users] {"id":"0000000001000-7","text":"say \"hola\"","topic":"users"}"#,
    ];
    let shown = show(&out);
    assert_eq!(shown.iter().map(|line| parts(line)).collect::<Vec<_>>(), expected.map(parts));
    let (status, text) = answer(&out);
    assert_eq!((status, parts(&text)), (202, parts(r#"{"id":"0000000001000-7","state":"pending"}"#)));
}

#[test]
fn messages_are_listed_latest_first() {
    let board: Board = testing::plugin(ENDPOINT);
    let tables = tables().item("messages", message("1", "complete")).item("messages", message("2", "fail"));
    let batch = request("GET", "/messages", "");
    let out = testing::with_tables(&tables, || testing::call(&board, &batch));
    let list = r#"[{"id":"2","state":"fail","text":"hola"},{"id":"1","state":"complete","text":"hola"}]"#;
    let (status, text) = answer(&out);
    assert_eq!((status, parts(&text)), (200, parts(list)));
}

#[test]
fn requests_that_make_no_sense_are_answered_and_change_nothing() {
    let board: Board = testing::plugin(ENDPOINT);
    for (batch, status) in [(request("POST", "/messages", "hola"), 400), (request("PUT", "/x", ""), 404)] {
        let out = testing::call(&board, &batch);
        assert_eq!((answer(&out).0, out.effects().len()), (status, 0));
    }
}

#[test]
fn a_pending_message_is_processed_once_and_a_long_one_is_rejected() {
    let board: Board = testing::plugin(WORKER);
    let long = format!(r#"{{"id":"2","text":"{}"}}"#, "ñ".repeat(281));
    let batch = lines(&[r#"{"id":"1","text":"hola"}"#, &long].join("\n"));
    let mut tables = tables().item("messages", message("1", "pending"));
    for _ in 0..2 {
        let out = testing::with_tables(&tables, || testing::call(&board, &batch));
        assert_eq!(outcomes(&out), ["1: reject 281 characters, at most 280"]);
        tables.apply(&out).unwrap();
    }
    assert_eq!(tables.items("messages"), [message("1", "complete").with("processed", 1)]);
}

#[test]
fn a_dead_letter_marks_its_message_unless_that_was_processed() {
    let board: Board = testing::plugin(UNDERTAKER);
    let letter = |id: &str| {
        let text = format!(r#"{{"id":"{id}","text":"x"}}"#);
        serde_json::json!({"route": "process", "data": {"text": text}, "reason": "too long"}).to_string()
    };
    let batch = lines(&[letter("1"), letter("2"), r#"{"data":{"text":"{}"},"reason":"x"}"#.to_owned()].join("\n"));
    let mut tables = tables().item("messages", message("1", "pending")).item("messages", message("2", "complete"));
    let out = testing::with_tables(&tables, || testing::call(&board, &batch));
    assert_eq!(outcomes(&out), ["2: reject the letter is not about a message: missing field `id` at line 1 column 2"]);
    tables.apply(&out).unwrap();
    assert_eq!(tables.items("messages"), [message("1", "fail").with("reason", "too long"), message("2", "complete")]);
}
