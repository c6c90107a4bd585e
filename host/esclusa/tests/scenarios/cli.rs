//! The command line, with a running router and without.

use super::router::Router;
use serde_json::{Value, json};
use std::process::{Command, Output};

pub(crate) const ORDERS: &str = r#"
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[source.orders]
kind = "stream"
stream = "orders"
[source.jobs]
kind = "queue"
queue = "jobs"
[source.ticks]
kind = "generate"
interval = "1h"
event = { n = 1 }
[table.orders]
kind = "embedded"
partition_key = "order_id"
[table.jobs]
kind = "embedded"
partition_key = "id"
[[route]]
name = "orders"
source = "orders"
plugin = "PLUGINS/etl.wasm"
tables = ["orders"]
config = { table = "orders", key = { order_id = "{order_id}" } }
[[route]]
name = "jobs"
source = "jobs"
plugin = "PLUGINS/etl.wasm"
tables = ["jobs"]
config = { table = "jobs", key = { id = "{id}" } }
"#;

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn fails(output: &Output, code: i32, message: &str) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(message), "{message:?} is not in:\n{stderr}");
}

/// A store with orders, some of which the plugin rejected.
fn settled(lines: &str) -> Router {
    let router = Router::new(ORDERS);
    router.write("orders.jsonl", lines);
    router.ok(&["run", "--until-idle"]);
    router.ok(&["send", "orders", "orders.jsonl"]);
    router.ok(&["run", "--until-idle"]);
    router
}

