//! Files of plugins that change under a running router in every way that files change: it takes each whole version once, and a version
//! that cannot serve changes nothing.

use super::router::{Router, guests, mannered, plugins, variant};
use serde_json::Value;
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const ROUTES: &str = r#"
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[source.records]
kind = "stream"
[table.records]
kind = "embedded"
partition_key = "id"
[[route]]
name = "records"
source = "records"
plugin = "FILE"
tables = ["records"]
config = { table = "records", key = { id = "{id}" } }
"#;

/// The reloads that succeeded, or those that failed.
fn reloads(router: &Router, ok: bool) -> Vec<Value> {
    let status = router.get("/api/v1/status").unwrap();
    status["reloads"].as_array().unwrap().iter().filter(|reload| reload["ok"] == ok).cloned().collect()
}

fn digest(router: &Router) -> String {
    router.route("records").unwrap()["plugin"]["digest"].as_str().unwrap().to_owned()
}

/// The digest of a file, as the command line tells it.
fn digest_of(router: &Router, bytes: &[u8]) -> String {
    router.deploy("inspected.wasm", bytes);
    let told = router.ok(&["plugin", "inspect", "inspected.wasm", "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    told["sha256"].as_str().unwrap().to_owned()
}

/// Sends a record, and waits until it is an item.
fn works(router: &mut Router, id: &str) {
    router.write("records.jsonl", format!("{{\"id\": \"{id}\"}}\n"));
    router.ok(&["send", "records", "records.jsonl"]);
    router.until("the record is an item", |router| router.scan("records").iter().any(|item| item["id"] == id));
}

/// Waits for the next reload that succeeds: it is the only one since the last, and the new content serves.
fn swapped(router: &mut Router, bytes: &[u8], count: usize) {
    let expected = digest_of(router, bytes);
    router.until("the new content serves", |router| digest(router) == expected);
    router.until("its reload is told", |router| reloads(router, true).len() >= count);
    assert_eq!(reloads(router, true).len(), count, "each content is one reload");
}

#[test]
fn each_new_content_is_one_swap_however_it_gets_there() {
    let mut router = Router::new(&ROUTES.replace("FILE", "files/etl.wasm"));
    let version = |n: usize| variant("etl.wasm", &format!("version {n}"));
    let files = router.path("files");
    let store = |version: &str, bytes: &[u8]| {
        std::fs::create_dir_all(files.join(version)).unwrap();
        std::fs::write(files.join(version).join("etl.wasm"), bytes).unwrap();
    };
    store("first", &version(0));
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, files.join(name)).unwrap();
    link("first", "..data");
    link("..data/etl.wasm", "etl.wasm");
    router.start();
    assert_eq!(digest(&router), digest_of(&router, &version(0)));

    // As a ConfigMap changes.
    store("second", &version(1));
    link("second", "..next");
    std::fs::rename(files.join("..next"), files.join("..data")).unwrap();
    swapped(&mut router, &version(1), 1);

    // Renamed over, by an ordinary file.
    router.write("new", version(2));
    std::fs::rename(router.path("new"), router.path("files/etl.wasm")).unwrap();
    swapped(&mut router, &version(2), 2);

    // Cut to nothing and written in pieces, over two seconds. Each piece alone is no plugin.
    let bytes = version(3);
    let mut file = File::create(router.path("files/etl.wasm")).unwrap();
    for piece in bytes.chunks(bytes.len() / 100) {
        file.write_all(piece).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(file);
    swapped(&mut router, &version(3), 3);

    // Written again with the same bytes, deleted, and made again with others.
    router.write("files/etl.wasm", version(3));
    std::fs::remove_file(router.path("files/etl.wasm")).unwrap();
    works(&mut router, "without a file");
    router.write("files/etl.wasm", version(4));
    swapped(&mut router, &version(4), 4);

    // The directory goes, and comes back.
    std::fs::remove_dir_all(router.path("files")).unwrap();
    std::fs::create_dir(router.path("files")).unwrap();
    router.write("files/etl.wasm", version(5));
    swapped(&mut router, &version(5), 5);
    works(&mut router, "at the end");
    assert_eq!(router.signal("TERM"), 0);
}

#[test]
fn a_file_that_is_rewritten_a_hundred_times_a_second_is_compiled_by_one_child_at_a_time_and_ends_as_its_last_content() {
    const REWRITES: usize = 150;
    let mut router = Router::new(&ROUTES.replace("FILE", "etl.wasm"));
    router.deploy("etl.wasm", variant("etl.wasm", "at first"));
    router.start();
    let (path, done, most) = (router.path("etl.wasm"), AtomicBool::new(false), AtomicUsize::new(0));
    let version = |n: usize| variant("etl.wasm", &format!("rewrite {n}"));
    let looks = std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..REWRITES {
                // In turn as a new file over the old one, and in place.
                let to = if n % 2 == 0 { path.with_extension("new") } else { path.clone() };
                std::fs::write(&to, version(n)).unwrap();
                if n % 2 == 0 {
                    std::fs::rename(&to, &path).unwrap();
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            done.store(true, Ordering::SeqCst);
        });
        let mut looks = 0;
        while !done.load(Ordering::SeqCst) {
            most.fetch_max(router.children().len(), Ordering::SeqCst);
            assert!(router.get("/livez").is_some(), "{}", router.log());
            looks += 1;
        }
        looks
    });
    let last = digest_of(&router, &version(REWRITES - 1));
    router.until("the last content serves", |router| {
        most.fetch_max(router.children().len(), Ordering::SeqCst);
        digest(router) == last
    });
    assert!(looks > 10 && most.load(Ordering::SeqCst) <= 1, "{most:?} children at a time, seen by {looks} looks");
    assert!(router.log().matches("compiling a plugin").count() < REWRITES / 3, "{}", router.log());
    works(&mut router, "after all");
    assert_eq!(router.signal("TERM"), 0);
}

