//! Nodes as JSON: what a route's `config`, a filter and a sample event become.

use super::tree::{Node, Value};
use crate::effective::MASK;
use serde_json::Value as Json;

/// The node as JSON; dates become texts. What is broken becomes null: it has been reported.
pub fn json(node: &Node) -> Json {
    convert(node, false)
}

/// The node as JSON to be shown: texts that something was put into are masked, they may be secrets.
pub fn masked(node: &Node) -> Json {
    convert(node, true)
}

fn convert(node: &Node, mask: bool) -> Json {
    match &node.value {
        Value::Text(text) if text.interpolated && mask => Json::String(MASK.to_owned()),
        Value::Text(text) => Json::String(text.text.clone()),
        Value::Integer(number) => Json::from(*number),
        Value::Float(number) => Json::from(*number),
        Value::Boolean(value) => Json::Bool(*value),
        Value::Datetime(time) => Json::String(time.clone()),
        Value::List(list) => Json::Array(list.iter().map(|node| convert(node, mask)).collect()),
        Value::Table(table) => {
            Json::Object(table.entries.iter().map(|entry| (entry.key.clone(), convert(&entry.node, mask))).collect())
        }
        Value::Broken => Json::Null,
    }
}
