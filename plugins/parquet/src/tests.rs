//! Tests of `parquet`: the files are read back with the library.

use super::*;
use esclusa_plugin::testing::{self, call, lines, outcomes};
use esclusa_plugin::{Action, Effects};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

const CONFIG: &str = r#"{"store":"lake","path":"bookings/{batch}.parquet",
    "columns":{"booking_id":"int32","booking_date":"timestamp[s]","status":"int32"}}"#;

type Rows = Vec<Vec<(String, Field)>>;

/// Path and rows of each file.
fn files(out: &Effects<'_>) -> Vec<(String, Rows)> {
    let object = |effect: &esclusa_plugin::Effect<'_>| match &effect.action {
        Action::Object(object) => Some((object.path.to_string(), rows(&object.bytes))),
        _ => None,
    };
    out.effects().iter().filter_map(object).collect()
}

fn rows(bytes: &[u8]) -> Rows {
    let dir = std::env::temp_dir().join(format!("esclusa-parquet-{}-{:p}", std::process::id(), bytes.as_ptr()));
    std::fs::write(&dir, bytes).unwrap();
    let reader = SerializedFileReader::new(std::fs::File::open(&dir).unwrap()).unwrap();
    std::fs::remove_file(&dir).unwrap();
    assert_eq!(reader.metadata().file_metadata().created_by(), Some("esclusa-parquet"));
    reader.get_row_iter(None).unwrap().map(|row| row.unwrap().into_columns()).collect()
}

fn run(config: &str, text: &str) -> (Vec<(String, Rows)>, Vec<String>) {
    let plugin: Parquet = testing::plugin(config);
    let batch = lines(text);
    let out = call(&plugin, &batch);
    (files(&out), outcomes(&out))
}

fn named(name: &str, field: Field) -> (String, Field) {
    (name.to_owned(), field)
}

#[test]
fn a_batch_is_one_file_of_typed_rows() {
    let text = r#"{"booking_id":1,"booking_date":"2024-10-06T20:00:00","status":1,"other":"left out"}
        {"booking_id":2,"booking_date":null}"#;
    let (files, outcomes) = run(CONFIG, text);
    assert_eq!((files.len(), outcomes.len()), (1, 0));
    let (path, rows) = &files[0];
    assert!(path.starts_with("bookings/") && path.ends_with(".parquet") && path.len() == 49, "{path}");
    assert_eq!(
        rows,
        &[
            vec![
                named("booking_id", Field::Int(1)),
                named("booking_date", Field::TimestampMillis(1_728_244_800_000)),
                named("status", Field::Int(1))
            ],
            vec![named("booking_id", Field::Int(2)), named("booking_date", Field::Null), named("status", Field::Null)],
        ]
    );
}

#[test]
fn every_type_is_read_back() {
    let config = r#"{"store":"lake","path":"{batch}","compression":"none","columns":{"i":"int64","f":"float32","d":"double","b":"bool",
        "s":"string","day":"date","ms":"timestamp[ms]","us":"timestamp[us]","price":"decimal(10,2)","deep.x":"int32"}}"#;
    let text = r#"{"i":-9007199254740993,"f":1.5,"d":-2.25e3,"b":true,"s":"ñ","day":"1969-12-31","ms":1728244800123,
        "us":"2024-10-06T20:00:00.000001Z","price":"-2.5","deep":{"x":5.0}}"#;
    let (files, outcomes) = run(config, &text.replace('\n', " "));
    assert_eq!(outcomes, [""; 0]);
    let values: Vec<String> = files[0].1[0].iter().map(|(_, field)| format!("{field:?}")).collect();
    let price = parquet::data_type::Decimal::from_i64(-250, 10, 2);
    assert_eq!(
        values,
        [
            "Long(-9007199254740993)".to_owned(),
            "Float(1.5)".to_owned(),
            "Double(-2250.0)".to_owned(),
            "Bool(true)".to_owned(),
            "Str(\"ñ\")".to_owned(),
            "Date(-1)".to_owned(),
            "TimestampMillis(1728244800123)".to_owned(),
            "TimestampMicros(1728244800000001)".to_owned(),
            format!("Decimal({price:?})"),
            "Int(5)".to_owned(),
        ]
    );
}

#[test]
fn the_same_batch_gives_the_same_bytes_and_another_one_another_path() {
    let plugin: Parquet = testing::plugin(CONFIG);
    let (a, b) = (lines("{\"booking_id\":1}\n{\"booking_id\":2}"), lines("{\"booking_id\":1}"));
    assert_eq!(call(&plugin, &a), call(&plugin, &a));
    let paths = [call(&plugin, &a), call(&plugin, &b)].map(|out| files(&out)[0].0.clone());
    assert_ne!(paths[0], paths[1]);
}

