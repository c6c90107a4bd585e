//! Equality of values as DynamoDB sees it: the same type and the same content. Numbers are compared by value,
//! sets without regard to order, lists and maps element by element.

use crate::item::{Value, number};
use serde_json::Value as Json;
use std::cmp::Ordering;

/// True if both values are of the same type and have the same content.
pub(super) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Text(l), Value::Text(r)) => l == r,
        (Value::Number(l), Value::Number(r)) => same_number(l, r),
        (Value::Binary(l), Value::Binary(r)) => l == r,
        (Value::Boolean(l), Value::Boolean(r)) => l == r,
        (Value::Null, Value::Null) => true,
        (Value::TextSet(l), Value::TextSet(r)) => same_set(strs(l), strs(r), Ord::cmp),
        (Value::NumberSet(l), Value::NumberSet(r)) => same_set(strs(l), strs(r), order_numbers),
        (Value::Document(l), Value::Document(r)) => l == r || same_document(l, r),
        _ => false,
    }
}

fn strs(set: &[String]) -> impl Iterator<Item = &str> {
    set.iter().map(String::as_str)
}

/// By value; texts that are no numbers are equal if they are the same text.
fn same_number(left: &str, right: &str) -> bool {
    left == right || number::compare(left, right).is_some_and(Ordering::is_eq)
}

/// A total order: numbers by value, then texts that are no numbers.
fn order_numbers(left: &str, right: &str) -> Ordering {
    match (number::compare(left, left), number::compare(right, right)) {
        (Some(_), Some(_)) => number::compare(left, right).unwrap_or(Ordering::Equal),
        (l, r) => (l.is_none(), left).cmp(&(r.is_none(), right)),
    }
}

/// Without regard to order; an element that is there twice counts once.
fn same_set<'a, L, R>(left: L, right: R, order: fn(&str, &str) -> Ordering) -> bool
where
    L: IntoIterator<Item = &'a str>,
    R: IntoIterator<Item = &'a str>,
{
    let (left, right) = (sorted(left.into_iter().collect(), order), sorted(right.into_iter().collect(), order));
    left.len() == right.len() && left.iter().zip(&right).all(|(l, r)| order(l, r).is_eq())
}

fn sorted(mut set: Vec<&str>, order: fn(&str, &str) -> Ordering) -> Vec<&str> {
    set.sort_by(|a, b| order(a, b));
    set.dedup_by(|a, b| order(a, b).is_eq());
    set
}

/// DynamoDB JSON, parsed; a text that is no JSON equals only itself.
fn same_document(left: &str, right: &str) -> bool {
    match (serde_json::from_str::<Json>(left), serde_json::from_str::<Json>(right)) {
        (Ok(l), Ok(r)) => same_typed(&l, &r),
        _ => false,
    }
}

/// Two values with their type letters, as in `{"N": "1"}`.
fn same_typed(left: &Json, right: &Json) -> bool {
    let (Some((tag, l)), Some((other, r))) = (typed(left), typed(right)) else { return left == right };
    tag == other
        && match (tag, l, r) {
            ("N", Json::String(l), Json::String(r)) => same_number(l, r),
            ("L", Json::Array(l), Json::Array(r)) => {
                l.len() == r.len() && l.iter().zip(r).all(|(l, r)| same_typed(l, r))
            }
            ("M", Json::Object(l), Json::Object(r)) => {
                l.len() == r.len() && l.iter().all(|(name, l)| r.get(name).is_some_and(|r| same_typed(l, r)))
            }
            ("SS" | "NS" | "BS", Json::Array(l), Json::Array(r)) => match (texts(l), texts(r)) {
                (Some(l), Some(r)) if tag == "NS" => same_set(l, r, order_numbers),
                (Some(l), Some(r)) => same_set(l, r, Ord::cmp),
                _ => l == r,
            },
            _ => l == r,
        }
}

/// The type letter and the content.
fn typed(value: &Json) -> Option<(&str, &Json)> {
    let object = value.as_object().filter(|o| o.len() == 1)?;
    object.iter().next().map(|(tag, content)| (tag.as_str(), content))
}

fn texts(array: &[Json]) -> Option<Vec<&str>> {
    array.iter().map(Json::as_str).collect()
}
