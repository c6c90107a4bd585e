//! Runs the examples of `docs/reference/filters.md`: every row of its tables, and the documents by source.

use super::*;
use serde_json::Map;

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/filters.md");
    std::fs::read_to_string(path).expect("the page is there")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The code in a cell.
fn code(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// A pattern held against an event with this data.
fn sees(kind: &str, pattern: &Value, data: &str) -> bool {
    let event = NewEvent {
        id: "4711",
        key: "customer-7",
        data: data.as_bytes(),
        attributes: &[("trace", "a1")],
        timestamp: 1_767_225_600_000,
        attempt: 1,
    };
    matches(kind, pattern.clone(), &event)
}

/// Pattern and data of an example, by the first word of its table's head.
fn example(head: &str, given: &str, value: &str) -> (Value, String) {
    let given = json(given);
    match head {
        "List for a field" if value == "absent" => (json!({ "data": { "f": given } }), "{\"g\": 1}".to_owned()),
        "List for a field" => (json!({ "data": { "f": given } }), format!("{{\"f\": {}}}", value)),
        "Pattern" | "List for data" | "Pattern for data" => (json!({ "data": given }), value.to_owned()),
        other => panic!("a table begins with {other:?}"),
    }
}

#[test]
fn every_row_of_every_table_holds() {
    let page = page();
    let (mut head, mut examples) = ("", 0);
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [given, good, bad] = cells[..] else { panic!("three columns: {line}") };
        if good == "Matches" {
            head = given;
            continue;
        }
        for (cell, expected) in [(good, true), (bad, false)] {
            assert!(!code(cell).is_empty(), "an example in each column: {line}");
            for value in code(cell) {
                let (pattern, data) = example(head, code(given)[0], value);
                assert_eq!(sees("stream", &pattern, &data), expected, "{pattern} on {data}");
                examples += 1;
            }
        }
    }
    assert!(examples > 100, "{examples} examples were found");
}

/// A pattern that asks for every value of a document.
fn every_value(document: &Value) -> Value {
    match document {
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, v)| (name.clone(), every_value(v))).collect::<Map<_, _>>())
        }
        leaf => json!([leaf]),
    }
}

#[test]
fn every_document_is_what_a_pattern_sees() {
    let page = page();
    let mut blocks = 0;
    for block in page.split("```json ").skip(1) {
        let (kind, rest) = block.split_once('\n').expect("a block has lines");
        let document = json(rest.split("```").next().expect("a block ends"));
        let data = match kind {
            "table-changes" => document.to_string(),
            _ => r#"{"type":"order","total":12.5}"#.to_owned(),
        };
        for (name, value) in document.as_object().expect("a document is an object") {
            let pattern = json!({ name: every_value(value) });
            assert!(sees(kind, &pattern, &data), "{kind}: {pattern}");
            assert!(Filter::compile(&[pattern]).expect("it compiled").unknown_field(kind).is_none(), "{kind}: {name}");
        }
        blocks += 1;
    }
    assert_eq!(blocks, 5);
}

#[test]
fn every_pattern_in_toml_compiles() {
    let page = page();
    let texts = page.split("filter = '").skip(1).map(|rest| rest.split('\'').next().expect("it ends"));
    for text in texts {
        Filter::compile(&[Value::from(text)]).expect("the pattern of the page");
    }
}
