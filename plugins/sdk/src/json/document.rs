//! Between plain JSON and DynamoDB JSON, in which every value says its type: `{"S":"a"}`, `{"N":"1"}`.

use super::scan::Scanner;
use super::{Json, JsonError, Record, write_text};
use crate::number;
use std::borrow::Cow;
use std::fmt;

/// DynamoDB JSON of a JSON value that has been checked: `[1,"a"]` gives `{"L":[{"N":"1"},{"S":"a"}]}`.
///
/// # Errors
/// [`Unstorable`] if a number in it cannot be stored, or it is too deep.
pub fn from_json(text: &str) -> Result<String, Unstorable> {
    let mut writer = Marshal { out: String::with_capacity(text.len() * 2), depth: 0, error: None };
    // The text has been checked, so the only errors are those that the writer keeps.
    let _ = writer.value(&mut Scanner::new(text));
    writer.error.map_or(Ok(writer.out), Err)
}

/// Lists and maps within each other that a table holds: DynamoDB's "nested attribute depth", November 2026.
pub const MAX_DEPTH: usize = 32;

/// A JSON value that no table can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unstorable {
    /// A number that no table can hold.
    Number(number::NumberError),
    /// More lists and maps within each other than [`MAX_DEPTH`].
    TooDeep,
}

impl fmt::Display for Unstorable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unstorable::Number(error) => error.fmt(f),
            Unstorable::TooDeep => write!(f, "more than {MAX_DEPTH} arrays and objects within each other"),
        }
    }
}

impl std::error::Error for Unstorable {}

struct Marshal {
    out: String,
    depth: usize,
    error: Option<Unstorable>,
}

impl Marshal {
    fn value(&mut self, scanner: &mut Scanner<'_>) -> Result<(), JsonError> {
        match scanner.start() {
            // The rest of the value is still read, so that the scanner stands behind it.
            Some(b'[' | b'{') if self.depth == MAX_DEPTH => {
                self.error = self.error.take().or(Some(Unstorable::TooDeep));
                scanner.value()?;
            }
            Some(b'[') => {
                self.depth += 1;
                self.out.push_str("{\"L\":[");
                scanner.enter()?;
                let mut first = true;
                while scanner.element()? {
                    self.separate(&mut first);
                    self.value(scanner)?;
                }
                self.out.push_str("]}");
                self.depth -= 1;
            }
            Some(b'{') => {
                self.depth += 1;
                self.out.push_str("{\"M\":{");
                scanner.enter()?;
                let mut first = true;
                while let Some(name) = scanner.member()? {
                    self.separate(&mut first);
                    write_text(&name, &mut self.out);
                    self.out.push(':');
                    self.value(scanner)?;
                }
                self.out.push_str("}}");
                self.depth -= 1;
            }
            _ => self.scalar(&scanner.value()?),
        }
        Ok(())
    }

    fn separate(&mut self, first: &mut bool) {
        if !std::mem::replace(first, false) {
            self.out.push(',');
        }
    }

    fn scalar(&mut self, value: &Json<'_>) {
        let (kind, quoted) = match value {
            Json::Text(_) => ("{\"S\":", false),
            Json::Number(literal) => {
                self.error = self.error.take().or(number::check(literal).err().map(Unstorable::Number));
                ("{\"N\":", true)
            }
            Json::Boolean(_) => ("{\"BOOL\":", false),
            _ => {
                self.out.push_str("{\"NULL\":true}");
                return;
            }
        };
        self.out.push_str(kind);
        if quoted {
            self.out.push('"');
        }
        value.write(&mut self.out);
        self.out.push_str(if quoted { "\"}" } else { "}" });
    }
}

/// The plain record of an image: `{"id":{"S":"a"},"n":{"N":"1"}}` gives `{"id":"a","n":1}`. Binaries stay base64
/// text, sets become arrays.
///
/// # Errors
/// [`JsonError`] if the text is not an image.
pub fn record(image: &str) -> Result<Record<'_>, JsonError> {
    let mut record = Record::default();
    let mut wrong = None;
    for (name, typed) in Record::parse(image)?.drain() {
        match attribute(typed) {
            Some(value) => record.push(name, value),
            None => wrong = Some(JsonError { at: 0, what: "an attribute is not DynamoDB JSON" }),
        }
    }
    wrong.map_or(Ok(record), Err)
}

