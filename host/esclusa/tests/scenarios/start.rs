//! The start: what cannot be used is told at its key of routes.toml, with the remedy and an exit code; and commands wait for a
//! router that starts.

use super::cli::{ORDERS, text};
use super::router::Router;
use serde_json::Value;
use std::net::TcpListener;
use std::process::{Child, Command, Output};

/// A command has to fail with this exit code, and its message has all of these words.
fn refused(output: &Output, code: i32, words: &[&str]) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in:\n{said}");
    }
}

/// The number of the first line of routes.toml with this text, as a message shows it.
fn line(routes: &str, part: &str) -> String {
    let at = routes.lines().position(|line| line.contains(part)).unwrap();
    format!("routes.toml:{}:", at + 1)
}

#[test]
fn an_address_in_use_is_69_at_the_key_of_its_listener() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = taken.local_addr().unwrap().to_string();
    let admin = ORDERS.replace("127.0.0.1:0", &busy);
    let at = line(&admin, &busy);
    refused(
        &Router::new(&admin).run(&["run", "--until-idle"]),
        69,
        &["admin::not_bound", "[admin] cannot listen on", &at, "stop it, or write another port"],
    );
    let hooks = format!(
        "{ORDERS}[listener.hooks]\nlisten = \"{busy}\"\n[source.hooks]\nkind = \"http\"\nlistener = \"hooks\"\nendpoints = [\"POST /\"]\n"
    );
    let router = Router::new(&hooks);
    let at = line(&hooks, &busy);
    refused(
        &router.run(&["run", "--until-idle"]),
        69,
        &["listener::not_bound", "[listener.hooks]", &at, "another program"],
    );
    assert!(!router.path("data").exists(), "nothing was begun");
}

#[test]
fn an_address_that_the_machine_does_not_have_is_69() {
    // Documentation addresses (RFC 5737) are no machine's.
    let routes = ORDERS.replace("\"127.0.0.1:0\"", "\"192.0.2.1:8080\"\nallow_remote = true");
    refused(&Router::new(&routes).run(&["run"]), 69, &["admin::not_bound", "`ip address`", "routes.toml:4:"]);
}

#[test]
fn a_directory_that_cannot_be_created_is_73_and_without_permission_77_at_its_key_for_every_command() {
    let commands = [&["run", "--until-idle"][..], &["send", "orders", "orders.jsonl"]];
    // Nobody may create anything in /sys, not even root; and nothing can be below a file.
    for (path, code, words) in [("/sys/esclusa", 77, "chown"), ("routes.toml/data", 73, "a file has the name")] {
        let routes = ORDERS.replace("path = \"data\"", &format!("path = \"{path}\""));
        let router = Router::new(&routes);
        router.write("orders.jsonl", "{\"order_id\": \"1\"}\n");
        for command in commands {
            refused(&router.run(command), code, &["engine::not_opened", &line(&routes, path), words]);
        }
    }
    for (path, code) in [("/sys/esclusa", 77), ("routes.toml/lake", 73)] {
        let routes = format!("{ORDERS}[objects.lake]\nkind = \"directory\"\npath = \"{path}\"\n");
        refused(
            &Router::new(&routes).run(&["run", "--until-idle"]),
            code,
            &["objects::not_created", &line(&routes, path), "lake"],
        );
    }
}

#[test]
fn a_store_in_use_is_69_and_one_that_does_not_fit_the_file_is_78() {
    let mut router = Router::new(ORDERS);
    router.start();
    refused(&router.run(&["run"]), 69, &["engine::in_use", "in use by process", "routes.toml:6:", "another directory"]);
    router.write("orders.jsonl", "{\"order_id\": \"1\"}\n");
    router.ok(&["send", "orders", "orders.jsonl"]);
    router.until("it is stored", |router| !router.scan("orders").is_empty());
    assert_eq!(router.signal("TERM"), 0);
    let routes = ORDERS.replace("partition_key = \"order_id\"", "partition_key = \"number\"");
    let routes = routes.replace("key = { order_id = \"{order_id}\" }", "key = { number = \"{order_id}\" }");
    router.configure(&routes);
    for command in [&["run", "--until-idle"][..], &["dlq", "ls"]] {
        refused(&router.run(command), 78, &["engine::schema", &line(&routes, "[table.orders]"), "restore the key"]);
    }
    router.write("data/format", "another format\n");
    refused(&router.run(&["run", "--until-idle"]), 1, &["engine::not_opened", "is damaged", "routes.toml:6:"]);
}

#[test]
fn a_file_to_be_read_to_its_end_that_is_not_there_is_named_at_its_key() {
    let routes = ORDERS.replace("kind = \"stream\"\nstream = \"orders\"", "kind = \"file\"\npath = \"nowhere.jsonl\"");
    refused(
        &Router::new(&routes).run(&["run", "--until-idle"]),
        69,
        &["source::missing_file", &line(&routes, "nowhere.jsonl"), "--until-idle"],
    );
}

