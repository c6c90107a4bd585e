//! Converts between the contract's types and those of the core. Everything is moved, nothing cloned.

use super::{effects, handler, items, objects, tables};
use esclusa_flow::call_output::{CallOutput, Disposition, EventOutcome, Reply};
use esclusa_flow::effect::{self, Action, AttributeChange, Effect};
use esclusa_flow::index::CallIndex;
use esclusa_flow::item::{Comparison, Condition, Guard, Item, Otherwise, Value};
use esclusa_flow::reads::{ItemPage, ObjectBytes, ObjectPage, ReadError, Selection};

fn each<A, B: From<A>>(list: Vec<A>) -> Vec<B> {
    list.into_iter().map(B::from).collect()
}

/// Attributes of the contract as an item of the core.
pub(crate) fn item(list: items::Item) -> Item {
    Item(list.into_iter().map(|(name, value)| (name, value.into())).collect())
}

/// An item of the core as attributes of the contract.
pub(crate) fn attributes(item: Item) -> items::Item {
    item.0.into_iter().map(|(name, value)| (name, value.into())).collect()
}

fn condition(list: items::Condition) -> Condition {
    Condition(list.into_iter().map(|(name, comparison)| (name, comparison.into())).collect())
}

impl From<items::Value> for Value {
    fn from(value: items::Value) -> Self {
        match value {
            items::Value::Text(v) => Value::Text(v),
            items::Value::Number(v) => Value::Number(v),
            items::Value::Binary(v) => Value::Binary(v),
            items::Value::Boolean(v) => Value::Boolean(v),
            items::Value::Null => Value::Null,
            items::Value::TextSet(v) => Value::TextSet(v),
            items::Value::NumberSet(v) => Value::NumberSet(v),
            items::Value::Document(v) => Value::Document(v),
        }
    }
}

impl From<Value> for items::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Text(v) => items::Value::Text(v),
            Value::Number(v) => items::Value::Number(v),
            Value::Binary(v) => items::Value::Binary(v),
            Value::Boolean(v) => items::Value::Boolean(v),
            Value::Null => items::Value::Null,
            Value::TextSet(v) => items::Value::TextSet(v),
            Value::NumberSet(v) => items::Value::NumberSet(v),
            Value::Document(v) => items::Value::Document(v),
        }
    }
}

impl From<items::Comparison> for Comparison {
    fn from(comparison: items::Comparison) -> Self {
        match comparison {
            items::Comparison::Exists => Comparison::Exists,
            items::Comparison::Absent => Comparison::Absent,
            items::Comparison::Equal(v) => Comparison::Equal(v.into()),
            items::Comparison::NotEqual(v) => Comparison::NotEqual(v.into()),
            items::Comparison::Less(v) => Comparison::Less(v.into()),
            items::Comparison::LessOrEqual(v) => Comparison::LessOrEqual(v.into()),
            items::Comparison::Greater(v) => Comparison::Greater(v.into()),
            items::Comparison::GreaterOrEqual(v) => Comparison::GreaterOrEqual(v.into()),
            items::Comparison::BeginsWith(v) => Comparison::BeginsWith(v),
        }
    }
}

impl From<items::Guard> for Guard {
    fn from(guard: items::Guard) -> Self {
        Guard {
            condition: condition(guard.condition),
            otherwise: match guard.otherwise {
                items::Otherwise::Rerun => Otherwise::Rerun,
                items::Otherwise::Skip => Otherwise::Skip,
            },
        }
    }
}

impl From<effects::Change> for AttributeChange {
    fn from(change: effects::Change) -> Self {
        match change {
            effects::Change::Set(value) => AttributeChange::Set(value.into()),
            effects::Change::Add(number) => AttributeChange::Add(number),
            effects::Change::Remove => AttributeChange::Remove,
        }
    }
}

impl From<effects::Action> for Action {
    fn from(action: effects::Action) -> Self {
        match action {
            effects::Action::PutItem(put) => Action::Put(effect::PutItem {
                table: put.table,
                item: item(put.item),
                guard: put.guard.map(Guard::from),
            }),
            effects::Action::UpdateItem(update) => Action::Update(effect::UpdateItem {
                table: update.table,
                key: item(update.key),
                changes: update.changes.into_iter().map(|(name, change)| (name, change.into())).collect(),
                guard: update.guard.map(Guard::from),
            }),
            effects::Action::DeleteItem(delete) => Action::Delete(effect::DeleteItem {
                table: delete.table,
                key: item(delete.key),
                guard: delete.guard.map(Guard::from),
            }),
            effects::Action::PutObject(object) => Action::PutObject(effect::PutObject {
                store: object.store,
                path: object.path,
                content_type: object.content_type,
                bytes: object.bytes,
            }),
            effects::Action::Send(send) => Action::Send(effect::SendMessage {
                output: send.output,
                key: send.key,
                data: send.data,
                attributes: send.attributes,
            }),
        }
    }
}

impl From<effects::Effect> for Effect {
    fn from(effect: effects::Effect) -> Self {
        Effect { cause: effect.cause.map(CallIndex), action: effect.action.into() }
    }
}

impl From<handler::Outcome> for EventOutcome {
    fn from(outcome: handler::Outcome) -> Self {
        EventOutcome {
            event: CallIndex(outcome.event),
            disposition: match outcome.disposition {
                handler::Disposition::Retry(after) => Disposition::Retry(after),
                handler::Disposition::Reject(reason) => Disposition::Reject(reason),
                handler::Disposition::Skip(reason) => Disposition::Skip(reason),
            },
        }
    }
}

impl From<handler::Reply> for Reply {
    fn from(reply: handler::Reply) -> Self {
        Reply {
            event: CallIndex(reply.event),
            status: reply.status,
            content_type: reply.content_type,
            headers: reply.headers,
            body: reply.body,
        }
    }
}

impl From<handler::Output> for CallOutput {
    fn from(output: handler::Output) -> Self {
        CallOutput { effects: each(output.effects), outcomes: each(output.outcomes), replies: each(output.replies) }
    }
}

impl From<tables::Selection> for Selection {
    fn from(selection: tables::Selection) -> Self {
        Selection {
            table: selection.table,
            index: selection.index,
            key: condition(selection.key),
            filter: condition(selection.filter),
            limit: selection.limit,
            descending: selection.descending,
        }
    }
}

impl From<ReadError> for tables::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotGranted(table) => tables::Error::NotGranted(table),
            ReadError::Invalid(why) => tables::Error::Invalid(why),
            ReadError::Unavailable(why) => tables::Error::Unavailable(why),
        }
    }
}

impl From<ItemPage> for tables::Page {
    fn from(page: ItemPage) -> Self {
        tables::Page { items: page.items.into_iter().map(attributes).collect(), next: page.next }
    }
}

impl From<ReadError> for objects::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotGranted(store) => objects::Error::NotGranted(store),
            ReadError::Invalid(why) => objects::Error::Invalid(why),
            ReadError::Unavailable(why) => objects::Error::Unavailable(why),
        }
    }
}

impl From<ObjectBytes> for objects::Object {
    fn from(object: ObjectBytes) -> Self {
        objects::Object { size: object.size, bytes: object.bytes }
    }
}

impl From<ObjectPage> for objects::Page {
    fn from(page: ObjectPage) -> Self {
        let entries = page.entries.into_iter().map(|(path, size)| objects::Entry { path, size }).collect();
        objects::Page { entries, next: page.next }
    }
}