#[test]
fn a_version_that_traps_or_refuses_before_it_serves_changes_nothing_and_says_why() {
    let hostile =
        ROUTES.replace("FILE", "hostile.wasm").replace("tables = [\"records\"]", "limits = { time = \"1s\" }");
    let config = "config = { table = \"records\", key = { id = \"{id}\" } }";
    let mut router = Router::new(&hostile.replace(
        config,
        "config = { do = \"echo\" }\noutputs = [\"out\"]\n[output.out]\nkind = \"file\"\npath = \"out\"",
    ));
    router.deploy("hostile.wasm", mannered(b'0'));
    router.start();
    let first = digest(&router);
    let echoes = |router: &Router| std::fs::read_to_string(router.path("out")).unwrap_or_default().lines().count();
    for (round, (manner, why)) in [
        (b'1', "this version does not describe itself"),
        (b'2', "this version does not begin"),
        (b'3', "this version wants another configuration"),
        (b'4', "limit.cpu"),
    ]
    .into_iter()
    .enumerate()
    {
        router.deploy("hostile.wasm", mannered(manner));
        router.until("the version is refused", |router| reloads(router, false).len() > round);
        let told = reloads(&router, false)[0]["message"].as_str().unwrap().to_owned();
        assert!(told.contains(why) && told.contains("route records"), "{told}");
        assert_eq!(digest(&router), first);
        router.write("records.jsonl", format!("{{\"id\": \"{round}\"}}\n"));
        router.ok(&["send", "records", "records.jsonl"]);
        router.until("the old version serves", |router| echoes(router) == round + 1);
    }
    assert_eq!(reloads(&router, true).len(), 0);
    // One that begins and then traps in its first call takes over: its events are dead letters, and the next version takes over, too.
    router.deploy("hostile.wasm", mannered(b'5'));
    router.until("it serves", |router| digest(router) != first);
    router.deploy("hostile.wasm", mannered(b'0'));
    router.until("the first version serves again", |router| digest(router) == first);
    assert_eq!(router.signal("TERM"), 0);
}

#[test]
fn a_file_with_another_digest_than_the_pinned_one_is_neither_compiled_nor_run() {
    let good = std::fs::read(plugins().join("etl.wasm")).unwrap();
    let mut router = Router::new("");
    let pinned = digest_of(&router, &good);
    let routes = |plugin: &str| {
        let plugin = format!("{plugin}\"\nsha256 = \"{pinned}");
        ROUTES.replace("FILE", &plugin)
    };
    router.configure(&routes("etl.wasm"));
    // It would trap in `describe`.
    router.deploy("etl.wasm", mannered(b'1'));
    let refused = router.run(&["run"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(78), "{told}");
    assert!(told.contains("plugin::digest_mismatch") && told.contains(&pinned), "{told}");
    assert!(!told.contains("compiling") && !told.contains("describe"), "{told}");

    router.deploy("etl.wasm", &good);
    router.start();
    let compiled = router.log().matches("compiling a plugin").count();
    for (round, bytes) in
        [mannered(b'1'), variant("etl.wasm", "another"), guests_bytes("probe.wasm")].iter().enumerate()
    {
        router.deploy("etl.wasm", bytes);
        router.until("the file is refused", |router| reloads(router, false).len() > round);
        let told = reloads(&router, false)[0]["message"].as_str().unwrap().to_owned();
        assert!(told.contains("the route pins") && told.contains(&pinned), "{told}");
        assert_eq!(digest(&router), pinned);
    }
    assert_eq!(router.log().matches("compiling a plugin").count(), compiled, "{}", router.log());
    works(&mut router, "with the old one");
    // A new configuration with another pin and this very file, once it is the pinned one.
    let other = variant("etl.wasm", "another");
    router.deploy("etl.wasm", &other);
    router.configure(&routes("etl.wasm").replace(&pinned, &digest_of(&router, &other)));
    router.until("the file is taken", |router| digest(router) != pinned);
    works(&mut router, "with the new one");
    assert_eq!(router.signal("TERM"), 0);
}

fn guests_bytes(file: &str) -> Vec<u8> {
    std::fs::read(guests().join(file)).unwrap()
}
