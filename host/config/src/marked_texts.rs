//! Texts of a plugin's configuration that its schema marks with a `format` of the router's.
//!
//! Configuration and schema come from others. So each part of the configuration meets each part of the schema once at most,
//! even if the schema refers to itself.

use serde_json::Value;
use std::collections::HashSet;

/// Calls `found` with the mark, the text and its place, an RFC 6901 pointer, of every text of `config` that `schema` marks by its
/// `format`, in the order of the configuration. A text that two branches mark is found twice.
pub(crate) fn each(schema: &Value, config: &Value, found: &mut dyn FnMut(&str, &str, &str)) {
    Search { root: schema, found }.visit(&[schema], config, "");
}

struct Search<'a, 'f> {
    root: &'a Value,
    found: &'f mut dyn FnMut(&str, &str, &str),
}

impl<'a> Search<'a, '_> {
    /// Visits a part of the configuration to which all these schemas apply.
    fn visit(&mut self, schemas: &[&'a Value], config: &Value, pointer: &str) {
        let schemas = self.applying(schemas);
        match config {
            Value::String(text) => {
                for format in schemas.iter().filter_map(|schema| schema.get("format")?.as_str()) {
                    (self.found)(format, text, pointer);
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    let step = name.replace('~', "~0").replace('/', "~1");
                    self.visit(&fields_named(&schemas, name), value, &format!("{pointer}/{step}"));
                }
            }
            Value::Array(values) => {
                let inner: Vec<&Value> = schemas.iter().filter_map(|schema| schema.get("items")).collect();
                for (at, value) in values.iter().enumerate() {
                    self.visit(&inner, value, &format!("{pointer}/{at}"));
                }
            }
            _ => {}
        }
    }

    /// These schemas and those that they include by `allOf`, `anyOf`, `oneOf` and `$ref`, each once.
    fn applying(&self, schemas: &[&'a Value]) -> Vec<&'a Value> {
        let (mut seen, mut found) = (HashSet::new(), Vec::new());
        let mut rest: Vec<&Value> = schemas.iter().rev().copied().collect();
        while let Some(schema) = rest.pop() {
            // By address: two references to one schema lead to the same value.
            if !seen.insert(std::ptr::from_ref(schema)) {
                continue;
            }
            found.push(schema);
            let of = |key| schema.get(key).and_then(Value::as_array).into_iter().flatten();
            let mut next: Vec<&Value> = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(of).collect();
            let reference = schema.get("$ref").and_then(|at| at.as_str()?.strip_prefix('#'));
            next.extend(reference.and_then(|at| self.root.pointer(at)));
            rest.extend(next.into_iter().rev());
        }
        found
    }
}

/// The schemas of a field.
fn fields_named<'a>(schemas: &[&'a Value], name: &str) -> Vec<&'a Value> {
    let of = |schema: &&'a Value| {
        let known = schema.get("properties").and_then(|properties| properties.get(name));
        known.or_else(|| schema.get("additionalProperties"))
    };
    schemas.iter().filter_map(of).collect()
}
