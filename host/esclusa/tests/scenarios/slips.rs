//! What the program says when somebody has made a slip: one message, at the place of the slip, with what was probably meant.

use super::cli::{ORDERS, text};
use super::router::Router;
use serde_json::Value;

/// What a command that fails says.
fn said(router: &Router, args: &[&str], code: i32) -> String {
    let output = router.run(args);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// The part of a line of ORDERS that a message underlines, from its place `routes.toml:LINE:COLUMN`.
fn at(said: &str, routes: &str, part: &str) {
    let line = routes.lines().position(|line| line.contains(part)).unwrap();
    let column = routes.lines().nth(line).unwrap().find(part).unwrap();
    let place = format!("routes.toml:{}:{}", line + 1, column + 1);
    assert!(said.contains(&place), "{place} is not in:\n{said}");
}

#[test]
fn a_misspelt_key_and_a_bad_template_in_a_plugins_configuration_are_one_error_each_at_their_places() {
    let routes = ORDERS.replacen("table = \"orders\", key", "tabel = \"orders\", key", 1);
    let misspelt = said(&Router::new(&routes), &["validate"], 78);
    at(&misspelt, &routes, "tabel");
    assert!(misspelt.contains("did you mean `table`?") && misspelt.contains("\n1 error"), "{misspelt}");
    let routes = ORDERS.replacen("\"{order_id}\"", "\"{order_id\"", 1);
    let template = said(&Router::new(&routes), &["validate"], 78);
    at(&template, &routes, "\"{order_id\"");
    assert!(template.contains("plugin::init_failed"), "{template}");
}

#[test]
fn a_file_of_the_wrong_kind_is_named_as_what_it_is() {
    let router = Router::new(&ORDERS.replacen("PLUGINS/etl.wasm", "plugins", 1));
    std::fs::create_dir(router.path("plugins")).unwrap();
    let directory = said(&router, &["validate"], 78);
    assert!(directory.contains("is a directory") && directory.contains("name the plugin's file in it"), "{directory}");
    assert!(!directory.contains("build the plugin"), "{directory}");
    router.write("routes.yaml", "version: 1\nsource:\n  orders:\n    kind: stream\n");
    let yaml = said(&router, &["validate", "-c", "routes.yaml"], 78);
    assert!(yaml.contains("this is YAML") && yaml.contains("\n1 error"), "{yaml}");
    assert!(said(&router, &["validate", "-c", "plugins"], 78).contains("-c FILE"));
}

#[test]
fn a_code_without_its_family_is_understood() {
    let router = Router::new(ORDERS);
    assert!(said(&router, &["explain", "missing_grant"], 2).contains("did you mean route::missing_grant?"));
    assert!(said(&router, &["explain", "plugin::mising"], 2).contains("did you mean plugin::missing?"));
}

#[test]
fn a_list_that_is_cut_tells_of_how_many_and_a_rate_may_be_a_number() {
    let mut router = Router::new(ORDERS);
    router.ok(&["run", "--until-idle"]);
    router.write("bad.jsonl", "{\"id\": 1}\n{\"id\": 2}\n{\"id\": 3}\n");
    router.ok(&["send", "orders", "bad.jsonl"]);
    router.ok(&["run", "--until-idle"]);
    for running in [false, true] {
        if running {
            router.start();
        }
        let list = |args: &[&str]| text(&router.run(&[&["dlq", "ls", "--limit"], args].concat()).stderr);
        assert!(list(&["2"]).contains("the first 2 of 3; --limit shows more"));
        assert!(list(&["2", "--route", "orders"]).contains("the first 2 of 3;"));
        assert!(list(&["3"]).contains("all 3"));
        assert!(list(&["2", "--code", "rejected"]).contains("the first 2 of those selected;"));
        assert_eq!(list(&["4"]), "");
    }
    let redriven = said(&router, &["dlq", "redrive", "--all", "--rate", "1000"], 1);
    assert!(redriven.contains("0 redriven, 3 failed"), "{redriven}");
    assert!(said(&router, &["dlq", "redrive", "--all", "--rate", "fast"], 2).contains("a number alone is per second"));
}

#[test]
fn an_invocation_passes_only_the_events_on_that_the_filter_matches() {
    let routes = ORDERS.replacen("name = \"orders\"", "name = \"orders\"\nfilter = { data = { n = [1] } }", 1);
    let mut router = Router::new(&routes);
    router.ok(&["run", "--until-idle"]);
    router.write("events.jsonl", "{\"n\": 0, \"order_id\": \"a\"}\n{\"n\": 1, \"order_id\": \"b\"}\n{\"n\": 1}\n");
    for running in [false, true] {
        if running {
            router.start();
        }
        let output = router.run(&["invoke", "orders", "--event", "events.jsonl"]);
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&shown["events"], &shown["filtered"]), (&3.into(), &serde_json::json!([0])), "{shown}");
        // Causes and outcomes have the numbers of the lines.
        let effects = shown["effects"].as_array().unwrap();
        assert_eq!((effects.len(), &effects[0]["cause"], &effects[0]["item"]["order_id"]), (1, &1.into(), &"b".into()));
        let outcomes: Vec<_> = shown["outcomes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["event"].as_u64(), one["outcome"].as_str()))
            .collect();
        assert_eq!(outcomes, [(Some(2), Some("reject")), (Some(0), Some("filtered"))]);
        assert!(text(&output.stderr).contains("does not match 1 of 3 event(s)"));
    }
}

#[test]
fn a_replay_says_nothing_of_the_housekeeping_of_its_store() {
    let routes = ORDERS.to_owned() + "[table.again]\nkind = \"embedded\"\npartition_key = \"order_id\"\n";
    let router = Router::new(&routes);
    router.ok(&["run", "--until-idle"]);
    let orders: String = (0..2000).map(|n| format!("{{\"order_id\": \"{n}\"}}\n")).collect();
    router.write("orders.jsonl", orders);
    router.ok(&["send", "orders", "orders.jsonl"]);
    let output = router.run(&["replay", "orders", "--from", "TRIM_HORIZON", "--into", "again"]);
    assert!(text(&output.stdout).starts_with("2000 events replayed into again"), "{}", text(&output.stdout));
    let lines: Vec<String> =
        text(&output.stderr).lines().filter(|line| !line.contains("compil")).map(str::to_owned).collect();
    assert_eq!(lines, [""; 0]);
}
