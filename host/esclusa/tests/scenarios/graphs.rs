//! Reloads from one graph of routes to another: any to any, and those of which a part cannot be put in force.

use super::router::{Router, plugins};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const HEAD: &str = "version = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n[engine]\npath = \"data\"\n";

/// Numbers that look random, and are the same in every run.
struct Draws(u64);

impl Draws {
    fn below(&mut self, limit: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// The routes by their names: the source that each reads, and its plugin.
type Routes = BTreeMap<String, (String, &'static str)>;

/// A configuration, with its routes: some of five, over sources whose settings change, of which some read what others write, with keys
/// that change. One in six has a mistake: `None`.
fn drawn(draws: &mut Draws) -> (String, Option<Routes>) {
    let mut text = HEAD.to_owned();
    let hot = draws.below(2);
    for source in 0..3 {
        text += &format!("[source.ticks{source}]\nkind = \"generate\"\ninterval = \"1ms\"\nper_tick = {}\n", 1 + hot);
        text += "count = 40\nevent = { day = \"d\", one = 1 }\n";
    }
    text += "[output.middle]\nkind = \"stream\"\n[source.middle]\nkind = \"stream\"\n";
    for table in 0..2 {
        text += &format!("[table.t{table}]\nkind = \"embedded\"\npartition_key = \"day\"\n");
        if draws.below(2) == 0 {
            text += "indexes.by-events = { partition_key = \"day\", sort_key = \"events\" }\n";
        }
    }
    let mut routes = Routes::new();
    for route in 0..5 {
        if draws.below(3) == 0 {
            continue;
        }
        let (source, table, size) = (draws.below(4), draws.below(2), 1 + draws.below(3) * 10);
        let source = if source == 3 { "middle".to_owned() } else { format!("ticks{source}") };
        let enabled = draws.below(5) > 0;
        text += &format!(
            "[[route]]\nname = \"r{route}\"\nsource = \"{source}\"\nbatch_size = {size}\nenabled = {enabled}\n"
        );
        let plugin = if route == 4 && source != "middle" { "alert.wasm" } else { "aggregate.wasm" };
        text += &format!("plugin = \"PLUGINS/{plugin}\"\n");
        text += &match plugin {
            "alert.wasm" => {
                let rule = "{ name = \"all\", output = \"middle\", message = \"{day}\" }";
                format!("outputs = [\"middle\"]\nconfig = {{ rule = [{rule}] }}\n")
            }
            _ => {
                let config = format!("table = \"t{table}\", key = {{ day = \"{{day}}\" }}, count = \"events\"");
                format!("tables = [\"t{table}\"]\nconfig = {{ {config} }}\n")
            }
        };
        routes.insert(format!("r{route}"), (source, plugin));
    }
    if draws.below(6) == 0 {
        text += "[[route]]\nname = \"bad\"\nsource = \"nowhere\"\nplugin = \"PLUGINS/etl.wasm\"\n";
        return (text, None);
    }
    (text, Some(routes))
}

/// The routes that run, as the status shows them.
fn routes(router: &Router) -> BTreeMap<String, (String, String)> {
    let status = router.get("/api/v1/status").unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let plugin = |route: &Value| text(&route["plugin"]["path"]).rsplit('/').next().unwrap().to_owned();
    let of = |route: &Value| (text(&route["name"]), (text(&route["source"]), plugin(route)));
    status["routes"].as_array().unwrap().iter().map(of).collect()
}

fn reload(router: &Router) -> (u16, String) {
    let (status, answer) = router.request("POST", "/api/v1/reload", &[], b"").unwrap();
    (status, String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn any_graph_of_routes_can_follow_any_other_one() {
    let mut draws = Draws(7);
    let (mut router, mut running) = loop {
        if let (text, Some(routes)) = drawn(&mut draws) {
            break (Router::new(&text), routes);
        }
    };
    router.start();
    let mut refused = 0;
    for round in 0..24 {
        let (text, drawn) = drawn(&mut draws);
        router.configure(&text);
        let (status, answer) = reload(&router);
        assert_eq!(status == 200, drawn.is_some(), "round {round}: {answer}\n{text}");
        refused += usize::from(drawn.is_none());
        running = drawn.unwrap_or(running);
        let expected =
            running.iter().map(|(name, (source, plugin))| (name.clone(), (source.clone(), plugin.to_string())));
        assert_eq!(routes(&router), expected.collect(), "round {round}: {answer}\n{text}");
        for account in router.get("/api/v1/audit").unwrap().as_array().unwrap() {
            assert_eq!(account["problems"], json!([]), "round {round}: {account}\n{text}");
        }
    }
    assert!(refused > 0, "one of the configurations has a mistake");
    assert_eq!(router.signal("TERM"), 0, "{}", router.log());
    router.ok(&["audit"]);
}

/// Two routes on two plugins of their own, over tables of which one may have an index.
fn two(size: u32, index: &str) -> String {
    let route = |name: &str| {
        format!(
            "[source.{name}]\nkind = \"stream\"\n[table.{name}]\nkind = \"embedded\"\npartition_key = \"id\"\n{index}\n\
             [[route]]\nname = \"{name}\"\nsource = \"{name}\"\nplugin = \"{name}.wasm\"\ntables = [\"{name}\"]\nbatch_size = {size}\n\
             config = {{ table = \"{name}\", key = {{ id = \"{{id}}\" }} }}\n"
        )
    };
    format!("{HEAD}{}{}", route("one"), route("two"))
}

/// What the routes run, apart from their counts.
fn in_force(router: &Router) -> Vec<(Value, Value, Value)> {
    let of = |name: &str| {
        let route = router.route(name).unwrap();
        (route["plugin"]["digest"].clone(), route["plugin"]["since"].clone(), route["state"].clone())
    };
    vec![of("one"), of("two")]
}

fn send(router: &mut Router, id: &str) {
    router.write("event.jsonl", format!("{{\"id\": \"{id}\", \"shape\": \"\"}}\n"));
    for name in ["one", "two"] {
        router.ok(&["send", name, "event.jsonl"]);
        router.until("the route goes on", |r| {
            r.scan(name).iter().any(|item| item["id"] == id) && r.route(name).is_some_and(|r| r["state"] == "running")
        });
    }
}

#[test]
fn a_reload_of_which_a_part_cannot_be_put_in_force_changes_nothing() {
    let mut router = Router::new(&two(10, ""));
    for name in ["one.wasm", "two.wasm"] {
        router.write(name, std::fs::read(plugins().join("etl.wasm")).unwrap());
    }
    router.start();
    send(&mut router, "a");
    // A new file beside the one in use, so that nothing but the configuration changes: the first of the two routes could be put in
    // force, the second has a plugin that is none.
    router.deploy("broken.wasm", b"not wasm at all");
    let before = in_force(&router);
    router.configure(&two(20, "").replace("plugin = \"two.wasm\"", "plugin = \"broken.wasm\""));
    let (status, answer) = reload(&router);
    assert!(status != 200 && answer.contains("plugin::invalid") && answer.contains("broken.wasm"), "{answer}");
    assert_eq!(in_force(&router), before, "nothing was restarted");
    // Both routes have to stop for the index of a table, and then it cannot be built: an item has no text to be found by.
    router.configure(&two(20, "indexes.by-shape = { partition_key = \"shape\" }"));
    let (status, answer) = reload(&router);
    assert!(status != 200 && answer.contains("by-shape"), "{answer}");
    send(&mut router, "b");
    let digests = |routes: Vec<(Value, Value, Value)>| routes.into_iter().map(|route| route.0).collect::<Vec<_>>();
    assert_eq!(digests(in_force(&router)), digests(before));
    router.configure(&two(20, ""));
    let (status, answer) = reload(&router);
    assert!(status == 200 && answer.contains("restarted one, two"), "{answer}");
    send(&mut router, "c");
    assert_eq!(router.signal("TERM"), 0);
}
