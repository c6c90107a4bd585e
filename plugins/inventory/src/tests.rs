//! Tests of `inventory`.

use super::*;
use esclusa_plugin::testing::{self, Tables, call, lines, outcomes, show};
use esclusa_plugin::{Item, plugin};

const CONFIG: &str = r#"{"table":"inventario","index":"evento-email"}"#;

fn image(state: &str, capacity: u32) -> String {
    format!(
        r#"{{"PK":{{"S":"Opera Aida"}},"Estado":{{"S":"{state}"}},"Capacidad":{{"N":"{capacity}"}},"Categoria":{{"S":"Opera"}}}}"#
    )
}

fn change(kind: &str, old: Option<String>, new: Option<String>) -> String {
    let image = |name: &str, image: Option<String>| image.map(|i| format!(r#","{name}":{i}"#)).unwrap_or_default();
    let (old, new) = (image("OldImage", old), image("NewImage", new));
    format!(r#"{{"eventName":"{kind}","dynamodb":{{"Keys":{{"PK":{{"S":"Opera Aida"}}}}{old}{new}}}}}"#)
}

fn cancel() -> String {
    change("MODIFY", Some(image("A", 30)), Some(image("C", 30)))
}

fn event(state: &str, left: u32) -> Item<'static> {
    let item = Item::new().with("PK", "E").with("SK", "Opera Aida");
    item.with("Estado", state.to_owned()).with("Capacidad", left).with("Categoria", "Opera")
}

fn reservation(id: &str, event: &str, state: &str) -> Item<'static> {
    let item = Item::new().with("PK", "I").with("SK", id.to_owned()).with("Evento", event.to_owned());
    item.with("Email", format!("{id}@example.com")).with("Estado", state.to_owned()).with("Cantidad", 3)
}

fn tables() -> Tables {
    Tables::new().table("inventario", &["PK", "SK"]).index("inventario", "evento-email", &["Evento", "Email"])
}

/// Handles the changes and carries out the effects; gives the effects and what is stored then.
fn run(tables: &mut Tables, changes: &[String]) -> (Vec<String>, Vec<String>) {
    let plugin: Inventory = testing::plugin(CONFIG);
    let batch = lines(&changes.join("\n"));
    let out = testing::with_tables(tables, || call(&plugin, &batch));
    tables.apply(&out).unwrap();
    (show(&out), outcomes(&out))
}

fn states(tables: &Tables) -> Vec<(String, String)> {
    let state = |item: &Item<'_>| Some((item.text("SK")?.to_owned(), item.text("Estado")?.to_owned()));
    tables.items("inventario").iter().filter_map(state).collect()
}

#[test]
fn a_new_event_is_mirrored_unless_it_is_there() {
    let mut tables = tables();
    let (effects, _) = run(&mut tables, &[change("INSERT", None, Some(image("A", 30)))]);
    assert_eq!(
        effects,
        [
            r#"0: put inventario {"Capacidad":{"N":"30"},"Categoria":{"S":"Opera"},"Estado":{"S":"A"},"PK":{"S":"E"},"SK":{"S":"Opera Aida"}} if PK absent else skip"#
        ]
    );
    // The same insert, delivered again after tickets were sold, does not bring them back.
    let mut sold = self::tables().item("inventario", event("A", 27));
    run(&mut sold, &[change("INSERT", None, Some(image("A", 30)))]);
    assert_eq!(sold.items("inventario"), [event("A", 27)]);
}

#[test]
fn a_cancelled_event_cancels_its_active_reservations_and_no_others() {
    let mut tables = tables()
        .item("inventario", event("A", 27))
        .item("inventario", reservation("r1", "Opera Aida", "A"))
        .item("inventario", reservation("r2", "Opera Aida", "X"))
        .item("inventario", reservation("r3", "Queen Live", "A"))
        .item("inventario", reservation("r4", "Opera Aida", "A"));
    let (effects, _) = run(&mut tables, &[cancel()]);
    let active = r#" Estado = {"S":"C"} if Estado = {"S":"A"} else skip"#;
    assert_eq!(
        effects,
        [
            r#"0: update inventario {"PK":{"S":"E"},"SK":{"S":"Opera Aida"}} Estado = {"S":"C"} if Capacidad = {"N":"27"} else rerun"#.to_owned(),
            format!(r#"0: update inventario {{"PK":{{"S":"I"}},"SK":{{"S":"r1"}}}}{active}"#),
            format!(r#"0: update inventario {{"PK":{{"S":"I"}},"SK":{{"S":"r4"}}}}{active}"#),
        ]
    );
    let expected = [("Opera Aida", "C"), ("r1", "C"), ("r2", "X"), ("r3", "A"), ("r4", "C")];
    assert_eq!(states(&tables), expected.map(|(id, state)| (id.to_owned(), state.to_owned())));
    // What is left of the capacity is kept.
    assert_eq!(tables.items("inventario").first(), Some(&event("C", 27)));
}

#[test]
fn a_reservation_made_meanwhile_has_the_batch_handled_again() {
    let plugin: Inventory = testing::plugin(CONFIG);
    let batch = lines(&cancel());
    let before = tables().item("inventario", event("A", 30));
    let out = testing::with_tables(&before, || call(&plugin, &batch));
    let mut after =
        tables().item("inventario", event("A", 28)).item("inventario", reservation("r1", "Opera Aida", "A"));
    assert!(after.apply(&out).is_err());
    let again = testing::with_tables(&after, || call(&plugin, &batch));
    after.apply(&again).unwrap();
    assert_eq!(states(&after), [("Opera Aida".to_owned(), "C".to_owned()), ("r1".to_owned(), "C".to_owned())]);
}

#[test]
fn a_reservation_in_place_of_one_given_back_has_the_batch_handled_again() {
    let plugin: Inventory = testing::plugin(r#"{"table":"inventario","index":"evento-email","version":"Version"}"#);
    let batch = lines(&cancel());
    let before = tables().item("inventario", event("A", 27)).item("inventario", reservation("r1", "Opera Aida", "A"));
    let out = testing::with_tables(&before, || call(&plugin, &batch));
    let mut after = tables()
        .item("inventario", event("A", 27).with("Version", 2))
        .item("inventario", reservation("r1", "Opera Aida", "X"))
        .item("inventario", reservation("r2", "Opera Aida", "A"));
    assert!(after.apply(&out).is_err(), "the capacity is the same, the version is not");
    let again = testing::with_tables(&after, || call(&plugin, &batch));
    after.apply(&again).unwrap();
    let expected = [("Opera Aida", "C"), ("r1", "X"), ("r2", "C")];
    assert_eq!(states(&after), expected.map(|(id, state)| (id.to_owned(), state.to_owned())));
}

#[test]
fn a_changed_capacity_changes_what_is_left_by_the_difference() {
    let mut tables = tables().item("inventario", event("A", 27));
    run(&mut tables, &[change("MODIFY", Some(image("A", 30)), Some(image("A", 40)))]);
    assert_eq!(tables.items("inventario"), [event("A", 37)]);
}

#[test]
fn changes_of_one_batch_build_on_each_other() {
    let mut tables = tables();
    let changes = [
        change("INSERT", None, Some(image("A", 30))),
        cancel(),
        change("REMOVE", Some(image("C", 30)), None),
        change("INSERT", None, Some(image("A", 50))),
    ];
    run(&mut tables, &changes);
    assert_eq!(tables.items("inventario"), [event("A", 50)]);
}

#[test]
fn an_event_that_was_never_mirrored_is_mirrored_with_its_first_change() {
    let mut tables = tables();
    run(&mut tables, &[cancel()]);
    assert_eq!(tables.items("inventario"), [event("C", 30)]);
}

#[test]
fn what_is_no_change_of_an_event_is_rejected_and_unimportant_changes_are_skipped() {
    let mut tables = tables().item("inventario", event("A", 30));
    let changes = [
        r#"{"hello":1}"#.to_owned(),
        r#"{"eventName":"INSERT","dynamodb":{"NewImage":{"x":{"S":"y"}}}}"#.to_owned(),
        change("INSERT", None, None),
        change("MODIFY", Some(image("A", 30)), Some(image("A", 30))),
    ];
    let (effects, outcomes) = run(&mut tables, &changes);
    assert_eq!(effects, [""; 0]);
    assert_eq!(
        outcomes,
        [
            "0: reject not a change of a table: eventName and dynamodb are missing",
            "1: reject the change has no event name: attribute \"PK\" is missing",
            "2: reject the change has no NewImage: the feed must keep new images",
            "3: skip nothing that is mirrored has changed",
        ]
    );
}

#[test]
fn a_table_that_is_not_granted_stops_the_route() {
    let plugin: Inventory = testing::plugin(CONFIG);
    let batch = lines(&cancel());
    let failure = testing::with_tables(&Tables::new(), || plugin::call(&plugin, &batch).unwrap_err());
    assert!(matches!(failure, Failure::Halt(reason) if reason.contains("add it to the route's tables")));
}

#[test]
fn attributes_have_the_names_that_are_configured() {
    let config = r#"{"table":"stock","index":"by-event","name":"id","state":"state","capacity":"left","category":"kind",
        "partition_key":"p","sort_key":"s","event_partition":"EVENT"}"#;
    let plugin: Inventory = testing::plugin(config);
    let batch =
        lines(r#"{"eventName":"INSERT","dynamodb":{"NewImage":{"id":{"S":"x"},"state":{"S":"A"},"left":{"N":"1"}}}}"#);
    assert_eq!(
        show(&call(&plugin, &batch)),
        [r#"0: put stock {"left":{"N":"1"},"p":{"S":"EVENT"},"s":{"S":"x"},"state":{"S":"A"}} if p absent else skip"#]
    );
}

#[test]
fn the_schema_names_every_option_and_nothing_else() {
    let schema: serde_json::Value = serde_json::from_str(Inventory::SCHEMA).unwrap();
    assert_eq!(schema["additionalProperties"], serde_json::json!(false));
    let refused = testing::refusal::<Inventory>(r#"{"no-such-option":1}"#);
    let names = schema["properties"].as_object().unwrap();
    assert_eq!(names.len(), refused.matches('`').count() / 2 - 1, "{refused}");
    for name in names.keys() {
        assert!(refused.contains(&format!("`{name}`")), "{refused}");
    }
}
