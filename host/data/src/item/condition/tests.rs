//! Conditions, comparison by comparison.

use super::*;

fn text(t: &str) -> Value {
    Value::Text(t.to_owned())
}

fn number(n: &str) -> Value {
    Value::Number(n.to_owned())
}

fn numbers(all: &[&str]) -> Value {
    Value::NumberSet(all.iter().map(|n| (*n).to_owned()).collect())
}

fn texts(all: &[&str]) -> Value {
    Value::TextSet(all.iter().map(|n| (*n).to_owned()).collect())
}

fn document(json: &str) -> Value {
    Value::Document(json.to_owned())
}

#[test]
fn an_absent_attribute_is_only_absent_or_not_equal() {
    for (comparison, expected) in [
        (Comparison::Exists, false),
        (Comparison::Absent, true),
        (Comparison::Equal(Value::Null), false),
        (Comparison::NotEqual(number("1")), true),
        (Comparison::Less(number("1")), false),
        (Comparison::LessOrEqual(number("1")), false),
        (Comparison::Greater(number("1")), false),
        (Comparison::GreaterOrEqual(number("1")), false),
        (Comparison::BeginsWith(String::new()), false),
    ] {
        assert_eq!(comparison.holds(None), expected, "{comparison:?}");
    }
}

#[test]
fn a_null_exists() {
    assert!(Comparison::Exists.holds(Some(&Value::Null)));
    assert!(!Comparison::Absent.holds(Some(&Value::Null)));
    assert!(Comparison::Equal(Value::Null).holds(Some(&Value::Null)));
}

#[test]
fn values_of_the_same_content_are_equal() {
    for (left, right) in [
        (number("1.0"), number("1")),
        (number("1e2"), number("100")),
        (text("a"), text("a")),
        (Value::Binary(vec![1, 2]), Value::Binary(vec![1, 2])),
        (Value::Boolean(true), Value::Boolean(true)),
        (texts(&["a", "b"]), texts(&["b", "a"])),
        (numbers(&["1", "20"]), numbers(&["2e1", "1.0"])),
        (numbers(&["1", "1.0"]), numbers(&["1"])),
        (document(r#"{"M":{"a":{"N":"1.0"},"b":{"S":"x"}}}"#), document(r#"{ "M": {"b":{"S":"x"},"a":{"N":"1"}} }"#)),
        (document(r#"{"L":[{"NS":["1","2"]},{"B":"eA=="}]}"#), document(r#"{"L":[{"NS":["2.0","1"]},{"B":"eA=="}]}"#)),
        (document(r#"{"L":[{"SS":["a","b"]}]}"#), document(r#"{"L":[{"SS":["b","a"]}]}"#)),
        (document("not json"), document("not json")),
    ] {
        assert!(Comparison::Equal(right.clone()).holds(Some(&left)), "{left:?} {right:?}");
        assert!(!Comparison::NotEqual(right.clone()).holds(Some(&left)), "{left:?} {right:?}");
    }
}

#[test]
fn values_of_another_type_or_content_are_not_equal() {
    for (left, right) in [
        (number("1"), text("1")),
        (Value::Null, Value::Boolean(false)),
        (text("a"), text("A")),
        (texts(&["a"]), texts(&["a", "b"])),
        (texts(&["1"]), numbers(&["1"])),
        (document(r#"{"L":[{"N":"1"}]}"#), document(r#"{"L":[{"S":"1"}]}"#)),
        (document(r#"{"L":[{"N":"1"},{"N":"2"}]}"#), document(r#"{"L":[{"N":"2"},{"N":"1"}]}"#)),
        (document(r#"{"M":{"a":{"N":"1"}}}"#), document(r#"{"M":{"b":{"N":"1"}}}"#)),
        (document(r#"{"M":{}}"#), document(r#"{"M":{"b":{"N":"1"}}}"#)),
        (document(r#"{"L":[]}"#), document("x")),
    ] {
        assert!(!Comparison::Equal(right.clone()).holds(Some(&left)), "{left:?} {right:?}");
        assert!(Comparison::NotEqual(right.clone()).holds(Some(&left)), "{left:?} {right:?}");
    }
}

#[test]
fn order_is_by_value_for_numbers_and_by_bytes_for_texts() {
    for (stored, operand) in [
        (number("9"), number("10")),
        (number("-10"), number("-9")),
        (number("0.1"), number("0.10000000000000000000000000000000000001")),
        (text("10"), text("9")),
        (text("Z"), text("a")),
        (text("z"), text("ä")),
        (Value::Binary(vec![1]), Value::Binary(vec![1, 0])),
        (Value::Binary(vec![0x7f]), Value::Binary(vec![0x80])),
    ] {
        assert!(Comparison::Less(operand.clone()).holds(Some(&stored)), "{stored:?} {operand:?}");
        assert!(Comparison::LessOrEqual(operand.clone()).holds(Some(&stored)));
        assert!(!Comparison::GreaterOrEqual(operand.clone()).holds(Some(&stored)));
        assert!(Comparison::Greater(stored.clone()).holds(Some(&operand)));
        assert!(Comparison::GreaterOrEqual(stored.clone()).holds(Some(&stored)));
    }
}

#[test]
fn values_without_order_are_neither_less_nor_greater() {
    for (stored, operand) in [
        (number("1"), text("2")),
        (Value::Boolean(false), Value::Boolean(true)),
        (Value::Null, Value::Null),
        (texts(&["a"]), texts(&["b"])),
        (number("NaN"), number("1")),
    ] {
        for comparison in [Comparison::Less, Comparison::LessOrEqual, Comparison::Greater, Comparison::GreaterOrEqual] {
            assert!(!comparison(operand.clone()).holds(Some(&stored)), "{stored:?} {operand:?}");
        }
    }
}

#[test]
fn only_texts_begin_with_something() {
    assert!(Comparison::BeginsWith("ev".to_owned()).holds(Some(&text("event#1"))));
    assert!(Comparison::BeginsWith(String::new()).holds(Some(&text(""))));
    assert!(!Comparison::BeginsWith("event#1".to_owned()).holds(Some(&text("ev"))));
    assert!(!Comparison::BeginsWith("1".to_owned()).holds(Some(&number("12"))));
}

#[test]
fn a_condition_holds_where_all_its_comparisons_do() {
    let item: Item = [("a".to_owned(), number("1")), ("b".to_owned(), text("x"))].into_iter().collect();
    let both =
        Condition(vec![("a".to_owned(), Comparison::Greater(number("0"))), ("c".to_owned(), Comparison::Absent)]);
    assert!(both.holds(Some(&item)));
    assert!(!both.holds(None));
    assert!(Condition::default().holds(None));
    assert!(Condition(vec![("a".to_owned(), Comparison::Absent)]).holds(None));
}