#[test]
fn a_log_level_that_is_none_is_refused_wherever_it_is_written() {
    let router = Router::new(ORDERS);
    let word = "\"nosuch\" is no level";
    refused(&router.run(&["validate", "--log-level", "nosuch"]), 2, &[word, "warn,esclusa=debug"]);
    refused(&router.launched(&["run"], &[("ESCLUSA_LOG", "info,nosuch")]), 2, &[word]);
    assert!(router.launched(&["validate"], &[("ESCLUSA_LOG", "")]).status.success());
}

/// Stops the processes that compile, and lets them go on.
fn signal(processes: &[String], signal: &str) {
    for process in processes {
        assert!(Command::new("kill").args(["-s", signal, process]).status().unwrap().success());
    }
}

fn phase(router: &Router) -> Value {
    let text = std::fs::read_to_string(router.path("data/router.json")).unwrap_or_default();
    serde_json::from_str(&text).map(|json: Value| json["phase"].clone()).unwrap_or_default()
}

/// Starts a command whose messages go to a file, and waits until it says that it waits.
fn waiting(router: &mut Router, args: &[&str], file: &str) -> Child {
    let said = std::fs::File::create(router.path(file)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_esclusa"));
    command.args(args).current_dir(router.dir.path()).env_remove("ESCLUSA_CONFIG").stderr(said);
    let mut command = command.spawn().unwrap();
    router.until("the command says that it waits", |router| {
        let said = std::fs::read_to_string(router.path(file)).unwrap();
        said.contains("is compiling its plugins: waiting for it, at most 30 s")
    });
    assert!(command.try_wait().unwrap().is_none(), "it waits");
    command
}

#[test]
fn commands_wait_for_a_router_that_compiles_and_say_so() {
    let mut router = Router::new(ORDERS);
    router.launch(&["run"], &[]);
    router.until("a plugin is being compiled", |router| !router.children().is_empty());
    let compilers = router.children();
    signal(&compilers, "STOP");
    // Plugins are compiled while the store is opened, which is the first to end now.
    router.until("the store is open", |router| phase(router) == "compiling");
    let status: Value = serde_json::from_str(&router.ok(&["status", "--json"])).unwrap();
    assert_eq!((&status["phase"], &status["running"]), (&"compiling".into(), &false.into()), "{status}");
    refused(&router.run(&["status"]), 0, &["compiling its plugins", "takes no events yet"]);
    assert!(router.ok(&["routes"]).contains("starting"));

    router.write("orders.jsonl", "{\"order_id\": \"1\"}\n");
    // One that could open the store itself, and one that needs a router.
    let send = waiting(&mut router, &["send", "orders", "orders.jsonl"], "send");
    let pause = waiting(&mut router, &["pause", "jobs"], "pause");
    signal(&compilers, "CONT");
    for mut command in [send, pause] {
        assert!(command.wait().unwrap().success(), "{}", router.log());
    }
    assert_eq!(phase(&router), "running");
    router.until("the event is stored", |router| router.scan("orders").len() == 1);
    assert_eq!(router.signal("TERM"), 0);
    assert!(!router.path("data/router.json").exists());
}

#[test]
fn a_router_without_an_api_is_waited_for_until_it_runs_and_then_said_to_have_none() {
    let mut router = Router::new(&ORDERS.replace("[admin]\nlisten = \"127.0.0.1:0\"\n", ""));
    router.launch(&["run"], &[]);
    router.until("a plugin is being compiled", |router| !router.children().is_empty());
    let compilers = router.children();
    signal(&compilers, "STOP");
    // Plugins are compiled while the store is opened, which is the first to end now.
    router.until("the store is open", |router| phase(router) == "compiling");
    let mut audit = waiting(&mut router, &["audit"], "said");
    signal(&compilers, "CONT");
    assert_eq!(audit.wait().unwrap().code(), Some(69));
    let said = std::fs::read_to_string(router.path("said")).unwrap();
    assert!(said.contains("engine::in_use") && said.contains("an [admin] section lets commands ask it"), "{said}");
    assert_eq!(router.signal("TERM"), 0);
}

#[test]
fn a_router_that_was_killed_while_it_started_holds_up_no_command() {
    let mut router = Router::new(ORDERS);
    router.launch(&["run"], &[]);
    router.until("a plugin is being compiled", |router| phase(router) == "compiling");
    router.signal("KILL");
    assert_eq!(phase(&router), "compiling", "its file is left");
    refused(&router.run(&["status"]), 0, &["not running"]);
}
