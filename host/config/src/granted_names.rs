//! The names of tables, object stores and outputs in a plugin's configuration, compared with the grants of its route.
//!
//! A schema marks a text that is the name of a table, object store or output with `"format": "esclusa-table"`,
//! `"esclusa-objects"` (written), `"esclusa-read-objects"` (read) or `"esclusa-output"`, and a plugin that relies on order with `"x-esclusa-ordered": true` at its
//! root. The configuration is not validated here: it has been found valid by the schema before.

use crate::marked_texts;
use esclusa_flow::grants::Grants;
use serde_json::Value;

/// A name in a plugin's configuration that its route does not grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ungranted {
    /// The place of the name in the configuration, an RFC 6901 pointer.
    pub pointer: String,
    /// The name.
    pub name: String,
    /// The key of the route that would grant it: `tables`, `objects`, `read_objects` or `outputs`.
    pub grant: &'static str,
}

/// Every name in `config` that `schema` marks as one and `grants` does not have, in the order of the configuration.
#[must_use]
pub fn ungranted(schema: &Value, config: &Value, grants: &Grants) -> Vec<Ungranted> {
    let mut found = Vec::new();
    marked_texts::each(schema, config, &mut |format, name, pointer| {
        let (grant, granted) = match format {
            "esclusa-table" => ("tables", &grants.tables),
            "esclusa-objects" => ("objects", &grants.objects),
            "esclusa-read-objects" => ("read_objects", &grants.read_objects),
            "esclusa-output" => ("outputs", &grants.outputs),
            _ => return,
        };
        let missing = Ungranted { pointer: pointer.to_owned(), name: name.to_owned(), grant };
        if !granted.contains(name) && !found.contains(&missing) {
            found.push(missing);
        }
    });
    found
}

/// True if the plugin's schema says that it relies on events in order.
#[must_use]
pub fn needs_order(schema: &Value) -> bool {
    schema.get("x-esclusa-ordered") == Some(&Value::Bool(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn grants() -> Grants {
        Grants {
            tables: ["orders".to_owned()].into(),
            objects: ["lake".to_owned()].into(),
            read_objects: ["rates".to_owned()].into(),
            outputs: ["mails".to_owned()].into(),
        }
    }

    fn found(schema: Value, config: Value) -> Vec<(String, String, &'static str)> {
        ungranted(&schema, &config, &grants()).into_iter().map(|u| (u.pointer, u.name, u.grant)).collect()
    }

    #[test]
    fn names_of_each_kind_are_held_against_their_grants() {
        let schema = json!({ "properties": {
            "table": { "format": "esclusa-table" }, "store": { "format": "esclusa-objects" },
            "output": { "format": "esclusa-output" }, "key": { "format": "date" }, "from": { "format": "esclusa-read-objects" },
        } });
        let granted =
            json!({ "table": "orders", "store": "lake", "output": "mails", "key": "orders", "from": "rates" });
        assert_eq!(found(schema.clone(), granted), []);
        // A grant of another kind is none.
        let swapped = json!({ "table": "lake", "store": "rates", "output": "orders", "from": "lake" });
        let expected = [
            ("/table", "lake", "tables"),
            ("/store", "rates", "objects"),
            ("/output", "orders", "outputs"),
            ("/from", "lake", "read_objects"),
        ];
        assert_eq!(found(schema, swapped), expected.map(|(p, n, g)| (p.to_owned(), n.to_owned(), g)));
    }

    #[test]
    fn names_are_found_in_lists_maps_choices_and_references() {
        let schema = json!({
            "$defs": { "table": { "type": "string", "format": "esclusa-table" } },
            "properties": {
                "rule": { "items": { "properties": { "output": { "format": "esclusa-output" } } } },
                "by/name": { "additionalProperties": { "$ref": "#/$defs/table" } },
                "either": { "anyOf": [{ "$ref": "#/$defs/table" }, { "type": "array", "items": { "$ref": "#/$defs/table" } }] },
            },
        });
        let config = json!({
            "rule": [{ "output": "mails" }, { "output": "pager" }],
            "by/name": { "a": "orders", "b": "totals" },
            "either": ["orders", "stock"],
        });
        let pointers: Vec<_> = found(schema, config).into_iter().map(|(pointer, ..)| pointer).collect();
        assert_eq!(pointers, ["/rule/1/output", "/by~1name/b", "/either/1"]);
    }

    #[test]
    fn a_name_that_two_branches_mark_is_reported_once() {
        let table = json!({ "format": "esclusa-table" });
        assert_eq!(found(json!({ "anyOf": [table, table] }), json!("stock")).len(), 1);
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        assert_eq!(found(json!({ "$ref": "#" }), json!("stock")), []);
        let list = json!({ "items": { "$ref": "#" }, "format": "esclusa-table" });
        assert_eq!(found(list, json!([["stock"]])), [("/0/0".to_owned(), "stock".to_owned(), "tables")]);
    }

    #[test]
    fn schemas_that_name_the_same_one_many_times_over_are_looked_at_once_each() {
        // Each level names the next twice, in place, below a field and in a list: 2^60 ways lead to the last one.
        for link in [
            |next: Value| json!({ "allOf": [next.clone(), { "oneOf": [next.clone(), next] }] }),
            |next: Value| json!({ "properties": { "a": next.clone() }, "anyOf": [{ "properties": { "a": next } }] }),
            |next: Value| json!({ "items": next.clone(), "oneOf": [{ "items": next }] }),
        ] {
            let mut defs = serde_json::Map::new();
            for level in 0..60 {
                defs.insert(level.to_string(), link(json!({ "$ref": format!("#/$defs/{}", level + 1) })));
            }
            defs.insert("60".to_owned(), json!({ "format": "esclusa-table" }));
            let schema = json!({ "$ref": "#/$defs/0", "$defs": defs });
            let nested = |wrap: fn(Value) -> Value| (0..60).fold(json!("stock"), |inner, _| wrap(inner));
            let configs = [json!("stock"), nested(|inner| json!({ "a": inner })), nested(|inner| json!([inner]))];
            let all: usize = configs.into_iter().map(|config| found(schema.clone(), config).len()).sum();
            assert_eq!(all, 1, "the one of the three that has the schema's form");
        }
    }

    #[test]
    fn a_chain_of_references_may_be_as_long_as_a_schema() {
        let defs: serde_json::Map<_, _> =
            (0..5000).map(|n| (n.to_string(), json!({ "$ref": format!("#/$defs/{}", n + 1) }))).collect();
        let mut schema = json!({ "$ref": "#/$defs/0", "$defs": defs });
        schema["$defs"]["5000"] = json!({ "format": "esclusa-table" });
        assert_eq!(found(schema, json!("stock")).len(), 1);
    }

    #[test]
    fn order_is_needed_only_where_the_root_says_so() {
        assert!(needs_order(&json!({ "x-esclusa-ordered": true })));
        assert!(!needs_order(&json!({ "x-esclusa-ordered": "true" })));
        assert!(!needs_order(&json!({ "properties": { "x-esclusa-ordered": true } })));
        assert!(!needs_order(&json!(true)));
    }
}
