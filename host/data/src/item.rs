//! Items as the tables hold them, and the conditions that guard writes.
//!
//! Numbers stay decimal text end to end: no digit is lost.

pub mod condition;
pub mod draft;
pub mod dynamodb_json;
pub mod number;

pub use condition::{Comparison, Condition, Guard, Otherwise};

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Text(String),
    /// A decimal number as text.
    Number(String),
    /// Bytes.
    Binary(Vec<u8>),
    /// True or false.
    Boolean(bool),
    /// DynamoDB's null.
    Null,
    /// A set of strings.
    TextSet(Vec<String>),
    /// A set of decimal numbers as text.
    NumberSet(Vec<String>),
    /// A list or map, as DynamoDB JSON.
    Document(String),
}

/// Attributes by name. Names are unique; the order carries no meaning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Item(pub Vec<(String, Value)>);

impl Item {
    /// The value of an attribute.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// Sets an attribute, replacing its former value.
    pub fn set(&mut self, name: &str, value: Value) {
        match self.0.iter_mut().find(|(n, _)| n == name) {
            Some((_, v)) => *v = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Attributes and members of sets: as many steps as it takes to go through all of them.
    #[must_use]
    pub fn parts(&self) -> usize {
        let parts = |value: &Value| match value {
            Value::TextSet(texts) | Value::NumberSet(texts) => texts.len().saturating_add(1),
            _ => 1,
        };
        self.0.iter().map(|(_, value)| parts(value)).fold(0, usize::saturating_add)
    }

    /// Bytes of its names and values.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len().saturating_add(value.size())).sum()
    }

    /// Removes an attribute.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| n != name);
    }
}

impl FromIterator<(String, Value)> for Item {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(iter: I) -> Self {
        Item(iter.into_iter().collect())
    }
}

impl Value {
    /// Its bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Value::Text(text) | Value::Number(text) | Value::Document(text) => text.len(),
            Value::Binary(bytes) => bytes.len(),
            // A member costs something even if it is empty.
            Value::TextSet(texts) | Value::NumberSet(texts) => {
                texts.iter().map(|text| text.len().saturating_add(1)).sum()
            }
            Value::Boolean(_) | Value::Null => 1,
        }
    }

    /// The DynamoDB type letter: S, N, B, BOOL, NULL, SS, NS; L or M for documents.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Text(_) => "S",
            Value::Number(_) => "N",
            Value::Binary(_) => "B",
            Value::Boolean(_) => "BOOL",
            Value::Null => "NULL",
            Value::TextSet(_) => "SS",
            Value::NumberSet(_) => "NS",
            Value::Document(_) => "document",
        }
    }
}
