//! One field of a JSON text from outside, found without keeping the rest: as a `Value`, a text may take a hundred times its
//! bytes, which no budget counts.
//!
//! A path is names with dots between them. Of several fields with the same name the last one counts, as in a `Value`.

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Number;
use serde_json::value::RawValue;
use std::fmt::Formatter;

/// Most names of a path: no `Value` is deeper. For each name, what the last one has found is read again.
const DEPTH: usize = 128;

/// The text or number at a path of a body; `None` also for a body that could not become a `Value`.
pub(crate) fn text_or_number(body: &[u8], path: &str) -> Option<String> {
    let json = str::from_utf8(body).ok()?;
    serde_json::from_str::<Checked>(json).ok()?;
    let value = find(json, path)?.get();
    match value.as_bytes().first()? {
        b'"' => serde_json::from_str(value).ok(),
        // With every digit, but in one notation: `1E2` and `1e+2` are the same key.
        b'-' | b'0'..=b'9' => serde_json::from_str::<Number>(value).ok().map(|number| number.to_string()),
        _ => None,
    }
}

/// The value at a path, as it was sent. Of what is beside the path, texts are not looked into: their escapes may be wrong.
pub(crate) fn find<'j>(json: &'j str, path: &str) -> Option<&'j RawValue> {
    let mut names = path.split('.');
    let first = field(json, names.next()?)?;
    let mut rest = names.by_ref().take(DEPTH);
    let found = rest.try_fold(first, |value, name| field(value.get(), name))?;
    names.next().is_none().then_some(found)
}

/// The value of a field of an object.
fn field<'j>(json: &'j str, name: &str) -> Option<&'j RawValue> {
    let mut from = serde_json::Deserializer::from_str(json);
    let found = from.deserialize_map(LastField(name)).ok()?;
    from.end().ok()?;
    found
}

/// Finds the last field of this name.
struct LastField<'n>(&'n str);

impl<'de> Visitor<'de> for LastField<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(named) = fields.next_key_seed(Named(self.0))? {
            if named {
                found = Some(fields.next_value()?);
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Reads a name: true if it is this one.
struct Named<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Named<'_> {
    type Value = bool;

    fn expecting(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        out.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

/// Any value that could become a `Value`, read and dropped. `IgnoredAny` is laxer: it takes wrong escapes, and any depth.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Checked)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = Checked;

    fn expecting(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Checked, A::Error> {
        while items.next_element::<Checked>()?.is_some() {}
        Ok(Checked)
    }

    /// Larger numbers and fractions come here, too: with all their digits they are objects to `serde_json`.
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Checked, A::Error> {
        while fields.next_entry::<Checked, Checked>()?.is_some() {}
        Ok(Checked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use esclusa_testkit::allocations::{self, Counting};
    use proptest::prelude::*;
    use serde_json::Value;
    use std::borrow::Cow;
    use std::collections::BTreeMap;

    #[global_allocator]
    static COUNTING: Counting = Counting;

    /// The text or number in a `Value`.
    fn in_a_value(body: &[u8], path: &str) -> Option<String> {
        let json = serde_json::from_slice::<Value>(body).ok()?;
        match path.split('.').try_fold(&json, |value, name| value.get(name))? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The value in maps of all fields.
    fn in_maps<'j>(json: &'j str, path: &str) -> Option<&'j str> {
        let mut value = serde_json::from_str::<&RawValue>(json).ok()?;
        for name in path.split('.') {
            let fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(value.get()).ok()?;
            value = *fields.get(name)?;
        }
        Some(value.get())
    }

    /// Values that are no object and no list, and texts that are none at all.
    const SCALARS: &[&str] = &[
        "null",
        "true",
        "0",
        "-0",
        "7",
        "12345678901234567890.10",
        "1e2",
        "1E+2",
        "1E-2",
        "1e999",
        "-",
        "01",
        "\"\"",
        "\"x\"",
        "\"\\u0061\\n\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\"\\x\"",
        "\"ñ\"",
        "\"\n\"",
        "nul",
        " 5 ",
    ];
    /// Names, two of which are the same, and one of which is wrong.
    const NAMES: &[&str] = &["a", "b", "\\u0061", "a.b", "", "\\ud800", "c"];

    const PATH: &[&str] = &["a", "b", "", "c"];

    /// JSON as text, with names that come again and are escaped, white space, and escapes that are wrong.
    fn json() -> impl Strategy<Value = String> {
        let scalar = prop::sample::select(SCALARS).prop_map(str::to_owned);
        scalar.prop_recursive(4, 24, 4, |inner| {
            let field = (prop::sample::select(NAMES), inner.clone());
            let field = field.prop_map(|(name, value)| format!("\"{name}\" :{value}"));
            prop_oneof![
                1 => prop::collection::vec(inner, 0..3).prop_map(|items| format!("[{}]", items.join(","))),
                4 => prop::collection::vec(field, 0..4).prop_map(|fields| format!("{{{}}}", fields.join(", "))),
            ]
        })
    }

    fn path() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(PATH), 1..4).prop_map(|names| names.join("."))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

        #[test]
        fn what_is_found_is_what_a_value_has(json in json(), path in path(), cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
            prop_assert_eq!(text_or_number(json.as_bytes(), &path), in_a_value(json.as_bytes(), &path));
            let mut broken = json.into_bytes();
            let at = cut.index(broken.len());
            broken[at] = byte;
            prop_assert_eq!(text_or_number(&broken, &path), in_a_value(&broken, &path));
            prop_assert_eq!(text_or_number(&broken[..at], &path), in_a_value(&broken[..at], &path));
        }

        #[test]
        fn what_is_found_as_it_was_sent_is_what_maps_have(json in json(), path in path()) {
            // Only such texts are looked into: lines are JSON.
            if serde_json::from_str::<&RawValue>(&json).is_ok() {
                prop_assert_eq!(find(&json, &path).map(RawValue::get), in_maps(&json, &path));
            }
        }
    }

    #[test]
    fn as_deep_as_a_value_and_no_deeper() {
        for depth in [1, 126, 127, 128, 129, 500] {
            let beside = format!("{{\"k\": 1, \"deep\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(text_or_number(beside.as_bytes(), "k"), in_a_value(beside.as_bytes(), "k"), "{depth}");
            let path = vec!["a"; depth].join(".");
            let nested = format!("{}7{}", "{\"a\":".repeat(depth), "}".repeat(depth));
            assert_eq!(text_or_number(nested.as_bytes(), &path), in_a_value(nested.as_bytes(), &path), "{depth}");
        }
    }

    #[test]
    fn a_large_text_takes_no_memory_but_for_what_is_found() {
        let text = format!(
            "{{\"id\": \"x\", \"data\": [{}7], \"data\": {{{}\"\": []}}}}",
            "[],".repeat(1 << 20),
            "\"b\":{},".repeat(1 << 18)
        );
        let before = allocations::bytes();
        assert_eq!(text_or_number(text.as_bytes(), "id").as_deref(), Some("x"));
        assert_eq!(find(&text, "id").map(RawValue::get), Some("\"x\""));
        let spent = allocations::bytes() - before;
        assert!(spent < 4 << 10, "{spent} bytes for a text of {}", text.len());
    }
}
