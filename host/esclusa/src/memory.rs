//! The limits of the memory of a router: each part that grows with input from outside, and their sum, as `esclusa
//! validate --limits` prints them.
//!
//! The amounts are the constants that the code enforces, never copies of them. `scripts/hostile.sh` compares the sum
//! with the peak of a router under attack, and so finds a part that is missing here.

#[cfg(test)]
mod limits_page;

use crate::listener::{self, rate_limit};
use crate::plugins::config_check;
use crate::wiring::http_source;
use esclusa_config::plan::{Instances, Plan, RouteSpec, Source};
use esclusa_flow::reads::QueryResult;
use esclusa_http::{bodies, connections, work_limits};
use esclusa_sandbox::{KEEP_RESIDENT, STACK, SandboxConfig, caps};
use serde::Serialize;
use std::collections::BTreeSet;

/// Memory of an idle router: program, threads, tables of names.
const IDLE: u64 = 96 << 20;
/// Compiled code with its metadata, as a multiple of the size of a plugin's file.
const CODE: u64 = 4;
/// The allocator keeps pages for reuse: one for this many in use.
const KEPT_BY_ALLOCATOR: u64 = 4;

/// During a commit a call output is in memory twice: as effects, and as the writes that they become.
const HELD: u64 = 2;

/// A part of the memory.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct MemoryPart {
    /// Its name.
    pub name: String,
    /// Most bytes that it takes.
    pub bytes: u64,
    /// How that is reckoned.
    pub why: String,
}

/// The memory of a router.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct MemoryAccount {
    /// Most bytes that the process takes.
    pub sum: u64,
    /// Its parts.
    pub parts: Vec<MemoryPart>,
    /// The parts of child processes, which the sum does not have.
    pub beside: Vec<MemoryPart>,
}

impl MemoryAccount {
    /// The account of a configuration.
    #[must_use]
    pub(crate) fn of(plan: &Plan) -> Self {
        let mut parts = vec![part("idle router", IDLE, "program and threads"), code(plan)];
        parts.extend(guests(&plan.routes));
        parts.extend(plan.routes.iter().flat_map(|route| events(route, plan)));
        parts.push(store());
        parts.extend(plan.admin.iter().flat_map(|_| admin(plan)));
        parts.extend(listeners(plan));
        let used = parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.bytes));
        let kept = used / KEPT_BY_ALLOCATOR;
        parts.push(part("allocator", kept, "pages that are kept for reuse: a quarter of what is in use"));
        MemoryAccount { sum: used.saturating_add(kept), parts, beside: beside() }
    }
}

fn part(name: impl Into<String>, bytes: u64, why: impl Into<String>) -> MemoryPart {
    MemoryPart { name: name.into(), bytes, why: why.into() }
}

/// Compiled plugins. A file that cannot be read counts nothing: it cannot be loaded either.
fn code(plan: &Plan) -> MemoryPart {
    let files: BTreeSet<_> = plan.routes.iter().map(|route| &route.plugin).collect();
    let bytes = files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|file| file.len()).sum::<u64>();
    part("code of plugins", bytes.saturating_mul(CODE), format!("{} plugin(s), {CODE} times their files", files.len()))
}

/// The memory of calls that run at the same time.
fn guests(routes: &[RouteSpec]) -> Vec<MemoryPart> {
    let instances = SandboxConfig::default().instances as usize;
    let mut calls: Vec<&RouteSpec> = routes.iter().flat_map(|route| vec![route; at_once(route, instances)]).collect();
    // The sandbox runs `most_running` calls at a time: in the worst case those with the most memory.
    calls.sort_by_key(|route| std::cmp::Reverse(route.limits.memory));
    let sum = |of: fn(&RouteSpec) -> u64, calls: &[&RouteSpec]| {
        calls.iter().fold(0_u64, |sum, route| sum.saturating_add(of(route)))
    };
    let running = calls.get(..SandboxConfig::default().most_running() as usize).unwrap_or(&calls);
    let memory = sum(|route| (route.limits.memory + STACK) as u64, running);
    let outputs = sum(|route| (route.limits.output_bytes as u64).saturating_mul(HELD), &calls);
    let reads = sum(|route| if may_read(route) { QueryResult::MOST as u64 } else { 0 }, running);
    let why = format!("{} call(s) at a time: limits.memory and a stack each", running.len());
    vec![
        part("guests", memory, why),
        part("outputs of calls", outputs, format!("{} call(s): {HELD} times limits.output each", calls.len())),
        part("answers to reads", reads, "an answer for each call that may read tables or objects"),
        kept(routes, instances),
    ]
}

