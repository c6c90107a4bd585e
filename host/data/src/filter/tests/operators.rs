//! Every operator, on fields that were read already and on the text of an event's data.

use super::*;

/// Checks both ways to look at a value.
fn check(given: Value, value: Value, expected: bool) {
    if let Some(matches) = matches_fields(&pattern(given.clone()), &value) {
        assert_eq!(matches, expected, "{given} on the fields of {value}");
    }
    for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
        assert_eq!(matches_data(given.clone(), &text), expected, "{given} on the text {text}");
    }
}

/// Checks the list of a field named `a`.
fn field(list: Value, value: Value, expected: bool) {
    check(json!({ "a": list }), json!({ "a": value, "b": 1 }), expected);
}

#[test]
fn exact_values_match_by_type_and_value() {
    for (list, value, expected) in [
        (json!(["x"]), json!("x"), true),
        (json!(["x"]), json!("X"), false),
        (json!(["x", "y"]), json!("y"), true),
        (json!([5]), json!(5.0), true),
        (json!([5]), json!("5"), false),
        (json!(["5"]), json!(5), false),
        (json!([0.1]), json!(0.1), true),
        (json!([300]), json!(3.0e2), true),
        (json!([-0.0]), json!(0), true),
        (json!([true]), json!(true), true),
        (json!([true]), json!("true"), false),
        (json!([false]), json!(true), false),
        (json!([null]), json!(null), true),
        (json!([null]), json!("null"), false),
        (json!([null]), json!(0), false),
        (json!([""]), json!(""), true),
        (json!([""]), json!(null), false),
        (json!(["a\"\\\n\u{e9}😀"]), json!("a\"\\\n\u{e9}😀"), true),
        (json!(["x", 5, null, true]), json!(null), true),
        (json!(["x"]), json!({ "x": "x" }), false),
    ] {
        field(list, value, expected);
    }
}

#[test]
fn numbers_of_a_pattern_keep_every_digit() {
    let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    for (given, next) in [
        ("12345678901234567890123", "12345678901234567890124"),
        ("0.12345678901234567891", "0.12345678901234567892"),
        ("18446744073709551617", "18446744073709551616"),
        ("-1.0000000000000000001e-400", "-1.0000000000000000002e-400"),
    ] {
        let (given, next) = (number(given), number(next));
        for list in [json!([given]), json!([{ "numeric": ["=", given] }]), json!([{ "anything-but": next }])] {
            field(list.clone(), given.clone(), true);
            field(list, next.clone(), false);
        }
    }
}

#[test]
fn fields_must_all_match() {
    let both = json!({ "a": ["x"], "b": { "c": [1] } });
    check(both.clone(), json!({ "a": "x", "b": { "c": 1, "d": 2 } }), true);
    check(both.clone(), json!({ "a": "x", "b": { "c": 2 } }), false);
    check(both.clone(), json!({ "a": "x", "b": 1 }), false);
    check(both.clone(), json!({ "a": "x" }), false);
    check(both, json!({ "a": { "x": 1 }, "b": { "c": 1 } }), false);
}

#[test]
fn parts_of_texts() {
    for (operator, value, expected) in [
        (json!({ "prefix": "eu-" }), json!("eu-west-1"), true),
        (json!({ "prefix": "eu-" }), json!("EU-west-1"), false),
        (json!({ "prefix": "eu-" }), json!("eu"), false),
        (json!({ "prefix": "" }), json!(""), true),
        (json!({ "prefix": "1" }), json!(12), false),
        (json!({ "suffix": ".png" }), json!("a.png"), true),
        (json!({ "suffix": ".png" }), json!("a.PNG"), false),
        (json!({ "equals-ignore-case": "AlIcE" }), json!("aLiCe"), true),
        (json!({ "equals-ignore-case": "alice" }), json!("alices"), false),
        (json!({ "equals-ignore-case": "ÄÖ" }), json!("äÖ"), true),
        (json!({ "equals-ignore-case": "İ" }), json!("i\u{307}"), true),
        (json!({ "prefix": { "equals-ignore-case": "EVENTB" } }), json!("EventBridge"), true),
        (json!({ "prefix": { "equals-ignore-case": "EVENTB" } }), json!("Event"), false),
        (json!({ "suffix": { "equals-ignore-case": "BRIDGE" } }), json!("EventBridge"), true),
        (json!({ "suffix": { "equals-ignore-case": "EBRIDGE" } }), json!("EventBridge"), false),
        (json!({ "wildcard": "dir/*.png" }), json!("dir/a/b.png"), true),
        (json!({ "wildcard": "dir/*.png" }), json!("dir/a.jpg"), false),
        (json!({ "wildcard": "a\\*b" }), json!("a*b"), true),
        (json!({ "wildcard": "*" }), json!(1), false),
        (json!({ "cidr": "10.0.0.0/24" }), json!("10.0.0.77"), true),
        (json!({ "cidr": "10.0.0.0/24" }), json!("10.0.1.77"), false),
        (json!({ "cidr": "10.0.0.0/24" }), json!("host"), false),
    ] {
        field(json!([operator]), value, expected);
    }
}

