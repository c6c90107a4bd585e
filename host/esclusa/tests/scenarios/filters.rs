//! An event that takes a filter too many steps becomes a dead letter and holds up no other event.

use super::router::Router;
use serde_json::{Value, json};

fn routes(filter: &str) -> String {
    let head = r#"
version = 1
[engine]
path = "data"
[source.records]
kind = "file"
path = "records.jsonl"
[table.all]
kind = "embedded"
partition_key = "id"
[table.some]
kind = "embedded"
partition_key = "id"
"#;
    let route = |table: &str, filter: &str| {
        format!(
            r#"
[[route]]
name = "{table}"
source = "records"
plugin = "PLUGINS/etl.wasm"
tables = ["{table}"]
limits = {{ memory = "256MiB" }}
{filter}
config = {{ table = "{table}", key = {{ id = "{{id}}" }}, fields = ["id"] }}
"#
        )
    };
    format!("{head}{}{}", route("all", ""), route("some", &format!("filter = '{filter}'")))
}

#[test]
fn an_event_that_the_filter_takes_too_long_for_is_a_dead_letter_after_no_try() {
    let list: Vec<Value> = (0..1000).map(|n| json!({ "wildcard": format!("*word-{n}*") })).collect();
    let pattern = json!({ "data": { "words": list } });
    let events = [
        json!({ "id": "first", "words": ["a word-7"] }),
        json!({ "id": "costly", "words": vec!["x"; 100_000] }),
        json!({ "id": "other", "words": ["none"] }),
        json!({ "id": "last", "words": ["word-8"] }),
    ];
    let mut router = Router::new(&routes(&pattern.to_string()));
    router.write("records.jsonl", events.map(|event| format!("{event}\n")).concat());
    router.spawn(&["--until-idle"]);
    assert_eq!(router.wait(), 0, "{}", router.log());

    let ids = |table: &str| {
        let mut ids: Vec<String> =
            router.scan(table).iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids("all"), ["costly", "first", "last", "other"]);
    assert_eq!(ids("some"), ["first", "last"]);
    let letters = router.ok(&["dlq", "ls", "--json"]);
    let letters: Vec<Value> = letters.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    let told = ["route", "code", "attempts"].map(|name| letter[name].clone());
    assert_eq!(told, [json!("some"), json!("limit.filter"), json!(1)], "{letter}");
    router.ok(&["audit"]);

    let found = router.run(&["dlq", "ls", "--where", &pattern.to_string()]);
    let message = String::from_utf8_lossy(&found.stderr).into_owned();
    assert!(!found.status.success() && message.contains("letter"), "{message}");
}
