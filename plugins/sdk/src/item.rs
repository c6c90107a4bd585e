//! Items as the tables hold them. Numbers stay decimal text end to end: no digit is lost.

use crate::json::Json;
use crate::json::document::{self, Unstorable};
use crate::number;
use std::borrow::Cow;

/// The value of an attribute. It borrows from the batch or from the plugin's configuration if it can.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(u32)] // as for `Json`
pub enum Value<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// A decimal number as text.
    Number(Cow<'a, str>),
    /// Bytes.
    Binary(Cow<'a, [u8]>),
    /// True or false.
    Boolean(bool),
    /// DynamoDB's null.
    Null,
    /// A set of strings.
    TextSet(Vec<String>),
    /// A set of decimal numbers as text.
    NumberSet(Vec<String>),
    /// A list or map, as DynamoDB JSON.
    Document(Cow<'a, str>),
}

/// Attributes by name: `Item::new().with("id", "a").with("count", 3)`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Item<'a>(pub Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Item<'a> {
    /// An item without attributes.
    #[must_use]
    pub fn new() -> Self {
        Item::default()
    }

    /// An item without attributes, with room for so many.
    #[must_use]
    pub fn with_capacity(attributes: usize) -> Self {
        Item(Vec::with_capacity(attributes))
    }

    /// The item with an attribute more, or another value of it.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Value<'a>>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets an attribute, replacing its former value.
    pub fn set(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Value<'a>>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some((_, former)) => *former = value,
            None => self.0.push((name, value)),
        }
    }

    /// The value of an attribute.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// The text of an attribute; `None` if it is absent or no text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl<'a> Value<'a> {
    /// A decimal number as text, every digit kept.
    ///
    /// # Errors
    /// [`number::NumberError`] if it is no number that a table can hold.
    pub fn number(text: impl Into<Cow<'a, str>>) -> Result<Self, number::NumberError> {
        let text = text.into();
        number::check(&text)?;
        Ok(Value::Number(text))
    }

    /// The value that a table stores for a JSON value: arrays and objects become documents.
    ///
    /// # Errors
    /// [`Unstorable`] if a number in it cannot be stored, or it is too deep.
    #[inline(always)]
    pub fn from_json(json: Json<'a>) -> Result<Self, Unstorable> {
        Ok(match json {
            Json::Null => Value::Null,
            Json::Boolean(value) => Value::Boolean(value),
            Json::Text(text) => Value::Text(text),
            Json::Number(literal) => {
                number::check(&literal).map_err(Unstorable::Number)?;
                Value::Number(literal)
            }
            Json::Array(text) | Json::Object(text) => Value::Document(Cow::Owned(document::from_json(&text)?)),
        })
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(Cow::Borrowed(text))
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Value::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value::Text(Cow::Owned(text))
    }
}

impl<'a> From<Cow<'a, str>> for Value<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Value::Text(text)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Boolean(value)
    }
}

macro_rules! number_from {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Value<'_> {
            fn from(value: $integer) -> Self {
                Value::Number(Cow::Owned(value.to_string()))
            }
        }
    )*};
}
number_from!(i32, i64, u32, u64, usize);
