//! The schemas of the plugins that come with the router say which of their options are names.

use esclusa_config::granted_names::{needs_order, ungranted};
use esclusa_config::parse;
use esclusa_flow::grants::Grants;
use serde_json::{Value, json};
use std::path::Path;

fn schema(plugin: &str) -> Value {
    let text = std::fs::read_to_string(format!("../../plugins/{plugin}/config.schema.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The names that a configuration wants, with the keys of the route that grant them.
fn wanted(plugin: &str, config: &Value) -> Vec<(String, &'static str)> {
    ungranted(&schema(plugin), config, &Grants::default()).into_iter().map(|u| (u.name, u.grant)).collect()
}

#[test]
fn every_name_in_a_configuration_is_marked() {
    for (plugin, config, expected) in [
        ("etl", json!({ "table": "t", "key": { "pk": "{a}" } }), vec![("t", "tables")]),
        ("aggregate", json!({ "table": "t", "key": { "pk": "{a}" }, "count": "n" }), vec![("t", "tables")]),
        ("inventory", json!({ "table": "t", "index": "i" }), vec![("t", "tables")]),
        ("parquet", json!({ "store": "s", "path": "{batch}", "columns": { "a": "int32" } }), vec![("s", "objects")]),
        (
            "alert",
            json!({ "table": "t", "rule": [{ "name": "r", "output": "o", "message": "m" }] }),
            vec![("t", "tables"), ("o", "outputs")],
        ),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|(name, grant)| (name.to_owned(), grant)).collect();
        assert_eq!(wanted(plugin, &config), expected, "{plugin}");
    }
}

#[test]
fn only_the_mirror_of_a_table_needs_order() {
    let ordered: Vec<_> = ["aggregate", "alert", "etl", "inventory", "parquet"]
        .into_iter()
        .filter(|plugin| needs_order(&schema(plugin)))
        .collect();
    assert_eq!(ordered, ["inventory"]);
}

#[test]
fn the_routes_of_the_repository_grant_what_their_plugins_want() {
    for file in ["../../routes.toml", "../../examples/00-orders/routes.toml"] {
        let loaded = parse(&std::fs::read_to_string(file).unwrap(), file, Path::new(""), &|_| None).unwrap();
        for route in &loaded.plan.routes {
            let plugin = route.plugin.file_stem().unwrap().to_str().unwrap();
            let schema = schema(plugin);
            assert_eq!(ungranted(&schema, &route.config, &route.grants), [], "{file} {}", route.name);
            assert!(route.ordered || !needs_order(&schema), "{file} {}", route.name);
        }
    }
}

#[test]
fn numbers_of_a_configuration_keep_every_digit() {
    let text = r#"
        version = 1
        [source.in]
        kind = "stream"
        [[route]]
        name = "r"
        source = "in"
        plugin = "p.wasm"
        filter = { data = { price = [0.12345678901234567891] } }
        config = { a = 0.12345678901234567891, b = +1_000.5e3, c = -0.0, d = [9223372036854775807], e = 1e-7 }
    "#;
    let plan = parse(text, "routes.toml", std::path::Path::new(""), &|_| None).unwrap().plan;
    let config = r#"{"a":0.12345678901234567891,"b":1000.5e+3,"c":-0.0,"d":[9223372036854775807],"e":1e-7}"#;
    assert_eq!(plan.routes[0].config.to_string(), config);
    let mut columns = esclusa_flow::event::Columns::default();
    for price in ["0.12345678901234567891", "0.12345678901234567892"] {
        let data = format!("{{\"price\":{price}}}");
        let event = esclusa_flow::event::NewEvent { data: data.as_bytes(), ..Default::default() };
        columns.push(&event).unwrap();
    }
    let filter = plan.routes[0].filter.clone().unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let taken = columns.iter().map(|event| filter.matches("stream", event, &mut filter.budget(event), &stop).unwrap());
    assert_eq!(taken.collect::<Vec<_>>(), [true, false]);
}
