//! Outputs as lines of text, to be compared in tests.

use crate::condition::{Comparison, Guard, Otherwise};
use crate::effect::{Action, AttributeChange};
use crate::effects::{Disposition, Effects};
use crate::item::{Item, Value};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// Each effect as a line: the causing event or `-`, the action, and the item in DynamoDB JSON, attributes in the order of
/// their names.
#[must_use]
pub fn show(out: &Effects<'_>) -> Vec<String> {
    let line = |(cause, action): (Option<u32>, &Action<'_>)| {
        let cause = cause.map_or_else(|| "-".to_owned(), |c| c.to_string());
        format!("{cause}: {}", show_action(action))
    };
    out.effects().iter().map(|effect| line((effect.cause, &effect.action))).collect()
}

/// The outcomes of events that are not simply done: index, disposition and reason.
#[must_use]
pub fn outcomes(out: &Effects<'_>) -> Vec<String> {
    let line = |disposition: &Disposition| match disposition {
        Disposition::Retry(after) => format!("retry {after:?}"),
        Disposition::Reject(reason) => format!("reject {reason}"),
        Disposition::Skip(reason) => format!("skip {reason}"),
    };
    out.outcomes().iter().map(|outcome| format!("{}: {}", outcome.event, line(&outcome.disposition))).collect()
}

fn show_action(action: &Action<'_>) -> String {
    match action {
        Action::Put(put) => format!("put {} {}{}", put.table, item(&put.item), guard(put.guard.as_ref())),
        Action::Delete(delete) => {
            format!("delete {} {}{}", delete.table, item(&delete.key), guard(delete.guard.as_ref()))
        }
        Action::Update(update) => {
            let change = |(name, change): &(std::borrow::Cow<'_, str>, AttributeChange<'_>)| match change {
                AttributeChange::Set(value) => format!(" {name} = {}", typed(value)),
                AttributeChange::Add(number) => format!(" {name} += {number}"),
                AttributeChange::Remove => format!(" {name} removed"),
            };
            let changes: String = update.changes.iter().map(change).collect();
            format!("update {} {}{changes}{}", update.table, item(&update.key), guard(update.guard.as_ref()))
        }
        Action::Object(object) => format!("object {} {} {} bytes", object.store, object.path, object.bytes.len()),
        Action::Send(send) => {
            let key = send.key.as_ref().map(|key| format!(" [{key}]")).unwrap_or_default();
            let attributes: String = send.attributes.iter().map(|(name, value)| format!(" {name}={value:?}")).collect();
            format!("send {}{key} {}{attributes}", send.output, String::from_utf8_lossy(&send.data))
        }
    }
}

fn item(item: &Item<'_>) -> String {
    let sorted: BTreeMap<&str, Json> = item.0.iter().map(|(name, value)| (name.as_ref(), typed(value))).collect();
    json!(sorted).to_string()
}

fn typed(value: &Value<'_>) -> Json {
    match value {
        Value::Text(text) => json!({ "S": text }),
        Value::Number(text) => json!({ "N": text }),
        Value::Binary(bytes) => json!({ "B": bytes }),
        Value::Boolean(value) => json!({ "BOOL": value }),
        Value::Null => json!({ "NULL": true }),
        Value::TextSet(texts) => json!({ "SS": texts }),
        Value::NumberSet(texts) => json!({ "NS": texts }),
        Value::Document(text) => serde_json::from_str(text).unwrap_or_else(|_| json!({ "malformed": text })),
    }
}

fn guard(guard: Option<&Guard<'_>>) -> String {
    let Some(guard) = guard else { return String::new() };
    let term = |(name, comparison): &(std::borrow::Cow<'_, str>, Comparison<'_>)| match comparison {
        Comparison::Exists => format!("{name} exists"),
        Comparison::Absent => format!("{name} absent"),
        Comparison::Equal(value) => format!("{name} = {}", typed(value)),
        Comparison::NotEqual(value) => format!("{name} != {}", typed(value)),
        Comparison::Less(value) => format!("{name} < {}", typed(value)),
        Comparison::LessOrEqual(value) => format!("{name} <= {}", typed(value)),
        Comparison::Greater(value) => format!("{name} > {}", typed(value)),
        Comparison::GreaterOrEqual(value) => format!("{name} >= {}", typed(value)),
        Comparison::BeginsWith(text) => format!("{name} begins with {text:?}"),
    };
    let terms: Vec<String> = guard.condition.0.iter().map(term).collect();
    let otherwise = match guard.otherwise {
        Otherwise::Rerun => "rerun",
        Otherwise::Skip => "skip",
    };
    format!(" if {} else {otherwise}", terms.join(" and "))
}
