//! With `--json` standard output is JSON and nothing else, whether a command succeeds or fails.

use super::cli::ORDERS;
use super::router::Router;
use serde_json::Value;

/// The only thing on standard output, and the exit code.
fn answer(router: &Router, args: &[&str]) -> (Value, i32) {
    let output = router.run(&[args, &["--json"]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let value = serde_json::from_str(&text).unwrap_or_else(|why| panic!("{args:?}: {why}: {text:?}"));
    (value, output.status.code().unwrap())
}

fn count(answer: &Value, key: &str) -> usize {
    answer[key].as_array().unwrap_or_else(|| panic!("no {key} in {answer}")).len()
}

#[test]
fn validate_gives_one_object_of_one_shape_whatever_it_finds() {
    let router = Router::new(ORDERS);
    // The source `ticks` is used by no route: a warning.
    let (sound, code) = answer(&router, &["validate"]);
    assert_eq!((code, &sound["ok"], count(&sound, "errors"), count(&sound, "warnings")), (0, &true.into(), 0, 1));
    assert_eq!(sound["plan"]["routes"][0]["name"], "orders");
    assert_eq!((&sound["plan"]["sources"]["jobs"], count(&sound["plan"], "tables")), (&"queue".into(), 2));
    let (more, _) = answer(&router, &["validate", "--limits"]);
    assert!(more["limits"]["sum"].is_u64(), "{more}");
    let (more, _) = answer(&router, &["validate", "--effective"]);
    assert_eq!(more["effective"]["source"]["orders"]["partitions"], 4, "{more}");

    router.configure(&ORDERS.replacen("PLUGINS/etl.wasm", "gone.wasm", 1));
    let (refused, code) = answer(&router, &["validate"]);
    assert_eq!(
        (code, &refused["ok"], count(&refused, "errors"), count(&refused, "warnings")),
        (78, &false.into(), 1, 1)
    );
    assert_eq!(refused["errors"][0]["code"], "plugin::missing");
    assert_eq!(refused["plan"]["routes"][1]["name"], "jobs", "the plan is known");

    router.configure("version = 1\nnonsense = true\n");
    let (broken, code) = answer(&router, &["validate"]);
    assert_eq!((code, &broken["ok"], &broken["plan"]), (78, &false.into(), &Value::Null));
    assert_eq!(
        (&broken["errors"][0]["code"], &broken["errors"][0]["line"]),
        (&"config::unknown_key".into(), &2.into())
    );
}

#[test]
fn every_command_that_fails_says_so_in_json() {
    let router = Router::new(ORDERS);
    router.ok(&["run", "--until-idle"]);
    router.write("events.jsonl", "{\"order_id\": \"1\"}\n");
    for (args, code) in [
        (&["table", "scan", "nothing"][..], 1),
        (&["table", "get", "orders", "{\"order_id\": \"9\"}"], 1),
        (&["dlq", "show", "99"], 1),
        (&["dlq", "ls", "--route", "nothing"], 1),
        (&["dlq", "redrive", "99"], 1),
        (&["dlq", "drop", "--all"], 2),
        (&["send", "nothing", "events.jsonl"], 1),
        (&["send", "orders", "nowhere.jsonl"], 2),
        (&["invoke", "nothing", "--event", "events.jsonl"], 1),
        (&["replay", "nothing", "--from", "TRIM_HORIZON", "--into", "orders"], 1),
        (&["pause", "orders"], 1),
        (&["resume", "orders"], 1),
        (&["reload"], 1),
        (&["explain", "nothing"], 2),
        (&["plugin", "inspect", "nowhere.wasm"], 2),
        (&["run", "-c", "nowhere.toml"], 78),
        (&["status", "-c", "nowhere.toml"], 78),
        (&["routes", "-c", "nowhere.toml"], 78),
        (&["audit", "-c", "nowhere.toml"], 78),
        (&["iam-policy", "-c", "nowhere.toml"], 78),
        (&["validate", "--log-level", "nosuch"], 2),
    ] {
        let (said, exit) = answer(&router, args);
        assert_eq!((exit, &said["ok"], count(&said, "warnings")), (code, &false.into(), 0), "{args:?}: {said}");
        let message = said["errors"][0]["message"].as_str().unwrap_or_default();
        assert!(count(&said, "errors") == 1 && !message.is_empty(), "{args:?}: {said}");
    }
    assert_eq!(answer(&router, &["iam-policy"]), (Value::Null, 0));
}

#[test]
fn a_refused_reload_gives_the_places_and_78() {
    let mut router = Router::new(ORDERS);
    router.start();
    for (routes, code) in [
        (ORDERS.replacen("PLUGINS/etl.wasm", "gone.wasm", 1), "plugin::missing"),
        (ORDERS.replace("stream = \"orders\"", "strem = \"orders\""), "config::unknown_key"),
    ] {
        router.configure(&routes);
        let (refused, exit) = answer(&router, &["reload"]);
        assert_eq!(
            (exit, &refused["ok"], &refused["errors"][0]["code"]),
            (78, &false.into(), &code.into()),
            "{refused}"
        );
        assert!(refused["errors"][0]["line"].as_u64() > Some(1), "{refused}");
    }
}