#[test]
fn anything_but_takes_every_other_value() {
    for (operand, value, expected) in [
        (json!("x"), json!("y"), true),
        (json!("x"), json!("x"), false),
        (json!("x"), json!(1), true),
        (json!("x"), json!(null), true),
        (json!("1"), json!(1), true),
        (json!(1), json!(1.0), false),
        (json!(["x", "y"]), json!("y"), false),
        (json!(["x", "y"]), json!("z"), true),
        (json!([100, 200]), json!(200), false),
        (json!({ "prefix": "us-" }), json!("us-east-1"), false),
        (json!({ "prefix": "us-" }), json!("eu-west-1"), true),
        (json!({ "prefix": ["us-", "eu-"] }), json!("eu-west-1"), false),
        (json!({ "suffix": ".png" }), json!("a.png"), false),
        (json!({ "suffix": [".png", ".gif"] }), json!("a.jpg"), true),
        (json!({ "equals-ignore-case": "init" }), json!("INIT"), false),
        (json!({ "equals-ignore-case": ["init", "stop"] }), json!("run"), true),
        (json!({ "wildcard": "*/lib/*" }), json!("a/lib/b"), false),
        (json!({ "wildcard": "*/lib/*" }), json!("a/b"), true),
        (json!({ "prefix": { "equals-ignore-case": "US" } }), json!("us-east-1"), false),
    ] {
        field(json!([{ "anything-but": operand }]), value, expected);
    }
    check(json!({ "a": [{ "anything-but": "x" }] }), json!({ "b": 1 }), false);
}

#[test]
fn numbers_compare_exactly() {
    for (operand, value, expected) in [
        (json!(["=", 301.8]), json!(3.018e2), true),
        (json!(["<", 10]), json!(9.999999), true),
        (json!(["<", 10]), json!(10), false),
        (json!(["<=", 10]), json!(10.0), true),
        (json!([">", 10]), json!(11), true),
        (json!([">=", 10]), json!(9), false),
        (json!([">", 0, "<=", 5]), json!(5), true),
        (json!([">", 0, "<=", 5]), json!(0), false),
        (json!(["<=", 5, ">", 0]), json!(3), true),
        (json!([">=", 5, "<=", 5]), json!(5), true),
        (json!([">", -1]), json!(-1.5), false),
        (json!(["<", 10]), json!("5"), false),
        (json!(["<", 10]), json!(null), false),
        (json!([">", 1e300]), json!(1e301), true),
        (json!(["<", "10.5"]), json!(10.4), true),
    ] {
        field(json!([{ "numeric": operand }]), value, expected);
    }
}

