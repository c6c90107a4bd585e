//! The JSON Schema and the parser agree.

use crate::cases::{all, read};
use esclusa_config::{Code, schema};
use serde_json::Value;

/// Problems that a schema sees as well as the parser.
const SEEN_BY_BOTH: [Code; 6] = [
    Code::UNKNOWN_KEY,
    Code::MISSING_KEY,
    Code::SOURCE_UNKNOWN_KIND,
    Code::TABLE_UNKNOWN_KIND,
    Code::OBJECTS_UNKNOWN_KIND,
    Code::OUTPUT_UNKNOWN_KIND,
];

/// The text as JSON, as an editor's schema check sees it.
fn json(text: &str) -> Option<Value> {
    fn convert(value: toml::Value) -> Value {
        match value {
            toml::Value::Datetime(time) => Value::String(time.to_string()),
            toml::Value::Array(list) => list.into_iter().map(convert).collect(),
            toml::Value::Table(table) => Value::Object(table.into_iter().map(|(k, v)| (k, convert(v))).collect()),
            other => serde_json::to_value(other).unwrap(),
        }
    }
    text.parse::<toml::Table>().ok().map(|table| convert(toml::Value::Table(table)))
}

#[test]
fn what_the_parser_takes_the_schema_takes() {
    let validator = jsonschema::draft7::new(&schema()).unwrap();
    let mut files = vec![std::path::PathBuf::from("../../routes.toml")];
    files.extend(all());
    for file in files.iter().filter(|file| file.exists()) {
        let Some(value) = json(&std::fs::read_to_string(file).unwrap()) else { continue };
        let errors: Vec<_> = validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
        match read(file) {
            Ok(_) => assert!(errors.is_empty(), "{}: {errors:#?}", file.display()),
            Err(problems) if problems.0.iter().any(|d| SEEN_BY_BOTH.contains(&d.code)) => {
                assert!(!errors.is_empty(), "{} follows the schema, and the parser says:\n{problems}", file.display());
            }
            Err(_) => {}
        }
    }
}

#[test]
fn the_schema_is_a_schema() {
    assert!(jsonschema::meta::is_valid(&schema()));
}
