//! Estimates whether a schema is clearly cheap to check: all its keywords are known to be cheap, and with references
//! followed they take few steps. An upper bound, not the exact cost: other schemas may be cheap as well.

use esclusa_flow::step_budget::{Exhausted, StepBudget};
use serde_json::Value;

/// Most steps of a check: parts of the schema, with references followed, times parts of the configuration. If each of
/// them fails, the check takes a hundred milliseconds.
const STEPS: u64 = 100_000;
/// Most parts of a schema with references followed. The largest schema of our plugins has 40.
const SPREAD: u64 = 5_000;
/// How often the branches of a choice may be evaluated: to find one that fits, to look for others, and to report why
/// they do not.
const CHOICE: u64 = 4;
/// Most levels of parts in parts.
const DEPTH: usize = 64;
/// Most bytes of a regular expression.
const PATTERN: usize = 256;

/// True if checking the configuration takes few steps.
pub(super) fn cheap(schema: &Value, config: &Value) -> bool {
    let mut spread = SchemaWalk { root: schema, work: StepBudget::of(SPREAD) };
    let Some(steps) = spread.part(schema, DEPTH) else { return false };
    let mut work = StepBudget::of(STEPS);
    usize::try_from(steps).is_ok_and(|steps| times(config, steps, &mut work).is_ok())
}

/// Spends so many steps for each part of a value.
fn times(value: &Value, steps: usize, work: &mut StepBudget) -> Result<(), Exhausted> {
    work.spend(steps)?;
    match value {
        Value::Array(values) => values.iter().try_for_each(|value| times(value, steps, work)),
        Value::Object(fields) => fields.values().try_for_each(|value| times(value, steps, work)),
        _ => Ok(()),
    }
}

/// A walk over a schema that follows references.
struct SchemaWalk<'a> {
    root: &'a Value,
    work: StepBudget,
}

impl SchemaWalk<'_> {
    /// Most steps to check one part of a configuration against a part of the schema; `None`: too many, or unknown.
    fn part(&mut self, schema: &Value, depth: usize) -> Option<u64> {
        let depth = depth.checked_sub(1)?;
        self.work.spend(1).ok()?;
        let Value::Object(keywords) = schema else { return schema.is_boolean().then_some(1) };
        keywords
            .iter()
            .try_fold(1_u64, |steps, (keyword, value)| Some(steps.saturating_add(self.keyword(keyword, value, depth)?)))
    }

    fn keyword(&mut self, keyword: &str, value: &Value, depth: usize) -> Option<u64> {
        match keyword {
            "properties" => self.all(value.as_object()?.values(), depth),
            "additionalProperties" | "items" => self.part(value, depth),
            "allOf" => self.all(value.as_array()?.iter(), depth),
            // A choice may evaluate its branches several times.
            "anyOf" | "oneOf" => Some(self.all(value.as_array()?.iter(), depth)?.saturating_mul(CHOICE)),
            "$ref" => {
                let target = self.root.pointer(value.as_str()?.strip_prefix('#')?)?;
                self.part(target, depth)
            }
            "pattern" => plain(value.as_str()?).then_some(1),
            // Values to compare with, or values that a check ignores. Definitions count at each reference to them.
            "enum" | "const" | "default" | "examples" | "$defs" | "definitions" => {
                let before = self.work.spent();
                times(value, 1, &mut self.work).ok()?;
                Some(self.work.spent().saturating_sub(before))
            }
            "$schema" => KNOWN.contains(&value.as_str()?.trim_end_matches('#')).then_some(1),
            keyword if SIMPLE.contains(&keyword) => Some(1),
            _ => None,
        }
    }

    fn all<'v>(&mut self, mut parts: impl Iterator<Item = &'v Value>, depth: usize) -> Option<u64> {
        parts.try_fold(0_u64, |steps, part| Some(steps.saturating_add(self.part(part, depth)?)))
    }
}

/// Keywords that take one step.
const SIMPLE: [&str; 22] = [
    "type",
    "required",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "title",
    "description",
    "$comment",
    "deprecated",
    "readOnly",
    "writeOnly",
    "x-esclusa-ordered",
    "contentMediaType",
];
/// Meta-schemas that give these keywords the meaning that is counted here.
const KNOWN: [&str; 3] = [
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
];