#[test]
fn no_digit_of_an_event_is_lost() {
    let limit = json!({ "a": [{ "numeric": ["<", "0.30000000000000000000000000000000000002"] }] });
    assert!(matches_data(limit.clone(), r#"{"a": 0.30000000000000000000000000000000000001}"#));
    assert!(!matches_data(limit, r#"{"a": 0.30000000000000000000000000000000000003}"#));
    let exact = json!({ "a": [9007199254740993u64] });
    assert!(matches_data(exact.clone(), r#"{"a": 9007199254740993}"#));
    assert!(!matches_data(exact.clone(), r#"{"a": 9007199254740992}"#));
    assert!(!matches_data(exact, r#"{"a": 9007199254740993.5}"#));
}

#[test]
fn numeric_reads_numbers_of_dynamodb() {
    let low = json!({ "Stock": { "N": [{ "numeric": ["<", 10] }] } });
    check(low.clone(), json!({ "Stock": { "N": "9.5" } }), true);
    check(low.clone(), json!({ "Stock": { "N": "10" } }), false);
    check(low.clone(), json!({ "Stock": { "N": "nine" } }), false);
    check(low, json!({ "Stock": { "S": "5" } }), false);
    check(json!({ "Stock": { "S": [{ "numeric": ["<", 10] }] } }), json!({ "Stock": { "S": "5" } }), false);
}

#[test]
fn exists_asks_for_a_value() {
    for (value, expected) in [
        (json!({ "a": 1 }), true),
        (json!({ "a": null }), true),
        (json!({ "a": "" }), true),
        (json!({ "a": [1] }), true),
        (json!({ "a": [] }), false),
        (json!({ "a": { "x": 1 } }), false),
        (json!({ "a": [{ "x": 1 }] }), false),
        (json!({ "b": 1 }), false),
        (json!({}), false),
    ] {
        check(json!({ "a": [{ "exists": true }] }), value.clone(), expected);
        check(json!({ "a": [{ "exists": false }] }), value, !expected);
    }
    check(json!({ "a": { "x": [{ "exists": false }] } }), json!({ "b": 1 }), true);
    check(json!({ "a": { "x": [{ "exists": false }] } }), json!({ "a": 5 }), true);
    check(json!({ "a": { "x": [{ "exists": false }] } }), json!({ "a": [] }), true);
    check(json!({ "a": { "x": [{ "exists": true }] } }), json!({ "a": 5 }), false);
    check(json!({ "a": ["x", { "exists": false }] }), json!({ "b": 1 }), true);
    check(json!({ "a": ["x", { "exists": false }] }), json!({ "a": "y" }), false);
    check(json!({ "a": [{ "exists": true }, { "exists": false }] }), json!({}), true);
}

#[test]
fn any_element_of_an_array_is_enough() {
    field(json!(["x"]), json!(["y", "x"]), true);
    field(json!(["x"]), json!([["y"], [["x"]]]), true);
    field(json!(["x"]), json!(["y"]), false);
    field(json!(["x"]), json!([]), false);
    field(json!([{ "anything-but": "x" }]), json!(["x", "y"]), true);
    field(json!([{ "anything-but": "x" }]), json!(["x", "x"]), false);
    field(json!([{ "anything-but": "x" }]), json!([]), false);
    field(json!([null]), json!([1, null]), true);
}

#[test]
fn fields_of_an_object_match_within_one_element() {
    let people = json!({ "people": [
        { "first": "Ada", "last": "Byron", "tags": ["x"] },
        { "first": "Grace", "last": "Hopper" },
        [{ "first": "Edsger", "last": "Dijkstra" }],
    ] });
    for (first, last, expected) in
        [("Ada", "Byron", true), ("Ada", "Hopper", false), ("Edsger", "Dijkstra", true), ("Edsger", "Byron", false)]
    {
        check(json!({ "people": { "first": [first], "last": [last] } }), people.clone(), expected);
    }
    check(json!({ "people": { "first": ["Grace"], "tags": [{ "exists": false }] } }), people.clone(), true);
    check(json!({ "people": { "first": ["Ada"], "tags": [{ "exists": false }] } }), people, false);
}

#[test]
fn one_alternative_of_or_is_enough() {
    let given = json!({
        "source": ["metrics"],
        "$or": [
            { "name": ["cpu", "latency"] },
            { "kind": ["k"], "space": ["s"], "$or": [{ "id": [1] }, { "id": [{ "prefix": "x" }] }] },
            { "detail": { "$or": [{ "a": [1] }, { "b": [2] }] } },
        ],
    });
    for (value, expected) in [
        (json!({ "source": "metrics", "name": "cpu" }), true),
        (json!({ "source": "other", "name": "cpu" }), false),
        (json!({ "source": "metrics", "name": "memory" }), false),
        (json!({ "source": "metrics", "kind": "k", "space": "s", "id": 1 }), true),
        (json!({ "source": "metrics", "kind": "k", "space": "s", "id": "xy" }), true),
        (json!({ "source": "metrics", "kind": "k", "space": "s", "id": 2 }), false),
        (json!({ "source": "metrics", "kind": "k", "id": 1 }), false),
        (json!({ "source": "metrics", "detail": { "b": 2 } }), true),
        (json!({ "source": "metrics", "detail": { "b": 1 } }), false),
    ] {
        check(given.clone(), value, expected);
    }
    check(json!({ "$or": [{ "a": [1] }, { "b": [2] }], "c": [3] }), json!({ "b": 2, "c": 3 }), true);
}

#[test]
fn any_pattern_of_a_filter_is_enough() {
    let filter = Filter::compile(&[json!({ "key": ["a"] }), json!("{\"key\": [\"b\"]}")]).unwrap();
    for (key, expected) in [("a", true), ("b", true), ("c", false)] {
        let mut columns = Columns::default();
        columns.push(&NewEvent { key, ..NewEvent::default() }).unwrap();
        assert_eq!(taken(&filter, "queue", columns.get(0).unwrap()), expected);
    }
}
