//! What a filter costs, in steps: in proportion to the event for honest patterns, and never beyond the budget.

use super::*;
use crate::filter::effort::{FilterEffort, Undecided};

/// Bytes of an event that was made to cost.
const SIZE: usize = 1 << 18;

fn event_of(columns: &Columns) -> EventRef<'_> {
    columns.get(0).unwrap()
}

fn columns(data: &str) -> Columns {
    let mut columns = Columns::default();
    columns.push(&NewEvent { data: data.as_bytes(), ..NewEvent::default() }).unwrap();
    columns
}

/// Steps that the patterns take for an event with this data, for each of its bytes.
fn steps_per_byte(patterns: &[Value], data: &str) -> u64 {
    let (filter, columns, mut work) = (Filter::compile(patterns).unwrap(), columns(data), StepBudget::of(u64::MAX));
    filter.matches("stream", event_of(&columns), &mut work, &AtomicBool::new(false)).unwrap();
    let enough = filter.budget(event_of(&columns));
    assert!(filter.matches("stream", event_of(&columns), &mut enough.clone(), &AtomicBool::new(false)).is_ok());
    work.spent() / data.len() as u64
}

/// An object with a field that holds an array of as many of these as fit.
fn array(name: &str, element: &str) -> String {
    let count = SIZE / (element.len() + 1);
    format!("{{\"{name}\":[{}]}}", vec![element; count].join(","))
}

/// An object of as many of these fields as fit.
fn object(field: impl Fn(usize) -> String) -> String {
    let count = SIZE / (field(1_000_000).len() + 1);
    format!("{{{}}}", (0..count).map(field).collect::<Vec<_>>().join(","))
}

/// Ten patterns of which none matches and each needs all of the event.
fn ten(pattern: impl Fn(usize) -> Value) -> Vec<Value> {
    (0..10).map(|n| json!({ "data": pattern(n) })).collect()
}

fn words(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("word-{n}")).collect()
}

#[test]
fn a_payload_is_read_once_for_all_patterns_however_it_is_nested() {
    let nested = |open: &str, close: &str| format!("{}1{}", open.repeat(100), close.repeat(100));
    let deep = |n: usize| (0..20).fold(json!([n]), |inner, _| json!({ "a": inner }));
    for (patterns, data) in [
        (ten(|n| json!({ "a": { "b": [format!("x{n}")] } })), array("a", &nested("[", "]"))),
        (ten(|n| json!({ "a": [format!("x{n}")] })), array("a", &nested("[", "]"))),
        (ten(|n| json!({ "$or": [{ "a": { "b": [n] } }, { "c": [n] }] })), array("a", "[[[],[]],[]]")),
        (ten(deep), array("a", &nested("{\"a\":", "}"))),
        (ten(deep), nested("{\"a\":", "}").repeat(SIZE / 700)),
        (ten(|n| json!({ "b": { "c": [n] } })), array("a", "1234567890")),
        (ten(|n| json!({ "b": [n] })), array("a", "\"\\u0061\\n\\\\\"")),
        (ten(|n| json!({ (format!("x{n}")): [n] })), object(|n| format!("\"name-{n}\":{n}"))),
        (ten(|n| json!({ (format!("x{n}")): [n] })), object(|n| format!("\"\\u0061-{n}\":{n}"))),
        (
            ten(|n| json!({ "x": { "S": [format!("x{n}")] } })),
            object(|n| format!("\"attribute-{n}\":{{\"S\":\"{n}\"}}")),
        ),
    ] {
        let steps = steps_per_byte(&patterns, &data);
        assert!(steps <= 5, "{steps} for {} on {}…", patterns[0], &data[..40]);
    }
}

#[test]
fn many_alternatives_of_one_field_cost_a_few_steps_for_each_value() {
    for (patterns, data) in [
        (ten(|n| json!({ "a": [n + 10] })), array("a", "1")),
        (ten(|n| json!({ "a": [n + 10] })), object(|_| "\"a\":[1,2,3,4,5,6,7,8]".to_owned())),
        (ten(|n| json!({ "a": { "b": [n], "c": [n] } })), array("a", "{\"b\":11,\"c\":11}")),
        (ten(|n| json!({ "a": { "b": [n], "c": [{ "exists": false }] } })), array("a", "{}")),
    ] {
        let steps = steps_per_byte(&patterns, &data);
        assert!(steps <= 20, "{steps} for {} on {}…", patterns[0], &data[..40]);
    }
}

#[test]
fn a_thousand_values_of_a_list_cost_a_search_for_each_value() {
    let (thousand, numbers) = (words(1000), (10..1010).collect::<Vec<u32>>());
    let networks: Vec<Value> =
        (0..1000).map(|n| json!({ "cidr": format!("10.{}.{}.0/24", n / 250, n % 250) })).collect();
    let each = |operator: &str| thousand.iter().map(|word| json!({ (operator): word })).collect::<Vec<_>>();
    for (list, element) in [
        (json!(thousand), "\"w\""),
        (json!(numbers), "1"),
        (json!([{ "anything-but": numbers }]), "10"),
        (json!([{ "anything-but": thousand }]), "\"word-7\""),
        (json!([{ "anything-but": { "prefix": thousand } }]), "\"word-7\""),
        (json!([{ "anything-but": { "suffix": thousand } }]), "\"word-7\""),
        (json!([{ "anything-but": { "equals-ignore-case": thousand } }]), "\"WORD-7\""),
        (json!(each("prefix")), "\"w\""),
        (json!(each("suffix")), "\"w\""),
        (json!(each("equals-ignore-case")), "\"w\""),
        (json!(networks), "\"1.1.1.1\""),
        (json!(networks), "\"::\""),
    ] {
        let data = array("a", element);
        let steps = steps_per_byte(&[json!({ "data": { "a": list } })], &data);
        assert!(steps <= 10, "{steps} for {element}");
    }
}