fn attribute(typed: Json<'_>) -> Option<Json<'_>> {
    let Json::Object(Cow::Borrowed(text)) = typed else { return None };
    let (kind, value) = single(text)?;
    match (kind.as_ref(), value) {
        ("S" | "B", text @ Json::Text(_)) => Some(text),
        ("N", Json::Text(digits)) => literal(digits).map(Json::Number),
        ("BOOL", value @ Json::Boolean(_)) => Some(value),
        ("NULL", _) => Some(Json::Null),
        ("SS" | "BS", array @ Json::Array(_)) => Some(array),
        ("NS" | "L", Json::Array(_)) => Some(Json::Array(Cow::Owned(plain(text)?))),
        ("M", Json::Object(_)) => Some(Json::Object(Cow::Owned(plain(text)?))),
        _ => None,
    }
}

/// A number as it is written, unless only DynamoDB writes it so: `01` and `+1` are no numbers of JSON. `None`: it is none at all.
fn literal(digits: Cow<'_, str>) -> Option<Cow<'_, str>> {
    number::check(&digits).ok()?;
    let mut scanner = Scanner::new(&digits);
    if matches!(scanner.value(), Ok(Json::Number(_))) && scanner.end().is_ok() {
        return Some(digits);
    }
    number::canonical(&digits).ok().map(Cow::Owned)
}

/// The one field of an object.
fn single(text: &str) -> Option<(Cow<'_, str>, Json<'_>)> {
    let mut record = Record::parse(text).ok()?;
    let mut fields = record.drain();
    fields.next().filter(|_| fields.len() == 0)
}

/// Plain JSON text of a value in DynamoDB JSON: `{"L":[{"N":"1"}]}` gives `[1]`. `None` if it is not DynamoDB JSON.
#[must_use]
pub fn plain(typed: &str) -> Option<String> {
    let mut out = String::with_capacity(typed.len());
    write_plain(typed, &mut out)?;
    Some(out)
}

fn write_plain(typed: &str, out: &mut String) -> Option<()> {
    let (kind, value) = single(typed)?;
    match (kind.as_ref(), value) {
        ("N", Json::Text(digits)) => out.push_str(&literal(digits)?),
        ("S" | "B", value @ Json::Text(_))
        | ("BOOL", value @ Json::Boolean(_))
        | ("SS" | "BS", value @ Json::Array(_)) => {
            value.write(out);
        }
        ("NULL", _) => out.push_str("null"),
        ("NS", Json::Array(text)) => list(&text, out, |element, out| match element {
            Json::Text(digits) => {
                out.push_str(&literal(Cow::Borrowed(digits))?);
                Some(())
            }
            _ => None,
        })?,
        ("L", Json::Array(text)) => list(&text, out, |element, out| match element {
            Json::Object(typed) => write_plain(typed, out),
            _ => None,
        })?,
        ("M", Json::Object(text)) => {
            out.push('{');
            for (i, (name, typed)) in Record::parse(&text).ok()?.drain().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_text(&name, out);
                out.push(':');
                let Json::Object(typed) = typed else { return None };
                write_plain(&typed, out)?;
            }
            out.push('}');
        }
        _ => return None,
    }
    Some(())
}

fn list(text: &str, out: &mut String, mut write: impl FnMut(&Json<'_>, &mut String) -> Option<()>) -> Option<()> {
    out.push('[');
    for (i, element) in array(text).ok()?.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write(element, out)?;
    }
    out.push(']');
    Some(())
}

/// The elements of a JSON array.
///
/// # Errors
/// [`JsonError`] if the text is not a JSON array.
pub fn array(text: &str) -> Result<Vec<Json<'_>>, JsonError> {
    let mut elements = Vec::new();
    let mut scanner = Scanner::new(text);
    if scanner.start() != Some(b'[') {
        return Err(JsonError { at: 0, what: "expected an array" });
    }
    scanner.enter()?;
    while scanner.element()? {
        elements.push(scanner.value()?);
    }
    scanner.end()?;
    Ok(elements)
}