#[test]
fn a_sound_configuration_is_0_and_a_broken_one_is_78_with_every_problem() {
    let router = Router::new(ORDERS);
    assert!(router.run(&["validate"]).status.success());
    assert!(!router.path("data").exists(), "validate must not make a store");
    router.configure(
        &ORDERS.replace("stream = \"orders\"", "strem = \"orders\"").replace("name = \"jobs\"", "name = \"orders\""),
    );
    for command in [&["validate"][..], &["run"], &["table", "scan", "orders"]] {
        let output = router.run(command);
        fails(&output, 78, "config::unknown_key");
        fails(&output, 78, "route::duplicate");
    }
    let output = router.run(&["validate", "--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(answer["ok"] == false && answer["errors"].as_array().unwrap().len() >= 2, "{answer}");
    fails(&router.run(&["validate", "-c", "nowhere.toml"]), 78, "nowhere.toml");
}

#[test]
fn a_plugin_that_cannot_be_used_is_78_and_points_at_its_line() {
    let router = Router::new(&ORDERS.replacen("PLUGINS/etl.wasm", "gone.wasm", 1));
    for command in ["validate", "run"] {
        let output = router.run(&[command]);
        fails(&output, 78, "plugin::missing");
        fails(&output, 78, "routes.toml:");
    }
    router.ok(&["validate", "--no-plugins"]);
    router.deploy("gone.wasm", "not wasm");
    fails(&router.run(&["validate"]), 78, "plugin::invalid");
    router.configure(&ORDERS.replacen("config = { table = \"orders\",", "config = { tabel = \"orders\",", 1));
    fails(&router.run(&["validate"]), 78, "plugin::config_rejected");
    router.configure(&ORDERS.replacen("config = { table = \"orders\",", "config = { table = \"jobs\",", 1));
    fails(&router.run(&["validate"]), 78, "route::missing_grant");
    let jobs = "PLUGINS/etl.wasm\"\ntables = [\"jobs\"]\nconfig = { table = \"jobs\", key = { id = \"{id}\" } }";
    let mirror = "PLUGINS/inventory.wasm\"\ntables = [\"jobs\"]\nconfig = { table = \"jobs\", index = \"by-event\" }";
    router.configure(&ORDERS.replacen(jobs, mirror, 1));
    fails(&router.run(&["validate"]), 78, "plugin::needs_order");
    router.configure(&ORDERS.replacen("[[route]]", &format!("[[route]]\nsha256 = \"{}\"", "0".repeat(64)), 1));
    fails(&router.run(&["validate"]), 78, "plugin::digest_mismatch");
    router.write("event.jsonl", "{}");
    // A file that is not the pinned one is not even looked at: this one is no plugin.
    router.configure(&ORDERS.replace("PLUGINS/etl.wasm\"", &format!("gone.wasm\"\nsha256 = \"{}\"", "0".repeat(64))));
    for command in [&["validate"][..], &["run", "--until-idle"], &["invoke", "orders", "--event", "event.jsonl"]] {
        let output = router.run(command);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("but the route pins"), "{command:?}: {said}");
        assert!(!said.contains("WebAssembly") && !said.contains("compiling"), "{command:?}: {said}");
    }
}

#[test]
fn nonsense_on_the_command_line_is_2() {
    let router = Router::new(ORDERS);
    fails(&router.run(&["frobnicate"]), 2, "frobnicate");
    fails(&router.run(&["run", "--drain-timeout", "soon"]), 2, "is not a time");
    fails(&router.run(&["explain", "no::such"]), 2, "no::such");
    router.ok(&["run", "--until-idle"]);
    fails(&router.run(&["dlq", "redrive"]), 2, "--all");
    fails(&router.run(&["send", "orders", "nowhere.jsonl"]), 2, "nowhere.jsonl");
}

#[test]
fn events_are_sent_to_a_stopped_router_and_read_back_with_every_digit() {
    let router = Router::new(ORDERS);
    router.ok(&["run", "--until-idle"]);
    let lines =
        "{\"order_id\": \"a\", \"price\": 12345678901234567890.123}\n\n{\"order_id\": \"b\", \"price\": 1.50}\n";
    router.write("orders.jsonl", lines);
    router.ok(&["send", "orders", "orders.jsonl", "--key", "order_id"]);
    let status: Value = serde_json::from_str(&router.ok(&["status", "--json"])).unwrap();
    assert_eq!((&status["running"], &status["routes"][0]["account"]["behind"]), (&json!(false), &json!(2)));
    router.ok(&["run", "--until-idle"]);
    let scan = router.ok(&["table", "scan", "orders"]);
    assert!(scan.contains("12345678901234567890.123"), "{scan}");
    assert_eq!(scan.lines().count(), 2);
    let item: Value = serde_json::from_str(&router.ok(&["table", "get", "orders", r#"{"order_id": "b"}"#])).unwrap();
    assert_eq!(item["order_id"], "b");
    fails(&router.run(&["table", "get", "orders", r#"{"order_id": "z"}"#]), 1, "no item");
    fails(&router.run(&["table", "scan", "oders"]), 1, "routes.toml has jobs, orders");
    let audit: Value = serde_json::from_str(&router.ok(&["audit", "--json"])).unwrap();
    let account = &audit["accounts"][0];
    assert_eq!((&account["received"], &account["done"], &account["behind"]), (&json!(2), &json!(2), &json!(0)));
}

#[test]
fn events_are_sent_to_a_running_router_and_every_command_asks_it() {
    let mut router = Router::new(ORDERS);
    router.start();
    router.write("jobs.jsonl", "{\"id\": \"1\"}\n{\"id\": \"2\"}\n");
    router.ok(&["send", "jobs", "jobs.jsonl"]);
    router.until("the jobs are done", |r| r.route("jobs").is_some_and(|route| route["reading"]["counts"]["done"] == 2));
    assert_eq!(router.scan("jobs").len(), 2);
    router.ok(&["table", "get", "jobs", r#"{"id": "2"}"#]);
    assert!(router.ok(&["status"]).contains("running"));
    assert!(router.ok(&["routes"]).contains("table orders (exactly-once with the commit)"));
    assert!(router.ok(&["audit"]).contains("adds up"));
    fails(&router.run(&["send", "ticks", "jobs.jsonl"]), 1, "it generates its events itself");
    fails(&router.run(&["send", "nothing", "jobs.jsonl"]), 1, "jobs, orders, ticks");
    router.write("bad.jsonl", "{\"id\": 3}\nnope\n");
    fails(&router.run(&["send", "jobs", "bad.jsonl"]), 1, "line 2 is not JSON");
    fails(&router.run(&["run"]), 69, "in use by process");

    router.ok(&["pause", "jobs"]);
    assert_eq!(router.route("jobs").unwrap()["state"], "paused");
    router.ok(&["resume", "jobs"]);
    assert_eq!(router.route("jobs").unwrap()["state"], "running");
    fails(&router.run(&["pause", "nothing"]), 1, "no route");
    router.ok(&["reload"]);
    router.configure("version = 1\nwrong = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n[engine]\npath = \"data\"\n");
    fails(&router.run(&["reload"]), 78, "config::unknown_key");
    assert_eq!(router.scan("jobs").len(), 2, "a router that runs is asked even while its file is broken");
    assert_eq!(router.signal("TERM"), 0);
    assert!(!router.path("data/router.json").exists());
}

#[test]
fn a_router_that_does_not_run_cannot_be_paused() {
    let router = Router::new(ORDERS);
    fails(&router.run(&["pause", "orders"]), 1, "no router runs");
    fails(&router.run(&["table", "scan", "orders"]), 1, "no router has run");
    fails(&router.run(&["table", "scan", "oders"]), 1, "routes.toml has jobs, orders");
}

#[test]
fn with_json_logs_every_line_of_standard_error_is_json() {
    let router = Router::new(&format!("{ORDERS}[source.web]\nkind = \"http\"\n"));
    router.ok(&["run", "--until-idle"]);
    router.write("orders.jsonl", "{\"id\": \"has no order_id\"}\n");
    router.ok(&["send", "orders", "orders.jsonl"]);
    let logged = |args: &[&str]| {
        let stderr = text(&router.run(&[args, &["--log-format", "json"]].concat()).stderr);
        for line in stderr.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
        }
        stderr
    };
    let run = logged(&["run", "--until-idle"]);
    for told in ["open http://", "events for web", "gave up 1 event(s)"] {
        assert!(run.contains(told), "{told:?} is not in:\n{run}");
    }
    assert!(logged(&["send", "nowhere", "orders.jsonl"]).contains("nowhere"));
    router.configure("version = 2\n");
    assert!(logged(&["run"]).contains("config::version"));
}

#[test]
fn letters_of_a_route_that_is_gone_are_told_and_what_was_never_there_is_an_error() {
    let mut router = settled("{\"id\": \"b\"}\n");
    fails(&router.run(&["dlq", "ls", "--route", "nosuch"]), 1, "nosuch");
    fails(&router.run(&["dlq", "drop", "--route", "nosuch", "--yes"]), 1, "nosuch");
    router.start();
    fails(&router.run(&["dlq", "ls", "--route", "nosuch"]), 1, "nosuch");
    let renamed = ORDERS.replace("name = \"orders\"", "name = \"renamed\"");
    router.configure(&renamed);
    router.until("the route is renamed", |r| r.route("renamed").is_some());
    let told = "1 dead letter(s) of route orders, which is not in routes.toml";
    router.until("the reload tells", |r| {
        r.get("/api/v1/status").unwrap()["reloads"][0]["message"].as_str().is_some_and(|m| m.contains(told))
    });
    assert_eq!(router.get("/api/v1/status").unwrap()["left_dead_letters"], json!({"orders": 1}));
    let (_, metrics) = router.request("GET", "/metrics", &[], b"").unwrap();
    assert!(text(&metrics).contains("esclusa_dead_letters{route=\"orders\"} 1\n"), "{}", text(&metrics));
    let check = |router: &Router| {
        assert!(text(&router.run(&["status"]).stderr).contains(told));
        assert_eq!(router.ok(&["dlq", "ls", "--route", "orders", "--json"]).lines().count(), 1);
        fails(
            &router.run(&["dlq", "redrive", "--route", "orders"]),
            1,
            "put the route back to redrive the dead letter",
        );
    };
    check(&router);
    assert_eq!(router.signal("TERM"), 0);
    check(&router);
}

#[test]
fn an_error_of_a_source_is_gone_once_it_can_be_read() {
    let routes =
        ORDERS.replace("kind = \"stream\"\nstream = \"orders\"", "kind = \"file\"\npath = \"in\"\nfollow = true");
    let mut router = Router::new(&routes);
    std::fs::create_dir(router.path("in")).unwrap();
    router.spawn(&[]);
    let error = |r: &Router| r.route("orders").map(|route| route["reading"]["last_error"].clone());
    for (code, done) in [("source.open", 1), ("source.pull", 2)] {
        router.until("the directory is refused", |r| error(r).is_some_and(|error| error["code"] == code));
        std::fs::remove_dir(router.path("in")).unwrap();
        router.write("in", format!("{{\"order_id\": \"{done}\"}}\n"));
        router.until("the file is read", |r| r.route("orders").is_some_and(|r| r["reading"]["counts"]["done"] == done));
        assert_eq!(error(&router), Some(Value::Null));
        std::fs::remove_file(router.path("in")).unwrap();
        std::fs::create_dir(router.path("in")).unwrap();
    }
}

#[test]
fn a_dead_letter_is_found_shown_and_redriven_once_its_cause_is_gone() {
    let router =
        settled("{\"order_id\": \"a\"}\n{\"id\": \"b\", \"country\": \"IT\"}\n{\"id\": \"c\", \"country\": \"FR\"}\n");
    let letters = |args: &[&str]| -> Vec<Value> {
        router
            .ok(&[&["dlq", "ls", "--json"], args].concat())
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let all = letters(&[]);
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(all[0]["code"], "rejected");
    let italian = letters(&["--where", r#"{"data": {"country": ["IT"]}}"#]);
    assert_eq!(italian.len(), 1);
    let id = italian[0]["id"].to_string();
    assert!(router.ok(&["dlq", "show", &id]).contains("\"country\": \"IT\""));
    // Nothing has changed: the event fails again, and the dead letter stays.
    let tried = italian[0]["attempts"].as_u64().unwrap();
    fails(&router.run(&["dlq", "redrive", &id]), 1, "stays");
    let again = letters(&["--where", r#"{"data": {"country": ["IT"]}}"#]);
    assert_eq!((&again[0]["attempts"], &again[0]["code"]), (&json!(tried + 1), &json!("rejected")), "{again:?}");
    assert!(again[0]["last_redrive"]["reason"].as_str().unwrap().starts_with("rejected: "), "{again:?}");
    assert!(router.ok(&["dlq", "show", &id]).contains(", in vain: rejected: "));
    assert_eq!(letters(&[]).len(), 2);
    router.configure(&ORDERS.replacen("order_id = \"{order_id}\"", "order_id = \"{id}\"", 1));
    router.ok(&["dlq", "redrive", "--all", "--dry-run"]);
    assert_eq!(letters(&[]).len(), 2);
    router.ok(&["dlq", "redrive", &id]);
    assert_eq!(letters(&[]).len(), 1);
    assert!(router.ok(&["table", "get", "orders", r#"{"order_id": "b"}"#]).contains("IT"));
    fails(&router.run(&["dlq", "redrive", &id]), 1, "no dead letter");
    fails(&router.run(&["dlq", "drop", "--all"]), 2, "--yes");
    router.ok(&["dlq", "drop", "--all", "--yes"]);
    assert!(letters(&[]).is_empty());
    router.ok(&["audit"]);
}

#[test]
fn a_running_router_redrives_and_its_account_still_adds_up() {
    let mut router = settled("{\"id\": \"b\"}\n{\"id\": \"c\"}\n");
    router.start();
    let tried = |router: &Router| router.get("/api/v1/dlq").unwrap()[0]["attempts"].as_u64().unwrap();
    let (id, before) = (router.get("/api/v1/dlq").unwrap()[0]["id"].to_string(), tried(&router));
    fails(&router.run(&["dlq", "redrive", &id]), 1, "stays");
    assert_eq!(tried(&router), before + 1);
    let log = router.log();
    let line = log.lines().find(|line| line.contains("a dead letter failed again")).unwrap();
    assert!(line.contains(&format!("route=\"orders\" id={id} ")), "{line}");
    router.configure(&ORDERS.replacen("order_id = \"{order_id}\"", "order_id = \"{id}\"", 1));
    router.ok(&["reload"]);
    router.ok(&["dlq", "redrive", "--route", "orders", "--rate", "100/s"]);
    assert_eq!(router.scan("orders").len(), 2);
    assert_eq!(router.get("/api/v1/dlq").unwrap(), json!([]));
    let account = router.get("/api/v1/audit").unwrap()[0].clone();
    assert_eq!((&account["received"], &account["done"], &account["dead"]), (&json!(4), &json!(2), &json!(2)));
    assert_eq!(account["problems"], json!([]));
}

#[test]
fn an_invocation_shows_effects_and_carries_nothing_out() {
    let mut router = settled("{\"order_id\": \"a\"}\n");
    router.write("event.jsonl", "{\"order_id\": \"x\", \"price\": 0.10}\n{\"nope\": 1}\n");
    let invoke = ["invoke", "orders", "--event", "event.jsonl"];
    let check = |shown: &str| {
        let shown: Value = serde_json::from_str(shown).unwrap();
        assert_eq!(shown["effects"][0]["action"], "put");
        assert_eq!(shown["effects"][0]["item"]["order_id"], "x");
        assert_eq!(shown["outcomes"][0]["outcome"], "reject");
    };
    check(&router.ok(&invoke));
    router.start();
    check(&router.ok(&invoke));
    assert_eq!(router.scan("orders").len(), 1);
    fails(&router.run(&["invoke", "nothing", "--event", "event.jsonl"]), 1, "no route");
}

#[test]
fn what_is_known_without_a_configuration_is_told() {
    let router = Router::new("nonsense");
    let schema: Value = serde_json::from_str(&router.ok(&["schema"])).unwrap();
    assert!(schema["properties"]["route"].is_object());
    assert!(router.ok(&["explain", "plugin::missing"]).contains("plugin"));
    assert!(router.ok(&["explain"]).lines().count() > 30);
    assert!(router.ok(&["explain"]).contains("A key that does not exist"));
    let explained: Value = serde_json::from_str(&router.ok(&["explain", "plugin::missing", "--json"])).unwrap();
    assert_eq!(explained["code"], "plugin::missing");
    for line in router.ok(&["explain", "--json"]).lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(!line["about"].as_str().unwrap().is_empty(), "{line}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(router.ok(&["completions", shell]).contains("esclusa"));
    }
    let version = router.ok(&["version"]);
    let contract =
        include_str!("../../../../wit/world.wit").lines().find_map(|line| line.strip_prefix("package ")).unwrap();
    assert!(
        version.contains(env!("CARGO_PKG_VERSION")) && version.contains(contract.trim_end_matches(';')),
        "{version}"
    );
    let plugin = super::router::plugins().join("etl.wasm").display().to_string();
    let plugin: Value = serde_json::from_str(&router.ok(&["plugin", "inspect", &plugin, "--json"])).unwrap();
    assert_eq!(plugin["name"], "etl");
    assert!(plugin["exports"].as_array().unwrap().iter().any(|name| name == "esclusa:router/handler@0.2.0"));
    fails(&router.run(&["plugin", "inspect", "routes.toml"]), 1, "found text");
}

#[test]
fn a_source_takes_events_before_anything_has_run() {
    let router = Router::new(ORDERS);
    router.write("orders.jsonl", "{\"order_id\": \"a\"}\n{\"order_id\": \"b\"}\n");
    router.write("jobs.jsonl", "{\"id\": \"1\"}\n");
    fails(&router.run(&["send", "orders", "missing.jsonl"]), 2, "cannot read");
    fails(&router.run(&["table", "scan", "orders"]), 1, "no router has run");
    router.ok(&["send", "orders", "orders.jsonl"]);
    router.ok(&["send", "jobs", "jobs.jsonl"]);
    // A source that was added to routes.toml after the store was created.
    router.configure(&format!("{ORDERS}{LATER}"));
    router.ok(&["send", "later", "orders.jsonl"]);
    router.ok(&["run", "--until-idle"]);
    assert_eq!((router.scan("orders").len(), router.scan("jobs").len(), router.scan("later").len()), (2, 1, 2));
    router.ok(&["audit"]);
}

const LATER: &str = r#"
[source.later]
kind = "http"
[table.later]
kind = "embedded"
partition_key = "order_id"
[[route]]
name = "later"
source = "later"
plugin = "PLUGINS/etl.wasm"
tables = ["later"]
config = { table = "later", key = { order_id = "{order_id}" } }
"#;

/// The words that bash offers for the last of some words, without the options of every command.
fn offered(router: &Router, words: &[&str]) -> Vec<String> {
    let script = "source <(\"$0\" completions bash) || exit
COMP_WORDS=(esclusa \"$@\") COMP_CWORD=$# COMP_TYPE=9
_clap_complete_esclusa esclusa \"${@: -1}\"
printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_esclusa")).args(words).current_dir(router.dir.path());
    let output = bash.env_remove("ESCLUSA_CONFIG").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let words = String::from_utf8(output.stdout).unwrap();
    let options = ["--config", "--help", "--json", "--log-format", "--log-level", ""];
    let words = words.lines().map(str::trim_end).filter(|word| !options.contains(word));
    let mut words: Vec<_> = words.map(str::to_owned).collect();
    words.sort();
    words
}

#[test]
fn a_shell_completes_the_names_of_the_configuration() {
    let router = Router::new(ORDERS);
    assert_eq!(offered(&router, &["pause", ""]), ["jobs", "orders"]);
    assert_eq!(offered(&router, &["dlq", "ls", "--route", "o"]), ["orders"]);
    assert_eq!(offered(&router, &["send", "t"]), ["ticks"]);
    assert_eq!(offered(&router, &["table", "scan", ""]), ["jobs", "orders"]);
    assert_eq!(offered(&router, &["explain", "route::missing_g"]), ["route::missing_grant"]);
    // The file that the words name; a name that a shell would understand is left out, whatever stands around it.
    router.write(
        "other.toml",
        "route = [{ name = \"mine\" }, { name = \"$(touch made)\" }, { name = \"; touch made\" }, { name = \"--all\" }, { name = 1 }, 1]",
    );
    assert_eq!(offered(&router, &["-c", "other.toml", "resume", ""]), ["mine"]);
    // A pipe that nobody writes.
    assert!(Command::new("mkfifo").arg(router.path("pipe")).status().unwrap().success());
    assert_eq!(offered(&router, &["-c", "pipe", "resume", ""]), [""; 0]);
    for text in ["not [ toml", "route = 1", "[route]\nname = 1", ""] {
        router.write("other.toml", text);
        assert_eq!(offered(&router, &["-c", "other.toml", "resume", ""]), [""; 0], "{text}");
    }
}

/// The variable by which a shell asks is in the environment of a service.
#[test]
fn a_command_runs_although_the_variable_of_completions_is_set() {
    let router = Router::new(ORDERS);
    for shell in ["bash", "nonsense"] {
        let output = router.launched(&["version"], &[("ESCLUSA_COMPLETE", shell)]);
        assert!(output.status.success() && text(&output.stdout).contains("plugin contract"), "{output:?}");
    }
}
