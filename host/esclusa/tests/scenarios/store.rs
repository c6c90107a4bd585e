//! `esclusa store`: a damaged store is told with its file, backups are made while the router runs, an earlier format is upgraded, and
//! dead letters that do not fit wait.

use super::cli::{ORDERS, text};
use super::router::Router;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn orders(from: u32, to: u32) -> String {
    (from..to).map(|n| format!("{{\"order_id\":\"o{n}\",\"fill\":\"{}\"}}\n", "x".repeat(1000))).collect()
}

/// A store with orders in its table.
fn settled() -> Router {
    let router = Router::new(ORDERS);
    router.write("orders.jsonl", orders(0, 50));
    router.ok(&["send", "orders", "orders.jsonl"]);
    router.ok(&["run", "--until-idle"]);
    router
}

/// The journal, which holds the last commits.
fn journal(router: &Router) -> PathBuf {
    let journals = std::fs::read_dir(router.path("data/db")).unwrap().map(|entry| entry.unwrap().path());
    journals.filter(|path| path.extension().is_some_and(|end| end == "jnl")).max().unwrap()
}

fn flip(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn a_damaged_store_is_told_with_its_file_and_the_remedy_and_salvaged() {
    let router = settled();
    let report: Value = serde_json::from_str(&router.ok(&["store", "check", "--json"])).unwrap();
    assert_eq!((&report["closed"], &report["content"]["tables"]["orders"]), (&true.into(), &50.into()), "{report}");
    flip(&journal(&router), 30);
    let checked = router.run(&["store", "check"]);
    let told = text(&checked.stdout);
    assert_eq!(checked.status.code(), Some(1), "{told}");
    assert!(told.contains(".jnl") && told.contains("esclusa store salvage"), "{told}");
    for command in [&["run", "--until-idle"][..], &["table", "scan", "orders"], &["dlq", "ls"]] {
        let refused = router.run(command);
        let told = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{told}");
        assert!(
            told.contains("is damaged") && told.contains(".jnl") && told.contains("esclusa store restore"),
            "{told}"
        );
        assert!(!told.contains("Error(") && !told.contains("panicked"), "no word of the program's inside: {told}");
    }
    let told = router.ok(&["store", "salvage", "salvaged"]);
    assert!(told.contains("lost: 1 groups of commits"), "{told}");
    std::fs::rename(router.path("data"), router.path("damaged")).unwrap();
    std::fs::rename(router.path("salvaged"), router.path("data")).unwrap();
    router.ok(&["run", "--until-idle"]);
    router.ok(&["store", "check"]);
}

#[test]
fn a_backup_of_a_running_router_is_restored_and_its_account_adds_up() {
    let mut router = settled();
    router.start();
    let used = router.run(&["store", "check"]);
    assert!(text(&used.stderr).contains("in use by process"), "{}", text(&used.stderr));
    router.write("more.jsonl", orders(50, 150));
    router.ok(&["send", "orders", "more.jsonl"]);
    router.ok(&["store", "backup", "backup"]);
    let again = router.run(&["store", "backup", "backup"]);
    assert_eq!((again.status.code(), text(&again.stderr).contains("not empty")), (Some(1), true));
    assert_eq!(router.signal("TERM"), 0);
    let refused = router.run(&["store", "restore", "backup"]);
    assert_eq!((refused.status.code(), text(&refused.stderr).contains("not empty")), (Some(1), true));
    std::fs::rename(router.path("data"), router.path("lost")).unwrap();
    router.ok(&["store", "restore", "backup"]);
    router.ok(&["store", "check"]);
    // Wherever the backup was taken, the route goes on from its position: each order is there, and each was counted once.
    router.ok(&["run", "--until-idle"]);
    assert_eq!(router.scan("orders").len(), 150);
    let account: Value = serde_json::from_str(&router.ok(&["audit", "--json"])).unwrap();
    assert!(account.to_string().contains("\"done\":150"), "{account}");
}

#[test]
fn a_store_of_format_1_needs_an_upgrade_and_a_later_one_another_program() {
    let router = settled();
    // What this program wrote without its numbers is what format 1 has.
    std::fs::remove_file(router.path("data/synced")).unwrap();
    router.write("data/format", "esclusa embedded store 1\n");
    let refused = router.run(&["run", "--until-idle"]);
    let told = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("esclusa store upgrade"), "{told}");
    assert!(router.ok(&["store", "upgrade"]).contains("50 items"));
    assert!(router.ok(&["store", "upgrade"]).contains("already"));
    router.ok(&["run", "--until-idle"]);
    assert_eq!(router.scan("orders").len(), 50);
}

#[test]
fn dead_letters_that_do_not_fit_wait_with_a_code() {
    let limited = ORDERS.replace("path = \"data\"", "path = \"data\"\nmax_dead_letters = 1");
    let mut router = Router::new(&limited);
    router.start();
    // Two orders without their key, and one with it.
    router.write("bad.jsonl", "{\"a\":1}\n{\"a\":2}\n{\"order_id\":\"good\"}\n");
    router.ok(&["send", "orders", "bad.jsonl"]);
    router.until("the route says why it waits", |router| {
        router.route("orders").is_some_and(|route| route.to_string().contains("store.dead-letters-full"))
    });
    let status = router.get("/api/v1/status").unwrap();
    assert_eq!(status["store"]["max_dead_letters"], 1);
    router.configure(&limited.replace("max_dead_letters = 1", "max_dead_letters = 10"));
    router.until("the route goes on", |router| {
        router.get("/api/v1/status").is_some_and(|status| status["store"]["dead_letters"] == 2)
    });
    router.until("the sound order is there", |router| router.scan("orders").len() == 1);
    assert!(router.ok(&["explain", "store.dead-letters-full"]).contains("max_dead_letters"));
}