/// True for a short regular expression without counted repetitions, which may become large ones, and without groups and
/// references that a search may have to try in turn.
fn plain(pattern: &str) -> bool {
    let bytes = pattern.as_bytes();
    let counted = |pair: &[u8]| matches!(pair, [b'{', digit] if digit.is_ascii_digit());
    let special = |pair: &[u8]| matches!(pair, [b'(', b'?'] | [b'\\', b'1'..=b'9' | b'k' | b'g']);
    bytes.len() <= PATTERN && !bytes.windows(2).any(|pair| counted(pair) || special(pair))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Our own plugins' schemas.
    const OURS: [&str; 5] = [
        include_str!("../../../../plugins/aggregate/config.schema.json"),
        include_str!("../../../../plugins/alert/config.schema.json"),
        include_str!("../../../../plugins/etl/config.schema.json"),
        include_str!("../../../../plugins/inventory/config.schema.json"),
        include_str!("../../../../plugins/parquet/config.schema.json"),
    ];

    #[test]
    fn the_schemas_of_our_plugins_are_cheap_with_large_configurations_too() {
        let fields: serde_json::Map<_, _> = (0..500).map(|n| (n.to_string(), json!("{field}"))).collect();
        for schema in OURS {
            let schema = serde_json::from_str(schema).unwrap();
            assert!(cheap(&schema, &json!({ "table": "t", "key": { "id": "{id}" }, "fields": fields })), "{schema}");
        }
    }

    #[test]
    fn schemas_that_refer_to_definitions_are_cheap() {
        let schema = json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": { "name": { "type": "string", "pattern": "^[a-z_]+$" } },
            "properties": { "a": { "$ref": "#/definitions/name" }, "b": { "oneOf": [true, { "$ref": "#/definitions/name" }] } },
        });
        assert!(cheap(&schema, &json!({ "a": "x", "b": "y" })));
    }

    #[test]
    fn what_multiplies_repeats_or_is_not_known_is_not_cheap() {
        let nested = |key: &str, wrap: fn(Value) -> Value| {
            (0..13).fold(json!({ "type": "string" }), |inner, _| json!({ key: wrap(inner) }))
        };
        let pair = |inner: Value| json!([inner.clone(), inner]);
        let single = |inner: Value| json!([inner]);
        let mut doubling = serde_json::Map::new();
        for n in 0..30 {
            let next = json!({ "$ref": format!("#/$defs/{}", n + 1) });
            doubling.insert(n.to_string(), json!({ "properties": { "a": next, "b": next } }));
        }
        doubling.insert("30".to_owned(), json!(true));
        let dear = [
            nested("oneOf", pair),
            nested("oneOf", single),
            nested("anyOf", single),
            nested("allOf", pair),
            nested("not", |inner| inner),
            json!({ "if": true, "then": true, "else": false }),
            json!({ "$ref": "#" }),
            json!({ "properties": { "a": { "$ref": "#" } } }),
            json!({ "$ref": "https://example.com/schema" }),
            json!({ "$ref": "#/nowhere" }),
            json!({ "$dynamicRef": "#" }),
            json!({ "$defs": doubling, "$ref": "#/$defs/0" }),
            json!({ "pattern": "(a{1000}){1000}" }),
            json!({ "pattern": "^(a+)\\1$" }),
            json!({ "pattern": "(?=a)b" }),
            json!({ "pattern": "a".repeat(300) }),
            json!({ "patternProperties": { "a": true } }),
            json!({ "unevaluatedProperties": false }),
            json!({ "uniqueItems": true }),
            json!({ "dependentSchemas": { "a": true } }),
            json!({ "contains": true }),
            json!({ "$schema": "https://example.com/own" }),
            json!({ "enum": vec![0; 6000] }),
            json!("text"),
        ];
        for schema in dear {
            assert!(!cheap(&schema, &json!({ "a": "x" })), "{schema}");
        }
        let many: Vec<_> = (0..60_000).collect();
        assert!(!cheap(&json!({ "items": { "type": "integer" } }), &json!(many)));
    }
}
