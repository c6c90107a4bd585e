//! Payloads read where they lie: the named fields of an object as slices of its text, the rest skipped.
//!
//! Skipping costs no stack, so depth is limited here: what is nested deeper than a parser would follow is no JSON
//! for a pattern. Numbers stay text, so no digit is lost. Where a field is there twice, the last one counts.

use super::view::{Leaf, Opened, View};
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Deserializer;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Deepest nesting of a payload; the limit of `serde_json`, which plugins parse it with.
const MAX_DEPTH: usize = 127;
/// The white space of JSON.
const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// Valid JSON as a pattern's list sees it.
pub(super) enum Value<'a> {
    /// A single value.
    Leaf(Leaf<'a>),
    /// The elements of an array.
    Array(Vec<View<'a>>),
    /// An object.
    Object,
}

/// The text of a payload that may be JSON, without space around it.
pub(super) fn text(data: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(data).ok()?.trim_matches(SPACE);
    (!is_too_deep(text.as_bytes())).then_some(text)
}

/// True for JSON.
pub(super) fn is_valid(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Looks for fields in a text; `None` where it is no JSON. Reads all of it.
pub(super) fn open<'a>(text: &'a str, names: &[String]) -> Option<Opened<'a>> {
    match text.bytes().next()? {
        b'{' => whole(text, Fields(names)).map(Opened::Object),
        b'[' => whole(text, Elements).map(Opened::Array),
        _ => is_valid(text).then_some(Opened::Scalar),
    }
}

/// Reads valid JSON.
pub(super) fn value(text: &str) -> Value<'_> {
    match text.bytes().next() {
        Some(b'{') => Value::Object,
        Some(b'[') => Value::Array(whole(text, Elements).unwrap_or_default()),
        Some(b'"') => Value::Leaf(Leaf::Text(unquoted(text))),
        Some(b't') => Value::Leaf(Leaf::Boolean(true)),
        Some(b'f') => Value::Leaf(Leaf::Boolean(false)),
        Some(b'n') => Value::Leaf(Leaf::Null),
        _ => Value::Leaf(Leaf::Number(Cow::Borrowed(text))),
    }
}

/// Deserializes all of a text.
fn whole<'a, S: DeserializeSeed<'a>>(text: &'a str, seed: S) -> Option<S::Value> {
    let mut deserializer = Deserializer::from_str(text);
    let value = seed.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok().map(|()| value)
}

/// The content of a string. One that stands for no text, because of half a surrogate pair, stays as it is written.
fn unquoted(string: &str) -> Cow<'_, str> {
    let written = string.strip_prefix('"').and_then(|s| s.strip_suffix('"')).unwrap_or(string);
    if !written.bytes().any(|b| b == b'\\') {
        return Cow::Borrowed(written);
    }
    serde_json::from_str::<String>(string).map_or(Cow::Borrowed(written), Cow::Owned)
}

/// True where brackets are nested too deeply. Only a text with many of them is looked at closely.
fn is_too_deep(text: &[u8]) -> bool {
    // In blocks, so that a byte can count and the loop runs on many bytes at once. `[` and `{` differ in one bit.
    let opening = |block: &[u8]| block.iter().fold(0u8, |sum, b| sum.wrapping_add(u8::from(b | 0x20 == b'{')));
    if text.chunks(128).map(|block| usize::from(opening(block))).sum::<usize>() <= MAX_DEPTH {
        return false;
    }
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0usize, 0usize, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => depth += 1,
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest > MAX_DEPTH
}

/// Reads an object and keeps the fields of these names.
struct Fields<'n>(&'n [String]);

impl<'a> DeserializeSeed<'a> for Fields<'_> {
    type Value = Vec<Option<View<'a>>>;

    fn deserialize<D: serde::Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Fields<'_> {
    type Value = Vec<Option<View<'a>>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut fields = vec![None; self.0.len()];
        while let Some(key) = map.next_key::<&RawValue>()? {
            let key = unquoted(key.get());
            match self.0.iter().position(|name| *name == key).and_then(|index| fields.get_mut(index)) {
                Some(field) => *field = Some(View::Json(map.next_value::<&RawValue>()?.get())),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}

/// Reads an array.
struct Elements;

impl<'a> DeserializeSeed<'a> for Elements {
    type Value = Vec<View<'a>>;

    fn deserialize<D: serde::Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'a> Visitor<'a> for Elements {
    type Value = Vec<View<'a>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut sequence: S) -> Result<Self::Value, S::Error> {
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element::<&RawValue>()? {
            elements.push(View::Json(element.get()));
        }
        Ok(elements)
    }
}
