//! Tests of `alert`.

use super::*;
use esclusa_plugin::plugin;
use esclusa_plugin::testing::{self, NewEvent, Tables, call, lines, outcomes, show};

const LOW_STOCK: &str = r#"{"rule":[{"name":"low-stock","when":{"type":["inventory"],"inventory":[{"numeric":["<",10]}]},
    "output":"alerts","message":"ALERTA: {product_id} bajo inventario ({inventory})"}]}"#;

fn stock(product: &str, inventory: i64) -> String {
    format!(r#"{{"type":"inventory","product_id":"{product}","inventory":{inventory}}}"#)
}

/// A batch of low stock at these times.
fn at_times(events: &[(&str, u64)]) -> Batch {
    let data: Vec<String> = events.iter().map(|(product, _)| stock(product, 1)).collect();
    let events = events.iter().zip(&data);
    let events: Vec<_> = events
        .map(|((_, timestamp), data)| NewEvent { data: data.as_bytes(), timestamp: *timestamp, ..NewEvent::default() })
        .collect();
    testing::events_of(&events)
}

fn cooling(table: &str) -> Alert {
    testing::plugin(&format!(
        r#"{{{table}"rule":[{{"name":"low","output":"alerts","message":"{{product_id}}","cooldown":"10m","per":"{{product_id}}"}}]}}"#
    ))
}

#[test]
fn low_stock_is_told_and_nothing_else() {
    let plugin: Alert = testing::plugin(LOW_STOCK);
    let batch = lines(
        &[stock("p1", 9), stock("p2", 10), stock("p3", -1), r#"{"type":"order","inventory":1}"#.to_owned()].join("\n"),
    );
    let out = call(&plugin, &batch);
    assert_eq!(
        show(&out),
        ["0: send alerts ALERTA: p1 bajo inventario (9)", "2: send alerts ALERTA: p3 bajo inventario (-1)"]
    );
    assert_eq!(outcomes(&out), ["1: skip no rule applies", "3: skip no rule applies"]);
}

#[test]
fn a_record_can_match_several_rules_and_one_of_several_patterns() {
    let config = r#"{"rule":[
        {"name":"a","when":[{"n":[1]},{"n":[2]}],"output":"x","message":"a{n}"},
        {"name":"b","output":"y","message":"b{n}"}]}"#;
    let plugin: Alert = testing::plugin(config);
    let batch = lines("{\"n\":1}\n{\"n\":2}\n{\"n\":3}");
    assert_eq!(
        show(&call(&plugin, &batch)),
        ["0: send x a1", "0: send y b1", "1: send x a2", "1: send y b2", "2: send y b3"]
    );
}