#[test]
fn fields_in_the_path_split_the_batch() {
    let config = r#"{"store":"lake","path":"dt={when:date}/salon={salon}/{date}-{hour}-{batch}.parquet","columns":{"n":"int32"}}"#;
    let text = r#"{"n":1,"when":"2024-10-06T20:00:00","salon":"a"}
        {"n":2,"when":"2024-10-07T20:00:00","salon":"a"}
        {"n":3,"when":"2024-10-06T21:00:00","salon":"a"}
        {"n":4,"when":"2024-10-06","salon":"../../etc"}
        {"n":5,"when":"2024-10-06"}"#;
    let (files, outcomes) = run(config, text);
    let counts: Vec<(&str, usize)> = files.iter().map(|(path, rows)| (path.split_at(21).0, rows.len())).collect();
    assert_eq!(counts, [("dt=2024-10-06/salon=a", 2), ("dt=2024-10-07/salon=a", 1)]);
    assert!(files[0].0.contains("/1970-01-01-00-"));
    assert_eq!(
        outcomes,
        [
            "3: reject field \"salon\" is \"../../etc\", which cannot be a part of a path".to_owned(),
            "4: reject field \"salon\" is missing, template \"dt={when:date}/salon={salon}/{date}-{hour}-{batch}.parquet\" needs it".to_owned(),
        ]
    );
}