#[test]
fn one_long_value_costs_its_length() {
    let long = |character: &str| format!("{{\"a\":\"{}\"}}", character.repeat(SIZE / character.len()));
    let digits = format!("{{\"a\":{}}}", "7".repeat(SIZE));
    for (list, data) in [
        (json!([{ "wildcard": "*a*a*a*a*b" }]), long("a")),
        (json!([{ "wildcard": format!("*{}*", "a".repeat(1000)) }]), long("ab")),
        (json!([{ "equals-ignore-case": "x" }, { "suffix": { "equals-ignore-case": "x" } }]), long("\\u0130")),
        (json!([{ "cidr": "10.0.0.0/8" }]), long("1.")),
        (json!([{ "numeric": [">", 5, "<", 6] }, 5]), digits.clone()),
    ] {
        let steps = steps_per_byte(&[json!({ "data": { "a": list } })], &data);
        assert!(steps <= 4, "{steps} for {list}");
    }
    let n = json!({ "data": { "a": { "N": [{ "numeric": ["<", 5] }] } } });
    assert!(steps_per_byte(&[n], &format!("{{\"a\":{{\"N\":\"{}\"}}}}", "7".repeat(SIZE))) <= 4);
}

#[test]
fn a_long_part_of_a_wildcard_is_not_looked_at_for_every_short_text() {
    let list = json!([{ "wildcard": format!("*{}*", "a".repeat(100_000)) }]);
    assert!(steps_per_byte(&[json!({ "data": { "a": list } })], &array("a", "\"aaaa\"")) <= 4);
}

#[test]
fn what_costs_more_than_the_budget_is_given_up_there() {
    let wildcards: Vec<Value> = words(1000).iter().map(|word| json!({ "wildcard": format!("*{word}*x") })).collect();
    let bounds: Vec<Value> = (10..1010).map(|n| json!({ "numeric": ["=", n] })).collect();
    let objects: Vec<Value> = (10..1010).map(|n| json!({ "b": [n] })).collect();
    for (pattern, element) in [
        (json!({ "a": wildcards }), "\"x\""),
        (json!({ "a": bounds }), "1"),
        (json!({ "a": { "$or": objects } }), "{\"b\":1}"),
    ] {
        let (filter, columns) =
            (Filter::compile(&[json!({ "data": pattern })]).unwrap(), columns(&array("a", element)));
        let mut work = filter.budget(event_of(&columns));
        let answer = filter.matches("stream", event_of(&columns), &mut work, &AtomicBool::new(false));
        assert!(matches!(answer, Err(Undecided::Exhausted(_))), "{element}");
        assert!(work.spent() <= 80 * SIZE as u64, "{}", work.spent());
    }
}

#[test]
fn a_small_event_is_within_the_budget_whatever_the_patterns() {
    let alternatives: Vec<Value> =
        words(2000).iter().map(|word| json!({ "a": [{ "wildcard": format!("*{word}*") }] })).collect();
    let patterns = vec![json!({ "data": { "$or": alternatives } }); 10];
    steps_per_byte(&patterns, &format!("{{\"a\":[{}]}}", vec!["\"x\""; 20].join(",")));
}

#[test]
fn nothing_is_read_of_a_payload_that_cannot_decide() {
    let data = array("a", "1");
    for patterns in [
        [json!({ "key": ["other"], "data": { "a": [1] } }), json!({ "key": ["another"], "data": { "a": [1] } })],
        [json!({ "key": [{ "exists": false }] }), json!({ "data": { "a": [1] } })],
    ] {
        assert_eq!(steps_per_byte(&patterns, &data), 0, "{}", patterns[0]);
    }
}

#[test]
fn a_filter_that_is_stopped_gives_no_answer() {
    let (filter, columns) = (Filter::compile(&[json!({ "data": { "a": [1] } })]).unwrap(), columns("{\"a\":1}"));
    let answer = |stop| filter.matches("stream", event_of(&columns), &mut StepBudget::of(1000), &AtomicBool::new(stop));
    assert_eq!((answer(false), answer(true)), (Ok(true), Err(Undecided::Stopped)));
    let (mut work, stop) = (StepBudget::of(u64::MAX), AtomicBool::new(false));
    let mut effort = FilterEffort::new(&mut work, &stop);
    effort.spend(1).unwrap();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let later = (0..1000).map(|_| effort.spend(1000)).position(|spent| spent.is_err());
    assert!(later.is_some_and(|at| at < 100), "it looks again while it works: {later:?}");
}