#[test]
fn changes_of_a_table_are_seen_as_items_with_the_old_one_and_the_kind() {
    let config = r#"{"rule":[{"name":"mail","when":{"PK":["I"],"Estado":["C"],"old":{"Estado":["A"]},"eventName":["MODIFY"]},
        "output":"mails","to":"{Email}","subject":"Reserva {SK}",
        "message":"Su reserva {SK} de {Cantidad} boletos para el evento {Evento} fue cancelada, el evento fue suspendido por los organizadores"}]}"#;
    let plugin: Alert = testing::plugin(config);
    let image = |state: &str| {
        format!(
            r#"{{"PK":{{"S":"I"}},"SK":{{"S":"r1"}},"Estado":{{"S":"{state}"}},"Cantidad":{{"N":"3"}},"Evento":{{"S":"Opera Aida"}},"Email":{{"S":"a@b.c"}}}}"#
        )
    };
    let change = |kind: &str, old: &str, new: &str| {
        format!(r#"{{"eventName":"{kind}","dynamodb":{{"OldImage":{},"NewImage":{}}}}}"#, image(old), image(new))
    };
    let removal = format!(r#"{{"eventName":"REMOVE","dynamodb":{{"OldImage":{}}}}}"#, image("A"));
    let batch = lines(
        &[change("MODIFY", "A", "C"), change("MODIFY", "A", "X"), change("MODIFY", "C", "C"), removal].join("\n"),
    );
    let out = call(&plugin, &batch);
    assert_eq!(
        show(&out),
        [
            r#"0: send mails Su reserva r1 de 3 boletos para el evento Opera Aida fue cancelada, el evento fue suspendido por los organizadores subject="Reserva r1" to="a@b.c""#
        ]
    );
    assert_eq!(out.outcomes().len(), 3);
}

#[test]
fn the_old_item_is_written_only_if_a_rule_may_look_at_it() {
    let sees = |rule: &str| {
        let plugin: Alert = testing::plugin(&format!(r#"{{"rule":[{{"name":"a","output":"x",{rule}}}]}}"#));
        let batch =
            lines(r#"{"eventName":"MODIFY","dynamodb":{"OldImage":{"n":{"N":"1"}},"NewImage":{"n":{"N":"2"}}}}"#);
        record(batch.get(0).unwrap(), plugin.0.sees_old).unwrap().get("old").is_some()
    };
    assert!(!sees(r#""message":"{n}","when":{"n":[2],"eventName":["MODIFY"]},"per":"{n}","to":"{n}","subject":"{n}""#));
    assert!(sees(r#""message":"{old.n}""#));
    assert!(sees(r#""message":"m","per":"{old.n}""#));
    assert!(sees(r#""message":"m","to":"{old.n}""#));
    assert!(sees(r#""message":"m","subject":"{old.n}""#));
    assert!(sees(r#""message":"m","when":{"$or":[{"n":[3]},{"old":{"n":[1]}}]}"#));
}

#[test]
fn within_a_batch_a_cooldown_holds_per_key() {
    let plugin = cooling("");
    let batch = at_times(&[("a", 0), ("b", 1), ("a", 599_999), ("a", 600_000), ("b", 700_000)]);
    let out = call(&plugin, &batch);
    assert_eq!(
        show(&out),
        ["0: send alerts [a] a", "1: send alerts [b] b", "3: send alerts [a] a", "4: send alerts [b] b"]
    );
    assert_eq!(outcomes(&out), ["2: skip within the cooldown"]);
}

#[test]
fn a_cooldown_without_a_table_is_warned_of() {
    let warnings = |plugin: Alert| plugin.0.warnings().collect::<Vec<_>>();
    let forgetful = warnings(cooling(""));
    assert!(matches!(&forgetful[..], [one] if one.contains("config.rule \"low\"") && one.contains("name a table")));
    assert!(warnings(cooling(r#""table":"sent","#)).is_empty());
    assert!(warnings(testing::plugin(LOW_STOCK)).is_empty());
}

#[test]
fn with_a_table_a_cooldown_holds_between_batches_and_is_guarded() {
    let plugin = cooling(r#""table":"sent","#);
    let mut tables = Tables::new().table("sent", &["id"]);
    let run = |tables: &Tables, batch: &Batch| testing::with_tables(tables, || show(&call(&plugin, batch)));
    let first = at_times(&[("a", 1000)]);
    let effects = [
        "0: send alerts [a] a",
        r#"0: put sent {"at":{"N":"1000"},"expires":{"N":"601"},"id":{"S":"test/low/a"}} if id absent else rerun"#,
    ];
    assert_eq!(run(&tables, &first), effects);
    let out = testing::with_tables(&tables, || call(&plugin, &first));
    tables.apply(&out).unwrap();
    // Two batches rested on the same read: the second one is handled again.
    assert!(tables.apply(&out).is_err());
    assert_eq!(run(&tables, &at_times(&[("a", 600_999)])), [""; 0]);
    assert_eq!(
        run(&tables, &at_times(&[("a", 601_000), ("a", 601_001)])),
        [
            "0: send alerts [a] a",
            r#"0: put sent {"at":{"N":"601000"},"expires":{"N":"1201"},"id":{"S":"test/low/a"}} if at = {"N":"1000"} else rerun"#,
        ]
    );
}

#[test]
fn a_message_that_cannot_be_written_is_rejected_and_begins_no_cooldown() {
    let config = r#"{"table":"sent","rule":[
        {"name":"a","output":"x","message":"fine","cooldown":"1h"},
        {"name":"b","output":"x","message":"{missing}"}]}"#;
    let plugin: Alert = testing::plugin(config);
    let tables = Tables::new().table("sent", &["id"]);
    let batch = lines("{\"n\":1}\nhello");
    let out = testing::with_tables(&tables, || call(&plugin, &batch));
    assert_eq!(out.effects().len(), 0);
    assert_eq!(
        outcomes(&out),
        [
            r#"0: reject field "missing" is missing, template "{missing}" needs it"#,
            "1: reject the payload is not JSON: expected an object at byte 0",
        ]
    );
}

#[test]
fn a_cooldown_whose_key_is_too_long_rejects_its_event_alone_and_begins_no_other_cooldown() {
    let config = r#"{"table":"sent","rule":[
        {"name":"a","output":"x","message":"a","cooldown":"1h"},
        {"name":"b","output":"x","message":"b","cooldown":"1h","per":"{k}"}]}"#;
    let plugin: Alert = testing::plugin(config);
    let tables = Tables::new().table("sent", &["id"]);
    let batch = lines(&format!("{{\"k\":\"{}\"}}\n{{\"k\":\"short\"}}", "x".repeat(2049)));
    let out = testing::with_tables(&tables, || call(&plugin, &batch));
    assert_eq!(outcomes(&out), [r#"0: reject the key attribute "id" has 2056 bytes, more than 2048"#]);
    assert_eq!(show(&out)[..2], ["1: send x a", "1: send x [short] b"]);
    tables.clone().apply(&out).unwrap();
}

#[test]
fn a_table_that_is_not_granted_stops_the_route() {
    let plugin = cooling(r#""table":"sent","#);
    let batch = at_times(&[("a", 1)]);
    assert!(matches!(testing::with_tables(&Tables::new(), || plugin::call(&plugin, &batch)), Err(Failure::Halt(_))));
}

#[test]
fn a_wrong_configuration_is_refused_with_the_place() {
    let refusal = testing::refusal::<Alert>;
    let rule = |more: &str| format!(r#"{{"rule":[{{"name":"a","output":"x","message":"m"{more}}}]}}"#);
    assert!(refusal(r#"{"rule":[]}"#).contains("there are no rules"));
    assert!(refusal(&rule(r#","cooldown":"soon""#)).contains("config.rule \"a\", cooldown: \"soon\" is no duration"));
    assert!(refusal(&rule(r#","per":"{x""#)).contains("config.rule \"a\", per: template"));
    assert!(refusal(&rule(r#","when":{"n":[{"numeric":["~",1]}]}"#)).contains("config.rule \"a\", when: pattern"));
    assert!(refusal(&rule(r#","when":[]"#)).contains("config.rule \"a\", when"));
    assert!(refusal(&rule(r#","mesage":"x""#)).contains("unknown field `mesage`"));
    assert!(
        refusal(r#"{"rule":[{"name":"a","output":"x","message":"m"},{"name":"a","output":"x","message":"m"}]}"#)
            .contains("used twice")
    );
}

#[test]
fn the_schema_names_every_option_and_nothing_else() {
    let schema: serde_json::Value = serde_json::from_str(Alert::SCHEMA).unwrap();
    let rule = &schema["properties"]["rule"]["items"];
    for (part, config, count) in [(&schema, r#"{"no":1}"#, 2), (rule, r#"{"rule":[{"no":1}]}"#, 8)] {
        assert_eq!(part["additionalProperties"], serde_json::json!(false));
        let refused = testing::refusal::<Alert>(config);
        assert_eq!(part["properties"].as_object().unwrap().len(), count);
        for name in part["properties"].as_object().unwrap().keys() {
            assert!(refused.contains(&format!("`{name}`")), "{refused}");
        }
    }
}

#[test]
fn a_number_of_a_rule_has_every_digit_too() {
    let config = r#"{"rule":[{"name":"a","when":[{"n":[12345678901234567890123]},{"n":[{"numeric":["<",-0.12345678901234567891]}]}],
        "output":"x","message":"{n}"}]}"#;
    let plugin: Alert = testing::plugin(&config.replace('\n', " "));
    let numbers =
        ["12345678901234567890123", "12345678901234567890124", "-0.12345678901234567891", "-0.12345678901234567892"];
    let batch = lines(&numbers.map(|n| format!("{{\"n\":{n}}}")).join("\n"));
    assert_eq!(
        show(&call(&plugin, &batch)),
        ["0: send x 12345678901234567890123", "3: send x -0.12345678901234567892"]
    );
}

#[test]
fn a_rule_compares_numbers_with_every_digit_and_looks_into_objects() {
    let config = r#"{"rule":[{"name":"a","when":{"n":[{"numeric":[">",1]}],"of":{"kind":["x"]}},"output":"x","message":"{n}"}]}"#;
    let plugin: Alert = testing::plugin(config);
    let batch = lines(
        r#"{"n":1.00000000000000000001,"of":{"kind":"x"}}
           {"n":1.00000000000000000001,"of":{"kind":"y"}}
           {"n":1.0,"of":{"kind":"x"}}"#,
    );
    let out = call(&plugin, &batch);
    assert_eq!(show(&out), ["0: send x 1.00000000000000000001"]);
    assert_eq!(outcomes(&out), ["1: skip no rule applies", "2: skip no rule applies"]);
}
