//! Tests of `inventory`.

use super::*;
use esclusa_plugin::testing::{self, Tables, call, lines, outcomes, show};
use esclusa_plugin::{Item, Value, plugin};

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
fn a_cancellation_behind_another_change_of_its_batch_is_guarded_too() {
    let plugin: Inventory = testing::plugin(CONFIG);
    let earlier = [
        change("MODIFY", Some(image("A", 30)), Some(image("A", 32))),
        change("INSERT", None, Some(image("A", 50))),
        change("MODIFY", Some(image("B", 30)), Some(image("A", 30))),
    ];
    for (earlier, left) in earlier.into_iter().zip([29, 27, 27]) {
        let batch = lines(&[earlier, change("MODIFY", Some(image("A", 32)), Some(image("C", 32)))].join("\n"));
        let before = tables().item("inventario", event("A", 27));
        let out = testing::with_tables(&before, || call(&plugin, &batch));
        assert!(
            show(&out)[1].ends_with(&format!(r#" if Capacidad = {{"N":"{left}"}} else rerun"#)),
            "{:?}",
            show(&out)
        );
        // Nobody interferes.
        let mut calm = before.clone();
        calm.apply(&out).unwrap();
        assert_eq!(calm.items("inventario"), [event("C", left)]);
        // A reservation is made between the call and its commit.
        let mut after =
            tables().item("inventario", event("A", 25)).item("inventario", reservation("r1", "Opera Aida", "A"));
        assert!(after.apply(&out).is_err());
        let again = testing::with_tables(&after, || call(&plugin, &batch));
        after.apply(&again).unwrap();
        assert_eq!(states(&after), [("Opera Aida".to_owned(), "C".to_owned()), ("r1".to_owned(), "C".to_owned())]);
    }
}

#[test]
fn a_cancellation_behind_the_insert_of_its_event_is_guarded_too() {
    let plugin: Inventory = testing::plugin(CONFIG);
    let batch = lines(&[change("INSERT", None, Some(image("A", 30))), cancel()].join("\n"));
    let out = testing::with_tables(&tables(), || call(&plugin, &batch));
    let mut calm = tables();
    calm.apply(&out).unwrap();
    assert_eq!(calm.items("inventario"), [event("C", 30)]);
    // Another process has mirrored the event meanwhile, and tickets were sold.
    let mut after =
        tables().item("inventario", event("A", 27)).item("inventario", reservation("r1", "Opera Aida", "A"));
    assert!(after.apply(&out).is_err());
}

#[test]
fn a_rejected_change_leaves_nothing_for_the_guards_behind_it() {
    let mut tables = tables().item("inventario", event("A", 27));
    let text = image("A", 30).replace(r#"{"N":"30"}"#, r#"{"S":"many"}"#);
    let changes =
        [change("MODIFY", Some(image("A", 30)), Some(text.clone())), change("INSERT", None, Some(text)), cancel()];
    let (effects, outcomes) = run(&mut tables, &changes);
    let rejected = "reject attribute \"Capacidad\" is a text, not a number";
    assert_eq!(outcomes, [format!("0: {rejected}"), format!("1: {rejected}")]);
    assert!(effects.len() == 1 && effects[0].ends_with(r#"if Capacidad = {"N":"27"} else rerun"#), "{effects:?}");
}

#[test]
fn an_event_whose_name_is_no_key_is_rejected_and_the_others_go_on() {
    let mut tables = tables();
    let long = change("MODIFY", Some(image("A", 30)), Some(image("A", 40))).replace("Opera Aida", &"x".repeat(1025));
    let (effects, outcomes) = run(&mut tables, &[long, change("INSERT", None, Some(image("A", 30)))]);
    assert_eq!(effects.len(), 1);
    assert_eq!(outcomes, [r#"0: reject the key attribute "SK" has 1025 bytes, more than 1024"#]);
}

#[test]
fn a_capacity_that_is_missing_or_null_counts_as_nothing() {
    let none = || image("A", 30).replace(r#""Capacidad":{"N":"30"},"#, "");
    let null = || image("A", 30).replace(r#"{"N":"30"}"#, r#"{"NULL":true}"#);
    let without =
        || Item::new().with("PK", "E").with("SK", "Opera Aida").with("Estado", "A").with("Categoria", "Opera");
    let left = |tables: &Tables| tables.items("inventario")[0].get("Capacidad").cloned();
    for empty in [none, null] {
        let mut tables = tables();
        run(&mut tables, &[change("INSERT", None, Some(empty()))]);
        assert_eq!(left(&tables), None, "a null is left out");
        run(&mut tables, &[change("MODIFY", Some(empty()), Some(image("A", 30)))]);
        assert_eq!(left(&tables), Some(Value::from(30)));
        // Three tickets are sold, and stay counted.
        let mut tables = self::tables().item("inventario", event("A", 27));
        run(&mut tables, &[change("MODIFY", Some(image("A", 30)), Some(empty()))]);
        assert_eq!(left(&tables), Some(Value::from(-3)));
        run(&mut tables, &[change("MODIFY", Some(empty()), Some(image("A", 40)))]);
        assert_eq!(left(&tables), Some(Value::from(37)));
        // Older versions mirrored the null.
        let mut tables = self::tables().item("inventario", without().with("Capacidad", Value::Null));
        let (effects, _) = run(&mut tables, &[change("MODIFY", Some(empty()), Some(image("A", 30)))]);
        assert_eq!(left(&tables), Some(Value::from(30)));
        assert!(
            effects[0].ends_with(r#"Capacidad = {"N":"30"} if Capacidad = {"NULL":true} else rerun"#),
            "{effects:?}"
        );
    }
}

#[test]
fn a_state_or_category_that_is_removed_is_removed_from_the_mirror() {
    let mut tables = tables().item("inventario", event("A", 27));
    let bare = r#"{"PK":{"S":"Opera Aida"},"Capacidad":{"N":"30"}}"#.to_owned();
    run(&mut tables, &[change("MODIFY", Some(image("A", 30)), Some(bare))]);
    let left = Item::new().with("PK", "E").with("SK", "Opera Aida").with("Capacidad", 27);
    assert_eq!(tables.items("inventario"), [left]);
}

#[test]
fn a_capacity_without_the_old_image_is_rejected() {
    let mut tables = tables().item("inventario", event("A", 27));
    let state = r#"{"PK":{"S":"Opera Aida"},"Estado":{"S":"B"}}"#.to_owned();
    let (_, outcomes) =
        run(&mut tables, &[change("MODIFY", None, Some(image("A", 40))), change("MODIFY", None, Some(state))]);
    assert_eq!(
        outcomes,
        [
            "0: reject the change has no OldImage: what is left of the capacity changes by the difference, so the feed must keep old images too"
        ]
    );
    assert_eq!(tables.items("inventario"), [event("B", 27)]);
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
    let tables = Tables::new().table("stock", &["p", "s"]);
    assert_eq!(
        show(&testing::with_tables(&tables, || call(&plugin, &batch))),
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
