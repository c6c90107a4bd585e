//! The log of a running router: a failure that comes again and again takes one line, and is counted.

use super::router::Router;

/// Every event is a batch of its own, and is given up. The other route logs each event.
const ROUTES: &str = r#"
version = 1
[admin]
listen = "127.0.0.1:0"
[engine]
path = "data"
[source.bad]
kind = "stream"
[table.items]
kind = "embedded"
partition_key = "id"
[[route]]
name = "rejects"
source = "bad"
plugin = "PLUGINS/etl.wasm"
tables = ["items"]
batch_size = 1
config = { table = "items", key = { id = "{no.such.field}" } }
"#;

const EVENTS: usize = 300;

/// The number in a field of a line.
fn number(line: &str, field: &str) -> usize {
    let rest = line.split_once(&format!("{field}=")).unwrap_or_else(|| panic!("no {field} in {line}")).1;
    rest.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_failure_of_every_event_is_one_line_and_a_count() {
    let router = Router::new(ROUTES);
    let events: String = (0..EVENTS).map(|n| format!("{{\"n\": {n}}}\n")).collect();
    router.write("events.jsonl", events);
    router.ok(&["send", "bad", "events.jsonl"]);
    let output = router.run(&["run", "--until-idle"]);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    let dead = router.ok(&["audit", "--json"]);
    assert!(dead.contains(&format!("\"dead\":{EVENTS}")), "{dead}");
    let (counted, written): (Vec<&str>, Vec<&str>) =
        log.lines().filter(|line| line.contains("given up;")).partition(|line| line.contains("the same again"));
    let [first] = written[..] else { panic!("{} lines of the same:\n{log}", written.len()) };
    assert!(
        first.contains("ERROR") && first.contains("route=rejects") && first.contains("code=\"rejected\""),
        "{first}"
    );
    // The rest is told once an interval, at the latest when the router ends.
    assert!((1..=2).contains(&counted.len()), "{log}");
    for line in &counted {
        assert!(
            line.contains("ERROR") && line.contains("route=rejects code=rejected") && line.contains("last="),
            "{line}"
        );
    }
    assert_eq!(counted.iter().map(|line| number(line, "sum")).sum::<usize>(), EVENTS - 1, "{counted:?}");
}

#[test]
fn an_update_of_a_configmap_is_one_line() {
    // As the kubelet does it: a link to a directory is renamed over the old one, whose directory is then deleted.
    let mut router = Router::new("");
    let routes = ROUTES.replace("PLUGINS", &super::router::plugins().display().to_string());
    let update = |router: &Router, number: usize| {
        let directory = format!("..v{number}");
        std::fs::create_dir(router.path(&directory)).unwrap();
        let routes = routes.replace("batch_size = 1", &format!("batch_size = {}", number + 1));
        router.write(&format!("{directory}/routes.toml"), routes);
        std::os::unix::fs::symlink(&directory, router.path("..data_tmp")).unwrap();
        std::fs::rename(router.path("..data_tmp"), router.path("..data")).unwrap();
        if number > 0 {
            std::fs::remove_dir_all(router.path(&format!("..v{}", number - 1))).unwrap();
        }
    };
    update(&router, 0);
    std::fs::remove_file(router.path("routes.toml")).unwrap();
    std::os::unix::fs::symlink("..data/routes.toml", router.path("routes.toml")).unwrap();
    router.start();
    // The last line of a start; the router answers that it is ready before.
    router.until("the start is in the log", |router| router.log().contains("a stop takes at most"));
    let before = router.log().lines().count();
    for number in 1..4 {
        update(&router, number);
        // Watches of deleted directories are given up with the change after it at the latest.
        router.until("the update is in force", |router| router.log().matches("reloaded").count() >= number);
    }
    let said: Vec<String> = router.log().lines().skip(before).map(str::to_owned).collect();
    assert!(said.iter().all(|line| line.contains("reloaded")) && said.len() == 3, "{said:#?}");
}
