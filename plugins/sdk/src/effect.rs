//! Effects: actions that a plugin asks the router for. Names are those of routes.toml.

use crate::condition::Guard;
use crate::item::{Item, Value};
use std::borrow::Cow;

/// An action, and the event that caused it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect<'a> {
    /// Index of the causing event; `None`: the batch as a whole.
    pub cause: Option<u32>,
    /// The action.
    pub action: Action<'a>,
}

/// One action: a write, an object or a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<'a> {
    /// Stores an item, replacing the one with the same key.
    Put(Put<'a>),
    /// Changes attributes of an item; creates it if it does not exist.
    Update(Update<'a>),
    /// Deletes an item; nothing happens if it does not exist.
    Delete(Delete<'a>),
    /// Stores an object.
    Object(Object<'a>),
    /// Sends a message to an output.
    Send(Send<'a>),
}

/// Stores an item, replacing the one with the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put<'a> {
    /// The table.
    pub table: Cow<'a, str>,
    /// The whole item, key included.
    pub item: Item<'a>,
    /// Condition on the stored item.
    pub guard: Option<Guard<'a>>,
}

/// One change of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeChange<'a> {
    /// Sets the value.
    Set(Value<'a>),
    /// Adds a decimal number; a missing attribute counts as 0.
    Add(Cow<'a, str>),
    /// Removes the attribute.
    Remove,
}

/// Changes attributes of an item: `Update::new("totals", key).add("orders", "1").set("last", "x")`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update<'a> {
    /// The table.
    pub table: Cow<'a, str>,
    /// Exactly the key attributes.
    pub key: Item<'a>,
    /// Attribute and change.
    pub changes: Vec<(Cow<'a, str>, AttributeChange<'a>)>,
    /// Condition on the stored item.
    pub guard: Option<Guard<'a>>,
}

/// Deletes an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete<'a> {
    /// The table.
    pub table: Cow<'a, str>,
    /// Exactly the key attributes.
    pub key: Item<'a>,
    /// Condition on the stored item.
    pub guard: Option<Guard<'a>>,
}

/// Stores an object. The same batch must give the same path again, so that a repetition overwrites it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object<'a> {
    /// The object store.
    pub store: Cow<'a, str>,
    /// Relative to the store, parts separated by `/`.
    pub path: Cow<'a, str>,
    /// MIME type.
    pub content_type: Cow<'a, str>,
    /// Content.
    pub bytes: Cow<'a, [u8]>,
}

/// Sends a message: `Send::new("alerts", "text").key("a").attribute("subject", "b")`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Send<'a> {
    /// The output.
    pub output: Cow<'a, str>,
    /// Partition key or message group.
    pub key: Option<Cow<'a, str>>,
    /// Payload.
    pub data: Cow<'a, [u8]>,
    /// Name and value pairs.
    pub attributes: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Put<'a> {
    /// A put without a guard.
    pub fn new(table: impl Into<Cow<'a, str>>, item: Item<'a>) -> Self {
        Put { table: table.into(), item, guard: None }
    }

    /// Only if the guard's condition holds of the stored item.
    #[must_use]
    pub fn guard(mut self, guard: Guard<'a>) -> Self {
        self.guard = Some(guard);
        self
    }
}

impl<'a> Update<'a> {
    /// An update that changes nothing yet.
    pub fn new(table: impl Into<Cow<'a, str>>, key: Item<'a>) -> Self {
        Update { table: table.into(), key, changes: Vec::new(), guard: None }
    }

    /// Sets an attribute.
    #[must_use]
    pub fn set(mut self, attribute: impl Into<Cow<'a, str>>, value: impl Into<Value<'a>>) -> Self {
        self.changes.push((attribute.into(), AttributeChange::Set(value.into())));
        self
    }

    /// Adds a decimal number to an attribute; a missing one counts as 0.
    #[must_use]
    pub fn add(mut self, attribute: impl Into<Cow<'a, str>>, number: impl Into<Cow<'a, str>>) -> Self {
        self.changes.push((attribute.into(), AttributeChange::Add(number.into())));
        self
    }

    /// Removes an attribute.
    #[must_use]
    pub fn remove(mut self, attribute: impl Into<Cow<'a, str>>) -> Self {
        self.changes.push((attribute.into(), AttributeChange::Remove));
        self
    }

    /// Only if the guard's condition holds of the stored item.
    #[must_use]
    pub fn guard(mut self, guard: Guard<'a>) -> Self {
        self.guard = Some(guard);
        self
    }
}

impl<'a> Delete<'a> {
    /// A delete without a guard.
    pub fn new(table: impl Into<Cow<'a, str>>, key: Item<'a>) -> Self {
        Delete { table: table.into(), key, guard: None }
    }

    /// Only if the guard's condition holds of the stored item.
    #[must_use]
    pub fn guard(mut self, guard: Guard<'a>) -> Self {
        self.guard = Some(guard);
        self
    }
}

impl<'a> Object<'a> {
    /// An object of unknown type.
    pub fn new(store: impl Into<Cow<'a, str>>, path: impl Into<Cow<'a, str>>, bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        let content_type = Cow::Borrowed("application/octet-stream");
        Object { store: store.into(), path: path.into(), content_type, bytes: bytes.into() }
    }

    /// Of this MIME type.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<Cow<'a, str>>) -> Self {
        self.content_type = content_type.into();
        self
    }
}

impl<'a> Send<'a> {
    /// A message without key and attributes.
    pub fn new(output: impl Into<Cow<'a, str>>, data: impl Into<Cow<'a, [u8]>>) -> Self {
        Send { output: output.into(), key: None, data: data.into(), attributes: Vec::new() }
    }

    /// A message of text.
    pub fn text(output: impl Into<Cow<'a, str>>, text: impl Into<Cow<'a, str>>) -> Self {
        let data = match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Send { output: output.into(), key: None, data, attributes: Vec::new() }
    }

    /// With this partition key or message group.
    #[must_use]
    pub fn key(mut self, key: impl Into<Cow<'a, str>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// With an attribute more.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) -> Self {
        self.attributes.push((name.into(), value.into()));
        self
    }
}

macro_rules! action_from {
    ($($kind:ident),*) => {$(
        impl<'a> From<$kind<'a>> for Action<'a> {
            fn from(action: $kind<'a>) -> Self {
                Action::$kind(action)
            }
        }
    )*};
}
action_from!(Put, Update, Delete, Object, Send);
