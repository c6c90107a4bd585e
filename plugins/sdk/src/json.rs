//! JSON records, read in place: texts without escapes and numbers are slices of the payload, so that no digit
//! is lost and little is copied.
//!
//! This reads one object into its fields, in one pass, and checks all of it by the same rules as serde_json (a test
//! compares them). Use [`crate::Event::json`] to read into a type instead.

pub mod document;
mod scan;

use esclusa_data::filter::{FieldValue, Pattern};
pub use esclusa_data::json::write_text;

use scan::Scanner;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// A mistake in a text that should be JSON, and its byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonError {
    at: usize,
    what: &'static str,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

impl std::error::Error for JsonError {}

/// A JSON value. Arrays and objects are their text, already checked.
#[derive(Debug, Clone, PartialEq, Eq)]
// With a tag of one byte the compiler moves the rest as misaligned words, and the processor waits for each (x86-64, 2026).
#[repr(u32)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number as it is written.
    Number(Cow<'a, str>),
    /// A string, without quotes and escapes.
    Text(Cow<'a, str>),
    /// The text of an array.
    Array(Cow<'a, str>),
    /// The text of an object.
    Object(Cow<'a, str>),
}

/// The fields of a JSON object in the order of the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record<'a> {
    fields: Vec<(Cow<'a, str>, Json<'a>)>,
}

impl<'a> Record<'a> {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// [`JsonError`] if the text is not JSON, or not an object.
    pub fn parse(text: &'a str) -> Result<Self, JsonError> {
        // Room for most records, since growing copies the fields.
        let mut record = Record { fields: Vec::with_capacity(16) };
        record.read(text)?;
        Ok(record)
    }

    /// Reads another object into this record, in place of its fields.
    ///
    /// # Errors
    /// As [`Record::parse`]; the record is left with some of the fields then.
    pub fn read(&mut self, text: &'a str) -> Result<(), JsonError> {
        self.fields.clear();
        let mut scanner = Scanner::new(text);
        scanner.object()?;
        while let Some(name) = scanner.member()? {
            scanner.value_to(|value| self.fields.push((name, value)))?;
        }
        scanner.end()
    }

    /// The fields, in order. A name may occur twice: the last one counts.
    #[must_use]
    pub fn fields(&self) -> &[(Cow<'a, str>, Json<'a>)] {
        &self.fields
    }

    /// Takes the fields out.
    pub fn drain(&mut self) -> impl ExactSizeIterator<Item = (Cow<'a, str>, Json<'a>)> + use<'_, 'a> {
        self.fields.drain(..)
    }

    /// Adds a field, which counts instead of one of the same name.
    pub fn push(&mut self, name: impl Into<Cow<'a, str>>, value: Json<'a>) {
        self.fields.push((name.into(), value));
    }

    /// The field of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.fields.iter().rfind(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// The text of a field; `None` if it is absent or no text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// True if the pattern matches the record: fields of the pattern are fields of the record. The payload is not read again,
    /// except for arrays and objects that the pattern looks into.
    #[must_use]
    pub fn matches(&self, pattern: &Pattern) -> bool {
        pattern.matches_fields(|name| {
            Some(match self.get(name)? {
                Json::Null => FieldValue::Null,
                Json::Boolean(value) => FieldValue::Boolean(*value),
                Json::Number(literal) => FieldValue::Number(literal),
                Json::Text(text) => FieldValue::Text(text),
                Json::Array(text) | Json::Object(text) => FieldValue::Json(text),
            })
        })
    }

    /// The record as JSON text; of a name that occurs twice, only the last one.
    #[must_use]
    pub fn to_json(&self) -> String {
        // The place of each name's last field. Looking for it behind each field would take the square of their number.
        let last: BTreeMap<&str, usize> =
            self.fields.iter().enumerate().map(|(at, (name, _))| (name.as_ref(), at)).collect();
        let mut out = String::from("{");
        for (at, (name, value)) in self.fields.iter().enumerate() {
            if last.get(name.as_ref()) != Some(&at) {
                continue;
            }
            if out.len() > 1 {
                out.push(',');
            }
            write_text(name, &mut out);
            out.push(':');
            value.write(&mut out);
        }
        out.push('}');
        out
    }

    /// The field at a path: `customer.address.city`. A field whose name has the points in it goes first.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<Json<'a>> {
        // A name with points in it is rare, but no path could reach it otherwise.
        if let Some(value) = self.get(path) {
            return Some(value.clone());
        }
        let (first, rest) = path.split_once('.')?;
        match self.get(first)? {
            Json::Object(Cow::Borrowed(text)) => Record::parse(text).ok()?.find(rest),
            Json::Object(Cow::Owned(text)) => Record::parse(text).ok()?.find(rest).map(Json::into_owned),
            _ => None,
        }
    }
}

impl Json<'_> {
    /// A copy that borrows nothing.
    #[must_use]
    pub fn into_owned<'b>(self) -> Json<'b> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Json::Null => Json::Null,
            Json::Boolean(value) => Json::Boolean(value),
            Json::Number(literal) => Json::Number(own(literal)),
            Json::Text(text) => Json::Text(own(text)),
            Json::Array(text) => Json::Array(own(text)),
            Json::Object(text) => Json::Object(own(text)),
        }
    }

    /// The kind of the value, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Boolean(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::Text(_) => "a text",
            Json::Array(_) => "an array",
            Json::Object(_) => "an object",
        }
    }

    /// Appends it as JSON text.
    pub fn write(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
            Json::Number(literal) => out.push_str(literal),
            Json::Text(text) => write_text(text, out),
            Json::Array(text) | Json::Object(text) => out.push_str(text),
        }
    }
}

#[cfg(test)]
mod tests;
