//! A disk that is full, or fails in the middle of a write: no event is acknowledged that is not stored. The router
//! names the problem, and goes on when there is space again, or ends.

use super::router::{Router, exchange};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const ORDERS: &str = r#"
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[listener.api]
listen = "127.0.0.1:0"
[source.requests]
kind = "http"
listener = "api"
endpoints = ["POST /requests"]
idempotency_key = "Idempotency-Key"
idempotency_ttl = "15s"
[source.orders]
kind = "stream"
[source.lines]
kind = "file"
path = "LINES"
follow = true
[table.orders]
kind = "embedded"
partition_key = "order_id"
[table.lines]
kind = "embedded"
partition_key = "order_id"
[[route]]
name = "requests"
source = "requests"
plugin = "PLUGINS/etl.wasm"
tables = ["orders"]
config = { table = "orders", key = { order_id = "{order_id}" } }
[[route]]
name = "orders"
source = "orders"
plugin = "PLUGINS/etl.wasm"
tables = ["orders"]
config = { table = "orders", key = { order_id = "{order_id}" } }
[[route]]
name = "lines"
source = "lines"
plugin = "PLUGINS/etl.wasm"
tables = ["lines"]
retry_backoff = { max = "1s" }
config = { table = "lines", key = { order_id = "{order_id}" } }
"#;

/// So many orders of a kilobyte each, numbered from `first` on.
fn orders(first: usize, count: usize) -> String {
    let note = "x".repeat(1000);
    (first..first + count).map(|n| format!("{{\"order_id\": \"{n}\", \"note\": \"{note}\"}}\n")).collect()
}

fn done(router: &Router, route: &str) -> u64 {
    router.route(route).and_then(|status| status["reading"]["counts"]["done"].as_u64()).unwrap_or_default()
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The variable that gives [`on_a_small_disk`] a directory on another disk.
const ELSEWHERE: &str = "ESCLUSA_SMALL_DISK_TEST";
/// Longer than the store waits before it flushes its memory to files, and than it keeps the answers to requests.
const QUIET: Duration = Duration::from_secs(18);

/// Not a test by itself: another test runs it with a disk of 320 MiB for temporary files.
#[test]
fn on_a_small_disk() {
    let Some(elsewhere) = std::env::var_os(ELSEWHERE).map(PathBuf::from) else { return };
    let lines = elsewhere.join("lines.jsonl");
    std::fs::write(&lines, orders(0, 10)).unwrap();
    let mut router = Router::new(&ORDERS.replace("LINES", &lines.display().to_string()));
    router.start();
    router.write("orders.jsonl", orders(0, 3000));
    router.ok(&["send", "orders", "orders.jsonl"]);
    let address = router.listener("api");
    // To forget them takes more than what is left of a page.
    for n in 0..300 {
        let answer =
            exchange(&address, "POST", "/requests", &[("idempotency-key", &n.to_string())], orders(0, 1).as_bytes())
                .expect("an answer");
        assert!(answer.status < 300, "{answer:?}");
    }
    let kept = Instant::now();
    router.until("there is space", |router| done(router, "orders") == 3000 && done(router, "lines") == 10);

    let ballast = fill(router.dir.path());
    std::fs::OpenOptions::new().append(true).open(&lines).unwrap().write_all(orders(10, 10).as_bytes()).unwrap();
    let refused = router.run(&["send", "orders", &lines.display().to_string()]);
    assert!(refused.status.code() == Some(1) && said(&refused).contains("is full"), "{}", said(&refused));
    router.until("the route says what is wrong", |router| {
        let error = router.route("lines").map(|status| status["reading"]["last_error"].clone()).unwrap_or_default();
        error["code"] == "engine.commit" && error["message"].as_str().is_some_and(|why| why.contains("is full"))
    });
    router
        .until("the route is unhealthy", |router| router.route("lines").unwrap()["health"]["code"] == "engine.commit");
    // The background work of the store, which forgets the answers, must not fail for good meanwhile.
    router.until("it was full for a while", |_| kept.elapsed() > QUIET);
    assert_eq!((done(&router, "lines"), router.scan("lines").len()), (10, 10));

    std::fs::remove_file(ballast).unwrap();
    router.until("it has gone on by itself", |router| done(router, "lines") == 20);
    router.until("the route is well", |router| router.route("lines").unwrap()["health"]["code"] == "ok");
    router.write("more.jsonl", orders(3000, 10));
    router.ok(&["send", "orders", "more.jsonl"]);
    router.until("it takes events again", |router| done(router, "orders") == 3010);
    assert_eq!(router.scan("orders").len(), 3010);
    assert!(router.ok(&["audit"]).contains("adds up"));
    assert_eq!(router.signal("TERM"), 0);
    assert!(router.run(&["audit"]).status.success());
    println!("all as it should be");
}

/// Fills the disk of a directory to the last byte; gives the file with which it is full.
fn fill(directory: &Path) -> PathBuf {
    let path = directory.join("ballast");
    let mut file = std::fs::File::create(&path).unwrap();
    for block in [1 << 20, 4096, 1] {
        let bytes = vec![0; block];
        while file.write(&bytes).is_ok_and(|written| written > 0) {}
    }
    assert!(std::fs::write(directory.join("one-more"), [0; 4096]).is_err(), "the disk is not full");
    std::fs::remove_file(directory.join("one-more")).unwrap();
    path
}

#[test]
fn a_full_disk_stops_nothing_for_longer_than_it_is_full() {
    let small = |run: &str| {
        let script = format!("mount -t tmpfs -o size=320m none \"$TMPDIR\" && {run}");
        let (disk, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", &script]).arg(std::env::current_exe().unwrap());
        command.env("TMPDIR", disk.path()).env(ELSEWHERE, elsewhere.path()).output()
    };
    // If users cannot mount disks on this machine, this test is skipped; the other test needs none.
    match small("true") {
        Ok(output) if output.status.success() => {}
        other => return eprintln!("not tried: no disk of its own can be mounted for a test: {other:?}"),
    }
    let output = small("exec \"$0\" --exact full::on_a_small_disk --nocapture").unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &said(&output);
    assert!(output.status.success() && printed.contains("all as it should be"), "{printed}");
}

#[test]
fn a_write_that_fails_midway_ends_the_router_and_loses_nothing() {
    let mut router = Router::new(&ORDERS.replace("LINES", "lines.jsonl"));
    router.write("lines.jsonl", "");
    // The limit of file sizes is little more than the size of a new journal of the store.
    router.wrap("trap '' XFSZ; ulimit -f 133120; exec \"$0\" \"$@\"", &["run"]);
    router.until_ready();
    router.write("orders.jsonl", orders(0, 3000));
    router.ok(&["send", "orders", "orders.jsonl"]);
    router.until("the orders are done", |router| done(router, "orders") == 3000);
    router.write("large.bin", vec![b'x'; 63 << 20]);
    let refused = router.run(&["send", "orders", "large.bin", "--raw"]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("stopped writing after an error of its disk"), "{}", said(&refused));
    assert_eq!(router.wait(), 1, "{}", router.log());
    assert!(router.log().contains("nothing acknowledged is lost: mend the disk"), "{}", router.log());
    // Opened again, the store has every acknowledged record and none that it refused.
    assert_eq!(router.scan("orders").len(), 3000);
    router.start();
    router.write("more.jsonl", orders(3000, 10));
    router.ok(&["send", "orders", "more.jsonl"]);
    router.until("it goes on", |router| done(router, "orders") == 3010);
    assert!(router.ok(&["audit"]).contains("adds up"));
    assert_eq!(router.ok(&["dlq", "ls", "--json"]), "");
}