fn may_read(route: &RouteSpec) -> bool {
    !(route.grants.tables.is_empty() && route.grants.read_objects.is_empty())
}

/// Calls of a route at the same time: one route has at most half of the permits to run.
fn at_once(route: &RouteSpec, instances: usize) -> usize {
    route.concurrency.saturating_mul(route.parallelization_factor).min(instances / 2).max(1)
}

/// Instances that are kept for reuse, of all routes together, and the slots of ended instances, whose pages stay
/// resident.
fn kept(routes: &[RouteSpec], instances: usize) -> MemoryPart {
    let reused = |route: &RouteSpec| match route.instances {
        Instances::Fresh => None,
        Instances::Reuse { memory_high_water, .. } => Some((memory_high_water + STACK) as u64),
    };
    let largest = routes.iter().filter_map(reused).max().unwrap_or_default();
    let warm = (KEEP_RESIDENT as u64).max(largest);
    part("instances kept", warm.saturating_mul(instances as u64), format!("{instances} of {} KiB", warm >> 10))
}

/// Events that a route has received from its source, and the buffers of that source.
fn events(route: &RouteSpec, plan: &Plan) -> Vec<MemoryPart> {
    let name = |what: &str| format!("route {}: {what}", route.name);
    let in_flight = route.in_flight_bytes as u64;
    let mut parts = vec![part(name("events in flight"), in_flight, "in_flight")];
    match plan.sources.get(&route.source) {
        Some(Source::File { .. }) => {
            let line = esclusa_embedded::LONGEST_LINE as u64;
            parts.push(part(name("the line being read"), line, "longest line of a file"));
        }
        Some(Source::Kinesis { .. } | Source::DynamodbStream { .. } | Source::Sqs { .. } | Source::Kafka { .. }) => {
            parts.push(part(name("read ahead"), in_flight, "as much again as in_flight"));
        }
        Some(Source::Http { reply: true, .. }) => {
            parts.push(part(name("requests that wait"), http_source::BYTES as u64, "until the plugin replies"));
        }
        _ => {}
    }
    parts
}

/// The embedded engine: the cache of its database, and the groups of commits that are gathered and written.
fn store() -> MemoryPart {
    // A commit counts a step for each byte that it reads or makes.
    let commits = 2 * esclusa_embedded::GROUP_BYTES as u64 + esclusa_embedded::COMMIT_STEPS;
    part("store", esclusa_embedded::MEMORY.saturating_add(commits), "cache, memtables, commits being made and written")
}

/// The listener: buffers of connections, bodies with their copies, answers that clients have not taken.
fn admin(plan: &Plan) -> Vec<MemoryPart> {
    let most = connections::ConnectionLimits::of_files();
    let most = most.ordinary.saturating_add(most.reserve) as u64;
    let connection = 2 * connections::BUFFER as u64;
    vec![
        part("connections", most.saturating_mul(connection), format!("{most} of {} KiB", connection >> 10)),
        part("bodies", bodies_with_copies(plan, false), "bodies of requests, with their copies"),
        part("answers", work_limits::UNTAKEN as u64, "answers that their clients have not taken"),
    ]
}

/// Bodies of requests, to listeners or to `/ingest`: within their budget, or a larger one alone.
fn bodies_with_copies(plan: &Plan, of_listeners: bool) -> u64 {
    let sizes = plan.sources.values().filter_map(|source| match source {
        Source::Http { on, max_body, .. } => (on.is_some() == of_listeners).then_some(*max_body),
        _ => None,
    });
    bodies::most(sizes.max().unwrap_or_default()) as u64
}

