//! The page `docs/reference/limits.md`, made from the constants that the code enforces. A test compares the two; with
//! `ESCLUSA_BLESS` set it writes the page.

use crate::admin::{dead_letters, extract};
use crate::listener::{idempotency, rate_limit};
use crate::plugins::config_check;
use crate::wiring::http_source;
use esclusa_config::{show_duration, show_size};
use esclusa_flow::item::number;
use esclusa_flow::reads::{self, QueryResult};
use esclusa_flow::settings::Limits;
use esclusa_flow::{bounds, filter, verdict};
use esclusa_http::connections;
use esclusa_sandbox::{MAX_FILE, SandboxConfig, caps};
use std::fmt::Write;
use std::path::Path;

/// A row of the page: a quantity, its limit, and the consequence of exceeding it.
type Row = (&'static str, String, &'static str);

const HEAD: &str = include_str!("limits_page.md");

fn size(bytes: usize) -> String {
    show_size(bytes as u64)
}

/// A key of routes.toml with its type and its default, from the reference.
fn key(section: &str, name: &str) -> String {
    let reference = esclusa_config::reference();
    let (_, part) = reference.split_once(section).unwrap_or_else(|| panic!("no {section} in the reference"));
    let row = part.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
    let cells: Vec<&str> = row.unwrap_or_else(|| panic!("no {name} in {section}")).split(" | ").collect();
    format!("`{name}`: {}, default {}", cells[1], cells[2])
}

fn plugins() -> Vec<Row> {
    let config = SandboxConfig::default();
    vec![
        ("bytes of a plugin's file", size(MAX_FILE), "it is not loaded"),
        ("modules in a plugin", caps::MODULES.to_string(), "it is not loaded"),
        ("functions of a plugin", caps::FUNCTIONS.to_string(), "it is not loaded"),
        ("bytes of a function", size(caps::FUNCTION_BYTES), "it is not loaded"),
        ("locals of a function", caps::LOCALS.to_string(), "it is not loaded"),
        ("values alive at branches of a function", caps::LIVE_VALUES_OF_A_FUNCTION.to_string(), "`plugin::too_large`"),
        ("values alive at branches of a plugin", caps::LIVE_VALUES.to_string(), "`plugin::too_large`"),
        ("processor time to compile a plugin", show_duration(caps::COMPILE.time), "`plugin::compile_time`"),
        ("memory to compile a plugin", show_size(caps::COMPILE.memory), "`plugin::compile_memory`"),
        ("bytes of the schema of a plugin's configuration", size(caps::SCHEMA_BYTES), "`plugin::too_large`"),
        ("processor time to check a configuration", show_duration(config_check::BOUNDS.time), "`plugin::schema_time`"),
        ("memory to check a configuration", show_size(config_check::BOUNDS.memory), "`plugin::schema_memory`"),
        ("memory while a plugin is described", size(config.describe.memory), "it is not loaded"),
        ("time to describe a plugin", show_duration(config.describe.time), "it is not loaded"),
    ]
}

fn calls() -> Vec<Row> {
    let (limits, limit) = (Limits::default(), |name| key("Keys of `limits`:", name).replacen('`', "`limits.", 1));
    vec![
        ("memories and tables of an instance", limit("memory"), "`limit.memory`"),
        ("time of a call", limit("time"), "`limit.cpu` if it computed, `limit.time` if it waited"),
        ("effects of a call", limit("effects"), "`limit.effects`"),
        ("bytes that a call returns, or passes to a host function at once", limit("output"), "`limit.hostcall_bytes`"),
        ("bytes that a call logs", limit("logs"), "the rest is counted and left out"),
        ("bytes of a logged line", size(caps::LINE_BYTES), "it is cut"),
        ("lines that a plugin logs for a route at once", caps::LINES.to_string(), "the rest is counted and left out"),
        ("the same in a second beyond that", caps::LINES_PER_SECOND.to_string(), "the rest is counted and left out"),
        ("calls of host functions in a call", limits.host_calls.to_string(), "`limit.host_calls`"),
        ("bytes that host functions look at in a call", show_size(limits.host_bytes), "`limit.hostcall_bytes`"),
        ("host resources that an instance holds", caps::RESOURCES.to_string(), "the call fails: `plugin.trap`"),
        ("bytes of a failure's message", size(verdict::MESSAGE), "it is cut"),
        (
            "calls at the same time, all routes together",
            SandboxConfig::default().most_running().to_string(),
            "further ones wait; a fifth is kept for routes that have none running, and one route has at most half of the rest",
        ),
    ]
}