#[test]
fn a_lambda_event_of_a_queue_is_its_records() {
    let event = serde_json::json!({ "Records": [
        { "messageId": "1", "body": r#"{"booking_id": 1, "booking_date": "2024-10-06T20:00:00", "status": 1}"#, "attributes": { "SentTimestamp": "1" } },
        { "messageId": "2", "body": r#"{"booking_id": 2}"# },
    ] });
    let (files, _) = run(CONFIG, &event.to_string());
    assert_eq!(files[0].1.len(), 2);
    let broken =
        serde_json::json!({ "Records": [{ "body": r#"{"booking_id": 1}"# }, { "body": r#"{"booking_id": "x"}"# }] });
    let (files, outcomes) = run(CONFIG, &format!("{broken}\n{{\"Records\":[{{}}]}}\n{{\"Records\":[]}}"));
    assert_eq!(files.len(), 0);
    assert_eq!(
        outcomes,
        [
            "0: reject Records[1].body: column \"booking_id\" expects int32, found a text (\"x\")",
            "1: reject Records[0] has no body that is a text",
            "2: skip no records",
        ]
    );
}

#[test]
fn a_record_that_does_not_fit_is_rejected_with_column_expected_and_found() {
    let text = r#"hello
        {"booking_id":1.5}
        {"booking_id":2147483648}
        {"booking_id":[1]}
        {"booking_date":"yesterday"}
        {"booking_date":"2024-10-06T20:00:00.5"}
        {"booking_id":7}"#;
    let (files, outcomes) = run(CONFIG, text);
    assert_eq!(files[0].1.len(), 1);
    assert_eq!(
        outcomes,
        [
            "0: reject the payload is not JSON: expected an object at byte 0",
            "1: reject column \"booking_id\" expects int32, found a number (1.5)",
            "2: reject column \"booking_id\" expects int32, found a number (2147483648)",
            "3: reject column \"booking_id\" expects int32, found an array ([1])",
            "4: reject column \"booking_date\" expects timestamp[s], found a text (\"yesterday\")",
            "5: reject column \"booking_date\" expects timestamp[s], found a text (\"2024-10-06T20:00:00.5\")",
        ]
    );
    assert_eq!(run(CONFIG, "hello").0.len(), 0);
}

#[test]
fn a_wrong_configuration_is_refused_with_the_place() {
    let refusal = testing::refusal::<Parquet>;
    let config = |path: &str, kind: &str| format!(r#"{{"store":"s","path":"{path}","columns":{{"a":"{kind}"}}}}"#);
    assert!(refusal(&config("a.parquet", "int32")).contains("config.path: \"a.parquet\" has no {batch}"));
    assert!(refusal(&config("{batch", "int32")).contains("config.path: template"));
    assert!(refusal(&config("{batch}", "int")).contains("config.columns.a: unknown type \"int\"; there are int32"));
    assert!(refusal(&config("{batch}", "decimal(19,2)")).contains("1 to 18 digits"));
    assert!(refusal(r#"{"store":"s","path":"{batch}","columns":{}}"#).contains("at least one column"));
    assert!(refusal(r#"{"store":"s","path":"{batch}","columns":{},"codec":"x"}"#).contains("unknown field `codec`"));
}

#[test]
fn the_schema_names_every_option_and_nothing_else() {
    let schema: serde_json::Value = serde_json::from_str(Parquet::SCHEMA).unwrap();
    assert_eq!(schema["additionalProperties"], serde_json::json!(false));
    let mut names: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["columns", "compression", "path", "store"]);
    let refused = testing::refusal::<Parquet>(r#"{"no-such-option":1}"#);
    for name in names {
        assert!(refused.contains(&format!("`{name}`")), "{refused}");
    }
}

#[test]
fn a_value_that_readers_do_not_know_is_given_up_alone() {
    let config = r#"{"store":"lake","path":"{batch}","columns":{"n":"int32","s":"timestamp[s]","ms":"timestamp[ms]",
        "us":"timestamp[us]","ns":"timestamp[ns]","day":"date"}}"#;
    let good = [
        (r#""s":1728244800"#, "TimestampMillis(1728244800000)"),
        (r#""s":1.7282448e9"#, "TimestampMillis(1728244800000)"),
        (r#""ms":1728244800000.0"#, "TimestampMillis(1728244800000)"),
        (r#""us":"2024-10-06T20:00:00.123456Z""#, "TimestampMicros(1728244800123456)"),
        (r#""ns":"2024-10-06T20:00:00.123456789Z""#, "Long(1728244800123456789)"),
        (r#""ns":-1"#, "Long(-1)"),
    ];
    let bad = [
        r#""s":1728244800000000"#,
        r#""s":"2024-10-06T20:00:00.5""#,
        r#""ms":1728244800000000000"#,
        r#""ms":"2024-10-06T20:00:00.123456Z""#,
        r#""us":9223372036854775807"#,
        r#""us":-9223372036854775808"#,
        r#""us":"2024-10-06T20:00:00.123456789Z""#,
        r#""us":"2024-10-06T20:00:00+99:99""#,
        r#""ns":"2263-01-01T00:00:00Z""#,
        r#""ns":1e30"#,
        r#""day":"0000-01-01""#,
    ];
    let texts = good.iter().map(|(field, _)| *field).chain(bad);
    let text: Vec<String> = texts.enumerate().map(|(n, field)| format!(r#"{{"n":{n},{field}}}"#)).collect();
    let (files, outcomes) = run(&config.replace('\n', " "), &text.join("\n"));
    let written: Vec<String> = files[0]
        .1
        .iter()
        .map(|row| {
            let values = row.iter().skip(1).filter(|(_, value)| *value != Field::Null);
            values.map(|(_, value)| format!("{value:?}")).collect()
        })
        .collect();
    assert_eq!(written, good.map(|(_, value)| value));
    assert_eq!(outcomes.len(), bad.len(), "{outcomes:?}");
    assert!(
        outcomes[0].contains("column \"s\" expects timestamp[s], found a number (1728244800000000)"),
        "{outcomes:?}"
    );
}

#[test]
fn the_schema_takes_the_types_that_the_plugin_takes() {
    let schema: serde_json::Value = serde_json::from_str(Parquet::SCHEMA).unwrap();
    let pattern = schema["properties"]["columns"]["additionalProperties"]["pattern"].as_str().unwrap();
    // Small enough to be read here: alternatives, of which one has the units as alternatives of its own.
    let (before, rest) = pattern.strip_prefix("^(").unwrap().split_once(r"timestamp\[(").unwrap();
    let (units, after) = rest.split_once(r")\]").unwrap();
    let after = after.strip_suffix(r"|decimal\([0-9]+, *[0-9]+\))$").unwrap();
    let timestamps = units.split('|').map(|unit| format!("timestamp[{unit}]"));
    let others = before.split('|').chain(after.split('|')).filter(|name| !name.is_empty()).map(str::to_owned);
    let allowed: Vec<String> = others.chain(timestamps).collect();
    for name in &allowed {
        assert!(column::ColumnType::parse(name).is_ok(), "the schema takes {name}, the plugin does not");
    }
    // The plugin's own list, which its message gives, and the other names of some types.
    let message = column::ColumnType::parse("nosuch").unwrap_err();
    let listed = message.split_once("there are ").unwrap().1.split_once(" and decimal(").unwrap().0;
    for name in listed.split(", ").chain(["float", "double", "boolean"]) {
        assert!(column::ColumnType::parse(name).is_ok(), "{name} is listed, and refused");
        assert!(allowed.iter().any(|allowed| allowed == name), "the schema refuses {name}: {allowed:?}");
    }
}