/// The listeners: buffers of connections, and for all of them together bodies, answers, and the accounts of clients.
fn listeners(plan: &Plan) -> Vec<MemoryPart> {
    if plan.listeners.is_empty() {
        return Vec::new();
    }
    // A connection of HTTP/2 has more than one of HTTP/1.1: what it was sent ahead, and headers and answers of each of its
    // requests.
    let request = u64::from(connections::HEADER_LIST) + connections::SEND_BUFFER as u64;
    let connection = u64::from(connections::WINDOW) + u64::from(connections::STREAMS) * request;
    let mut parts: Vec<MemoryPart> = Vec::new();
    for (name, listener) in &plan.listeners {
        let most = listener.max_connections.min(connections::ConnectionLimits::most_by_files());
        let most = most.saturating_add(listener::RESERVE) as u64;
        let why = format!("{most} of {} KiB, as max_connections allows", connection >> 10);
        parts.push(part(format!("listener {name}: connections"), most.saturating_mul(connection), why));
    }
    let limited = plan
        .sources
        .values()
        .filter(|source| matches!(source, Source::Http { on: Some(on), .. } if on.per_client.is_some()));
    let accounts = (rate_limit::CLIENTS * rate_limit::CLIENT) as u64;
    parts.push(part("listeners: bodies", bodies_with_copies(plan, true), "bodies of requests, with their copies"));
    parts.push(part("listeners: answers", work_limits::UNTAKEN as u64, "answers that their clients have not taken"));
    let accounts = accounts.saturating_mul(limited.count() as u64);
    parts.push(part("listeners: clients", accounts, "accounts of sources with rate_limit.per_client"));
    parts
}

/// The memory of child processes.
fn beside() -> Vec<MemoryPart> {
    let of = |name, children: usize, memory: u64| {
        part(
            name,
            memory.saturating_mul(children as u64),
            format!("{children} of {} MiB, while plugins are loaded", memory >> 20),
        )
    };
    vec![
        of("compilers", caps::children(), caps::COMPILE.memory),
        of("checks of schemas", config_check::CHILDREN, config_check::BOUNDS.memory),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const ROUTES: &str = r#"
version = 1
[admin]
[source.lines]
kind = "file"
path = "lines.jsonl"
[source.hook]
kind = "http"
reply = true
[[route]]
name = "lines"
source = "lines"
plugin = "a.wasm"
[[route]]
name = "hook"
source = "hook"
plugin = "a.wasm"
"#;

    fn account(more: &str) -> MemoryAccount {
        let loaded = esclusa_config::parse(&format!("{ROUTES}{more}"), "routes.toml", Path::new("/"), &|_| None);
        MemoryAccount::of(&loaded.unwrap().plan)
    }

    fn bytes(account: &MemoryAccount, name: &str) -> u64 {
        account.parts.iter().find(|part| part.name == name).unwrap_or_else(|| panic!("no {name}: {account:#?}")).bytes
    }

    #[test]
    fn the_sum_is_that_of_the_parts_and_every_route_has_its_own() {
        let account = account("");
        assert_eq!(account.sum, account.parts.iter().map(|part| part.bytes).sum::<u64>());
        assert_eq!(bytes(&account, "route lines: events in flight"), 64 << 20);
        assert_eq!(bytes(&account, "route lines: the line being read"), 64 << 20);
        assert_eq!(bytes(&account, "route hook: requests that wait"), 64 << 20);
    }

    #[test]
    fn a_body_that_may_be_larger_than_the_budget_counts_with_its_copies() {
        assert_eq!(bytes(&account(""), "bodies"), 192 << 20);
        let large = "[source.large]\nkind = \"http\"\nmax_body = \"100MiB\"\n[[route]]\nname = \"large\"\nsource = \"large\"\nplugin = \"a.wasm\"";
        assert_eq!(bytes(&account(&format!("\n{large}")), "bodies"), 300 << 20);
    }

    #[test]
    fn what_a_route_is_allowed_counts_for_each_of_its_calls_and_no_more_of_them_than_may_run() {
        let (guest, stack) = (64 << 20, esclusa_sandbox::STACK as u64);
        assert_eq!(bytes(&account(""), "guests"), 8 * (guest + stack), "two routes of four calls each");
        assert_eq!(bytes(&account("limits = { memory = \"1GiB\" }"), "guests"), 4 * (guest + (1 << 30) + 2 * stack));
        // The second route gets half of the permits.
        assert_eq!(bytes(&account("concurrency = 1000"), "guests"), 36 * (guest + stack));
        let reused = account("instances = \"reuse\"\nmemory_high_water = \"10MiB\"");
        assert_eq!(bytes(&reused, "instances kept"), 64 * ((10 << 20) + stack));
    }
}
