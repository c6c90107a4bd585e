//! What filters allocate, whatever an event is like: a few numbers for each of their fields.
#![expect(clippy::unwrap_used, reason = "tests")]

use esclusa_flow::event::{Columns, NewEvent};
use esclusa_flow::filter::Filter;
use esclusa_testkit::allocations::{self, Counting};
use serde_json::{Value, json};
use std::sync::atomic::AtomicBool;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that the patterns make a filter ask for while it is held against an event with this data.
fn allocated(patterns: &[Value], data: &str) -> usize {
    let filter = Filter::compile(patterns).unwrap();
    let mut columns = Columns::default();
    columns.push(&NewEvent { data: data.as_bytes(), ..NewEvent::default() }).unwrap();
    let event = columns.get(0).unwrap();
    let before = allocations::bytes();
    assert!(!filter.matches("stream", event, &mut filter.budget(event), &AtomicBool::new(false)).unwrap());
    allocations::bytes() - before
}

fn array(element: &str, bytes: usize) -> String {
    format!("{{\"a\":[{}]}}", vec![element; bytes / (element.len() + 1)].join(","))
}

#[test]
fn a_filter_allocates_nothing_in_proportion_to_an_event() {
    let object = |bytes: usize| {
        let fields: Vec<String> = (0..bytes / 12).map(|n| format!("\"{n:07}\":1")).collect();
        format!("{{{}}}", fields.join(","))
    };
    let repeated = |bytes: usize| format!("{{{}}}", vec!["\"a\":[1,2,3,4]"; bytes / 14].join(","));
    let patterns: Vec<Value> = (10..20)
        .map(|n| json!({ "data": { "a": { "b": [n] }, "$or": [{ "a": [n] }, { "c": [{ "anything-but": "x" }] }] } }))
        .collect();
    let small = allocated(&patterns, "{}");
    assert!(small < 4096, "{small}");
    for data in [
        array("1234567890", 10_000_000),
        array("[[[[1]]]]", 1_000_000),
        array("{\"b\":{\"c\":[]}}", 1_000_000),
        array("\"text\"", 1_000_000),
        format!("{{\"x\":\"{}\"}}", "\\n".repeat(500_000)),
        format!("{{\"a\":\"{}\"}}", "x".repeat(1_000_000)),
        format!("{{\"a\":{}}}", "7".repeat(1_000_000)),
        object(1_000_000),
        repeated(1_000_000),
    ] {
        assert_eq!(allocated(&patterns, &data), small, "{}…", data.get(..30).unwrap());
    }
}

#[test]
fn a_text_with_escapes_is_copied_while_it_is_compared_and_no_longer() {
    let patterns = [json!({ "data": { "a": ["other"] } })];
    let long = format!("{{\"a\":\"{}\"}}", "\\u0061".repeat(100_000));
    let bytes = allocated(&patterns, &long);
    assert!(bytes < 4 * long.len(), "{bytes}");
}
