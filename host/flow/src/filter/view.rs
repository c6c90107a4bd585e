//! What a pattern looks at: an event, a part of its payload's text, or a parsed value. Nothing is copied.

use super::document;
use super::json;
use crate::event::EventRef;
use serde_json::Value;
use std::borrow::Cow;

/// Something that a part of a pattern is held against.
#[derive(Debug, Clone, Copy)]
pub(super) enum View<'a> {
    /// The document of an event, from a source of this kind.
    Event(&'a str, EventRef<'a>),
    /// The attributes of an event.
    Attributes(EventRef<'a>),
    /// The attributes of a queue's message, where each is also an object.
    MessageAttributes(EventRef<'a>),
    /// One of those.
    MessageAttribute(&'a str),
    /// A payload: JSON, or a text.
    Data(&'a [u8]),
    /// Valid JSON without space around it.
    Json(&'a str),
    /// A parsed value.
    Tree(&'a Value),
    /// A text.
    Text(&'a str),
    /// A number.
    Number(u64),
}

/// A view as an object's pattern sees it.
pub(super) enum Opened<'a> {
    /// The fields that were asked for, in that order.
    Object(Vec<Option<View<'a>>>),
    /// The elements.
    Array(Vec<View<'a>>),
    /// Anything without fields.
    Scalar,
    /// A payload that is no JSON: no pattern for an object matches it, whatever it asks for.
    NotJson,
}

/// A value that is neither an object nor an array.
#[derive(Debug)]
pub(super) enum Leaf<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// A number as text.
    Number(Cow<'a, str>),
    /// True or false.
    Boolean(bool),
    /// JSON's null.
    Null,
}

impl<'a> View<'a> {
    /// Looks for fields.
    pub fn open(self, names: &[String]) -> Opened<'a> {
        let each =
            |field: &dyn Fn(&str) -> Option<View<'a>>| Opened::Object(names.iter().map(|name| field(name)).collect());
        match self {
            View::Event(kind, event) => document::open(kind, event, names),
            View::Attributes(event) => each(&|name| document::attribute(event, name).map(View::Text)),
            View::MessageAttributes(event) => {
                each(&|name| document::attribute(event, name).map(View::MessageAttribute))
            }
            View::MessageAttribute(text) => each(&|name| match name {
                "stringValue" => Some(View::Text(text)),
                "dataType" => Some(View::Text("String")),
                _ => None,
            }),
            View::Data(data) => json::text(data).and_then(|t| json::open(t, names)).unwrap_or(Opened::NotJson),
            View::Json(text) => json::open(text, names).unwrap_or(Opened::Scalar),
            View::Tree(Value::Object(object)) => each(&|name| object.get(name).map(View::Tree)),
            View::Tree(Value::Array(array)) => Opened::Array(array.iter().map(View::Tree).collect()),
            View::Tree(_) | View::Text(_) | View::Number(_) => Opened::Scalar,
        }
    }

    /// True where `accepts` says so of any value in it, arrays taken apart; objects hold no values of their own.
    pub fn any_leaf(self, accepts: &mut dyn FnMut(&Leaf<'a>) -> bool) -> bool {
        match self {
            View::Event(..) | View::Attributes(_) | View::MessageAttributes(_) => false,
            View::MessageAttribute(text) | View::Text(text) => accepts(&Leaf::Text(Cow::Borrowed(text))),
            View::Number(number) => accepts(&Leaf::Number(Cow::Owned(number.to_string()))),
            View::Data(data) => match json::text(data).filter(|text| json::is_valid(text)) {
                Some(text) => View::Json(text).any_leaf(accepts),
                None => accepts(&Leaf::Text(String::from_utf8_lossy(data))),
            },
            View::Json(text) => match json::value(text) {
                json::Value::Leaf(leaf) => accepts(&leaf),
                json::Value::Array(elements) => elements.into_iter().any(|element| element.any_leaf(accepts)),
                json::Value::Object => false,
            },
            View::Tree(value) => match value {
                Value::Object(_) => false,
                Value::Array(elements) => elements.iter().any(|element| View::Tree(element).any_leaf(accepts)),
                Value::String(text) => accepts(&Leaf::Text(Cow::Borrowed(text))),
                Value::Number(number) => accepts(&Leaf::Number(Cow::Owned(number.to_string()))),
                Value::Bool(boolean) => accepts(&Leaf::Boolean(*boolean)),
                Value::Null => accepts(&Leaf::Null),
            },
        }
    }
}