fn effects() -> Vec<Row> {
    vec![
        ("bytes of an item, names and values", size(bounds::ITEM_BYTES), "`limit.item`"),
        ("attributes of an item or a message", bounds::ATTRIBUTES.to_string(), "`limit.item`"),
        ("changes of an update", bounds::CHANGES.to_string(), "`limit.item`"),
        ("comparisons of a guard", bounds::COMPARISONS.to_string(), "`limit.item`"),
        (
            "bytes that a commit reads, compares and makes",
            show_size(esclusa_embedded::COMMIT_STEPS),
            "it is split; then `limit.commit`",
        ),
        ("comparisons of a query", bounds::COMPARISONS.to_string(), "the read answers `invalid`"),
        ("bytes that a query finds", size(QueryResult::MOST), "the read answers `invalid`"),
        ("keys of a read of many items", reads::KEYS.to_string(), "the read answers `invalid`"),
        ("items of a page of a scan, objects of a page of a list", reads::PAGE.to_string(), "the next page has them"),
        ("bytes of a page of a scan", size(reads::PAGE_BYTES), "about: the item that passes it is the last one"),
        ("bytes that a read of an object gives", size(reads::READ_BYTES), "the read answers `invalid`: read a part"),
        ("digits of a number", number::MAX_DIGITS.to_string(), "`effect.refused`"),
        ("bytes of a partition key", esclusa_embedded::PARTITION_LIMIT.to_string(), "`effect.refused`"),
        ("bytes of a sort key", esclusa_embedded::SORT_LIMIT.to_string(), "`effect.refused`"),
    ]
}

fn events() -> Vec<Row> {
    let route = |name| key("## `[[route]]`", name);
    vec![
        ("events of a batch", route("batch_size"), "the next batch has them"),
        ("bytes of a batch", route("batch_bytes"), "a larger event is a batch alone"),
        ("batches of a route in work", route("concurrency"), "others wait"),
        ("calls for one batch", route("parallelization_factor"), "others wait"),
        ("bytes of a route's events in flight", route("in_flight"), "the source is not read past it"),
        (
            "bytes of a line of a file",
            size(esclusa_embedded::LONGEST_LINE),
            "the source is not read further, and the route says so",
        ),
        ("nesting of a filter's pattern", filter::MAX_DEPTH.to_string(), "`routes.toml` is refused"),
        ("fields and values of a filter's pattern", filter::MAX_SIZE.to_string(), "`routes.toml` is refused"),
    ]
}

fn requests() -> Vec<Row> {
    let patience = connections::PATIENCE;
    vec![
        (
            "connections at once",
            connections::MOST.to_string(),
            "the oldest idle one is closed for a new one; an eighth as many more serve health and metrics only; fewer if the limit of open files is low",
        ),
        ("time for headers, or for the next piece of a body", show_duration(patience), "408, or the end"),
        ("time for a whole body", show_duration(patience * connections::WHOLE), "408"),
        ("bytes of a body for `/ingest`", key("### `kind = \"http\"`", "max_body"), "413"),
        ("bytes of a body for the API", size(extract::BODY), "413"),
        ("dead letters of an answer", dead_letters::MOST.to_string(), "ask again with `after`"),
        ("requests that wait for a plugin's reply, of a source", http_source::WAITING.to_string(), "503"),
        ("their bytes", size(http_source::BYTES), "503"),
        (
            "connections of a listener at once",
            key("## `[listener.NAME]`", "max_connections"),
            "the oldest idle one is closed for a new one, else 503",
        ),
        (
            "requests of a connection of HTTP/2 at once",
            connections::STREAMS.to_string(),
            "further ones are refused unread; clients send them again",
        ),
        ("bytes of a request's headers", size(connections::BUFFER), "431"),
        ("bytes of a request's headers in HTTP/2", show_size(connections::HEADER_LIST.into()), "431"),
        ("bytes of a body on a listener, also decoded", key("### `kind = \"http\"`", "max_body"), "413"),
        ("bytes of an idempotency key", idempotency::KEY.to_string(), "400"),
        ("clients with a rate of their own, of a source", rate_limit::CLIENTS.to_string(), "further ones share one"),
    ]
}

fn store() -> Vec<Row> {
    vec![(
        "space that is left on the disk",
        show_size(esclusa_embedded::RESERVE),
        "the router takes no more events until there is more",
    )]
}

fn page() -> String {
    let parts = [
        ("Plugins", plugins()),
        ("A call of a plugin", calls()),
        ("Effects and reads", effects()),
        ("Events", events()),
        ("Requests", requests()),
        ("The store", store()),
    ];
    let mut page = format!("{HEAD}\n| what | at most | more than that |\n|---|---|---|\n");
    for (title, rows) in parts {
        writeln!(page, "| **{title}** | | |").unwrap();
        for (what, most, then) in rows {
            writeln!(page, "| {what} | {most} | {then} |").unwrap();
        }
    }
    page
}

#[test]
fn the_page_of_limits_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/limits.md");
    if std::env::var_os("ESCLUSA_BLESS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == page(), "docs/reference/limits.md is stale: ESCLUSA_BLESS=1 cargo test -p esclusa limits");
}
