//! Effects: the actions that a plugin asks for. Plain data; engines and sinks carry them out.

use crate::index::CallIndex;
use crate::item::{Guard, Item, Value};

/// An action, and the event that caused it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The event of the call that caused it; `None`: the batch as a whole.
    pub cause: Option<CallIndex>,
    /// The action.
    pub action: Action,
}

/// A write, an object or a message. Names are those of routes.toml, never ARNs or URLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Stores an item, replacing the one with the same key.
    Put(PutItem),
    /// Changes attributes of an item; creates the item if it is absent.
    Update(UpdateItem),
    /// Deletes an item; nothing happens if it is absent.
    Delete(DeleteItem),
    /// Stores an object.
    PutObject(PutObject),
    /// Sends a message to an output.
    Send(SendMessage),
}

/// See [`Action::Put`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutItem {
    /// Table name in routes.toml.
    pub table: String,
    /// The whole item, key included.
    pub item: Item,
    /// Condition on the stored item.
    pub guard: Option<Guard>,
}

/// One change of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeChange {
    /// Sets the value.
    Set(Value),
    /// Adds a decimal number; a missing attribute counts as 0.
    Add(String),
    /// Removes the attribute.
    Remove,
}

impl AttributeChange {
    /// Bytes of its operand.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            AttributeChange::Set(value) => value.size(),
            AttributeChange::Add(number) => number.len(),
            AttributeChange::Remove => 0,
        }
    }
}

/// See [`Action::Update`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateItem {
    /// Table name in routes.toml.
    pub table: String,
    /// Exactly the key attributes.
    pub key: Item,
    /// Attribute and change.
    pub changes: Vec<(String, AttributeChange)>,
    /// Condition on the stored item.
    pub guard: Option<Guard>,
}

impl UpdateItem {
    /// Bytes of the names and values that it changes.
    #[must_use]
    pub fn changes_size(&self) -> usize {
        self.changes.iter().map(|(name, change)| name.len().saturating_add(change.size())).sum()
    }
}

/// See [`Action::Delete`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteItem {
    /// Table name in routes.toml.
    pub table: String,
    /// Exactly the key attributes.
    pub key: Item,
    /// Condition on the stored item.
    pub guard: Option<Guard>,
}

/// See [`Action::PutObject`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutObject {
    /// Name of an `[objects.NAME]` in routes.toml.
    pub store: String,
    /// Relative path within the store; `/` separates.
    pub path: String,
    /// MIME type.
    pub content_type: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// See [`Action::SendMessage`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendMessage {
    /// Name of an `[output.NAME]` in routes.toml.
    pub output: String,
    /// Partition key or message group.
    pub key: Option<String>,
    /// Payload.
    pub data: Vec<u8>,
    /// Name and value pairs.
    pub attributes: Vec<(String, String)>,
}

/// A message on its way to an output, with the id that lets the receiver deduplicate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxMessage {
    /// Stable across redeliveries: from route, causing event and ordinal; never from the plugin's digest.
    pub id: String,
    /// The message and its output.
    pub send: SendMessage,
}

impl Action {
    /// About how many bytes the action holds.
    #[must_use]
    pub fn size(&self) -> usize {
        let guard = |guard: &Option<Guard>| guard.as_ref().map_or(0, |guard| guard.condition.size());
        match self {
            Action::Put(put) => put.item.size().saturating_add(guard(&put.guard)),
            Action::Update(update) => update.changes_size().saturating_add(guard(&update.guard)),
            Action::Delete(delete) => delete.key.size().saturating_add(guard(&delete.guard)),
            Action::PutObject(object) => object.bytes.len(),
            Action::Send(send) => send.data.len(),
        }
    }

    /// The name of the table, object store or output that it touches.
    #[must_use]
    pub fn target(&self) -> &str {
        match self {
            Action::Put(p) => &p.table,
            Action::Update(u) => &u.table,
            Action::Delete(d) => &d.table,
            Action::PutObject(o) => &o.store,
            Action::Send(s) => &s.output,
        }
    }
}
