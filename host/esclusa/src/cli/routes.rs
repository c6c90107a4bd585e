//! `esclusa routes` and `esclusa status`: the routes of the configuration, and their state.

use super::connect::{Found, RouterOrStore, connect, look};
use super::router_file::RouterAddress;
use super::{GlobalArgs, print};
use crate::audit::{self, RouteAccount};
use crate::cli::Exit;
use crate::dead_letters;
use crate::runtime::backlog::BacklogStatus;
use crate::runtime::listening::ListenerStatus;
use crate::runtime::output_status::{OutputStatus, outputs};
use crate::runtime::stale::{StaleFile, StaleState};
use crate::runtime::status::{PartitionStatus, RouteStatus, Status};
use anyhow::Result;
use esclusa_config::{LoadedConfig, show_duration};
use esclusa_flow::timestamp::Timestamp;
use esclusa_pipeline::meter::LastError;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// A line of `esclusa routes`.
#[derive(Debug, serde::Serialize)]
struct ListedRoute {
    name: String,
    source: String,
    plugin: String,
    state: String,
    outputs: Vec<OutputStatus>,
}

/// `esclusa routes`.
pub(super) async fn routes(global: &GlobalArgs) -> Result<Exit> {
    let found = look(global).await;
    let routes: Vec<ListedRoute> = match &found {
        Found::Running(client) => client.get::<Status>("/api/v1/status").await?.routes.iter().map(at_work).collect(),
        // The list is made from the configuration alone: the store may be in use by another process.
        Found::Starting(_) => configured(&global.load_quietly()?, "starting"),
        Found::Nobody => configured(&global.load_quietly()?, "not running"),
    };
    if global.json {
        print::json(&json!({"running": matches!(found, Found::Running(_)), "routes": routes}))?;
        return Ok(Exit::Ok);
    }
    let row = |route: &ListedRoute| {
        let outputs: Vec<String> =
            route.outputs.iter().map(|o| format!("{} {} ({})", o.kind, o.name, o.delivery)).collect();
        let outputs = if outputs.is_empty() { "-".to_owned() } else { outputs.join(", ") };
        [route.name.clone(), route.source.clone(), route.plugin.clone(), route.state.clone(), outputs]
    };
    print::table(["ROUTE", "SOURCE", "PLUGIN", "STATE", "WRITES"], &routes.iter().map(row).collect::<Vec<_>>())?;
    Ok(Exit::Ok)
}

fn configured(loaded: &LoadedConfig, state: &str) -> Vec<ListedRoute> {
    let route = |spec: &esclusa_config::plan::RouteSpec| ListedRoute {
        name: spec.name.to_string(),
        source: spec.source.to_string(),
        plugin: spec.plugin.display().to_string(),
        state: state.to_owned(),
        outputs: outputs(spec, &loaded.plan),
    };
    loaded.plan.routes.iter().map(route).collect()
}

fn at_work(route: &RouteStatus) -> ListedRoute {
    let plugin = &route.plugin;
    ListedRoute {
        name: route.name.clone(),
        source: format!("{} ({})", route.source, route.kind),
        plugin: format!("{} {} ({})", plugin.name, plugin.version, plugin.digest.get(..12).unwrap_or_default()),
        state: route.state.clone(),
        outputs: route.outputs.clone(),
    }
}

/// `esclusa status`.
pub(super) async fn status(global: &GlobalArgs) -> Result<Exit> {
    if let Found::Starting(router) = look(global).await {
        return starting(global, &router);
    }
    match connect(global).await? {
        RouterOrStore::Router(client) => {
            let status: Status = client.get("/api/v1/status").await?;
            if global.json { print::json(&status)? } else { at_this_moment(&status)? }
        }
        RouterOrStore::Store(store, plan) => {
            let accounts = audit::stopped(&store, &plan).await?;
            let dead_letters: Vec<u64> = accounts.iter().map(|account| store.dead_count(&account.route)).collect();
            let left = dead_letters::of_removed_routes(&store, &plan);
            if global.json {
                let route = |(account, dead_letters): (&RouteAccount, &u64)| json!({"account": account, "dead_letters": dead_letters, "state": "not running"});
                let routes: Vec<_> = accounts.iter().zip(&dead_letters).map(route).collect();
                print::json(&json!({"running": false, "routes": routes, "left_dead_letters": left}))?;
            } else {
                print::message("not running; these are the figures of the store");
                stopped(&accounts, &dead_letters)?;
                print_left(&left);
            }
        }
    }
    Ok(Exit::Ok)
}

/// The status of a router that is starting: its routes have none yet.
fn starting(global: &GlobalArgs, router: &RouterAddress) -> Result<Exit> {
    if global.json {
        let none: [(); 0] = [];
        print::json(&json!({"running": false, "pid": router.pid, "phase": router.phase, "routes": none}))?;
    } else {
        let (pid, phase) = (router.pid, router.phase);
        print::message(&format!("esclusa starts as process {pid}: it is {phase}, and takes no events yet"));
    }
    Ok(Exit::Ok)
}

const HEADING: [&str; 12] = [
    "ROUTE",
    "STATE",
    "RECEIVED",
    "DONE",
    "SKIPPED",
    "FILTERED",
    "DEAD",
    "IN FLIGHT",
    "WAITING",
    "UNDELIVERED",
    "DEAD LETTERS",
    "LAST ERROR",
];

fn at_this_moment(status: &Status) -> Result<()> {
    print::message(&format!("esclusa {} runs as process {}", status.version, status.pid));
    print_stale(&status.stale);
    let row = |route: &RouteStatus| {
        let (reading, counts) = (&route.reading, &route.reading.counts);
        let error = route.reason.as_ref().map(|reason| format!("halted: {reason}"));
        let waits = route.backlog.as_ref().map_or_else(|| "-".to_owned(), |backlog| backlog.waiting.to_string());
        let last = reading
            .last_error
            .as_ref()
            .map(|error| format!("{} {}: {}", print::time(error.at.millis()), error.code, error.message));
        let waiting = reading
            .waiting
            .as_ref()
            .map(|waiting| format!("attempt {} at {}; ", waiting.attempt, print::time(waiting.next.millis())));
        let breaker = route
            .breaker
            .as_ref()
            .map(|open| format!("breaker open, next probe {}; ", print::time(open.next_probe.millis())));
        let waiting = breaker.or(waiting);
        let error = format!("{}{}", waiting.unwrap_or_default(), error.or(last).unwrap_or_else(|| "-".to_owned()));
        [
            route.name.clone(),
            route.state.clone(),
            reading.received.to_string(),
            counts.done.to_string(),
            counts.skipped.to_string(),
            counts.filtered.to_string(),
            counts.dead.to_string(),
            reading.in_flight.to_string(),
            waits,
            route.undelivered().to_string(),
            route.dead_letters.to_string(),
            print::short(&error, 100),
        ]
    };
    print::table(HEADING, &status.routes.iter().map(row).collect::<Vec<_>>())?;
    sinks(status)?;
    partitions(status)?;
    listeners(status)?;
    status.routes.iter().filter_map(behind).for_each(|line| print::message(&line));
    status.routes.iter().filter_map(|route| halted(route, status.now)).for_each(|line| print::message(&line));
    print_left(&status.left_dead_letters);
    for reload in status.reloads.iter().take(5) {
        let result = if reload.ok { "reloaded" } else { "REFUSED" };
        print::message(&format!(
            "{} {} {result}: {}",
            print::time(reload.at),
            reload.what,
            print::short(&reload.message, 200)
        ));
    }
    Ok(())
}

/// Prints the listeners.
fn listeners(status: &Status) -> Result<()> {
    let row = |listener: &ListenerStatus| {
        let answers = |class: &str| listener.answers.get(class).copied().unwrap_or_default().to_string();
        [
            listener.name.clone(),
            format!("{}://{}", if listener.tls { "https" } else { "http" }, listener.address),
            format!("{} of {}", listener.connections, listener.max_connections),
            answers("2xx"),
            answers("3xx"),
            answers("4xx"),
            answers("5xx"),
        ]
    };
    if status.listeners.is_empty() {
        return Ok(());
    }
    print::line("")?;
    let rows: Vec<_> = status.listeners.iter().map(row).collect();
    print::table(["LISTENER", "ADDRESS", "CONNECTIONS", "2xx", "3xx", "4xx", "5xx"], &rows)
}

/// Prints the outputs outside of the engine that fail or have messages to deliver.
fn sinks(status: &Status) -> Result<()> {
    let all = status.routes.iter().flat_map(|route| route.outputs.iter().map(move |output| (route, output)));
    let row = |(route, output): (&RouteStatus, &OutputStatus)| {
        let messages = output.messages.as_ref().filter(|messages| messages.pending > 0 || output.failing())?;
        let dash = || "-".to_owned();
        let age =
            |since: Timestamp| show_duration(Duration::from_secs(status.now.saturating_sub(since.millis()) / 1000));
        let error = |error: &LastError| format!("{} {}", print::time(error.at.millis()), error.message);
        Some([
            format!("{} ({})", output.name, output.kind),
            route.name.clone(),
            if output.failing() { "FAILING".to_owned() } else { "sending".to_owned() },
            messages.pending.to_string(),
            messages.oldest.map_or_else(dash, age),
            messages.failed_in_a_row.to_string(),
            messages.next_try.map_or_else(dash, |next| print::time(next.millis())),
            messages.given_up.to_string(),
            messages.last_error.as_ref().map_or_else(dash, |last| print::short(&error(last), 100)),
        ])
    };
    let rows: Vec<_> = all.filter_map(row).collect();
    if rows.is_empty() {
        return Ok(());
    }
    print::line("")?;
    let heading =
        ["OUTPUT", "ROUTE", "STATE", "PENDING", "OLDEST", "FAILED TRIES", "NEXT TRY", "GIVEN UP", "LAST ERROR"];
    print::table(heading, &rows)
}

/// Prints the partitions of Kafka that this process works on.
fn partitions(status: &Status) -> Result<()> {
    let all = status.routes.iter().flat_map(|route| route.shards.iter().map(move |shards| (route, &shards.partitions)));
    let row = |route: &RouteStatus, partition: &PartitionStatus| {
        [
            partition.lane.clone(),
            route.name.clone(),
            partition.position.to_string(),
            partition.end.to_string(),
            partition.behind_records.to_string(),
            partition
                .behind_millis
                .map_or_else(|| "-".to_owned(), |millis| show_duration(Duration::from_millis(millis))),
        ]
    };
    let rows: Vec<_> = all.flat_map(|(route, list)| list.iter().map(move |partition| row(route, partition))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    print::line("")?;
    print::table(["PARTITION", "ROUTE", "POSITION", "END", "BEHIND", "TIME"], &rows)
}

/// What a halted route holds up, and how it goes on; `None` if the route is not halted. `now` in milliseconds since the Unix epoch.
fn halted(route: &RouteStatus, now: u64) -> Option<String> {
    let reason = route.reason.as_ref()?;
    let age = |millis: u64| show_duration(Duration::from_secs(millis / 1000));
    let waits = match &route.backlog {
        Some(BacklogStatus { waiting, oldest_millis, .. }) => {
            let oldest = oldest_millis.map_or_else(String::new, |millis| format!(", the oldest for {}", age(millis)));
            format!("{waiting} event(s) wait{oldest}")
        }
        // Kinesis and the streams of DynamoDB do not number their records one by one.
        None => {
            let oldest = route.shards.as_ref().and_then(|shards| shards.oldest_unfinished);
            let waits = |at| format!(", the oldest waits for {}", age(now.saturating_sub(at)));
            format!("its source does not say how many events wait{}", oldest.map_or_else(String::new, waits))
        }
    };
    let reason = print::short(reason, 200);
    Some(format!("route {} is halted: {reason}; {waits}; `esclusa resume {0}` lets it go on", route.name))
}

/// How far behind a route is in the shards of its source; `None` if the source has no shards.
fn behind(route: &RouteStatus) -> Option<String> {
    let shards = route.shards.as_ref()?;
    let behind = match shards.behind_millis {
        Some(0) => "at the tip".to_owned(),
        Some(millis) => format!("{} behind", show_duration(Duration::from_secs(millis.div_ceil(1000)))),
        None => "the service does not say how far behind".to_owned(),
    };
    let unowned =
        if shards.unowned > 0 { format!("; {} that no process reads", shards.unowned) } else { String::new() };
    let records = shards.behind_records.map_or_else(String::new, |records| format!("; {records} record(s) to settle"));
    let gaps = if shards.gaps > 0 { format!("; {} gap(s), see the log", shards.gaps) } else { String::new() };
    let word = if route.kind == "kafka" { "partition(s)" } else { "shard(s)" };
    Some(format!("route {}: {} {word}, {behind}{records}{unowned}{gaps}", route.name, shards.working))
}

/// Prints the files whose content on disk is not what runs.
fn print_stale(stale: &[StaleFile]) {
    for StaleFile { file, state, since, message, .. } in stale {
        let word = match state {
            StaleState::Loading => "is being loaded",
            StaleState::Refused => "was refused",
            StaleState::Missing => "is missing",
        };
        let (file, message) = (print::visible(file), print::short(message, 1000));
        print::message(&format!(
            "WHAT RUNS IS NOT WHAT IS ON DISK: {file} {word} since {}: {message}",
            print::time(*since)
        ));
    }
}

/// Prints a message for the dead letters of removed routes, which no row of the table counts.
fn print_left(left: &BTreeMap<String, u64>) {
    for (route, count) in left {
        print::message(&dead_letters::removed_route_message(route, *count));
    }
}

fn stopped(accounts: &[RouteAccount], dead_letters: &[u64]) -> Result<()> {
    let row = |(account, dead_letters): (&RouteAccount, &u64)| {
        let counts = account.counts;
        [
            account.route.clone(),
            account.received.to_string(),
            counts.done.to_string(),
            counts.skipped.to_string(),
            counts.filtered.to_string(),
            counts.dead.to_string(),
            account.undelivered.to_string(),
            dead_letters.to_string(),
            account.behind.map_or_else(|| "-".to_owned(), |behind| behind.to_string()),
        ]
    };
    let heading = ["ROUTE", "RECEIVED", "DONE", "SKIPPED", "FILTERED", "DEAD", "UNDELIVERED", "DEAD LETTERS", "BEHIND"];
    print::table(heading, &accounts.iter().zip(dead_letters).map(row).collect::<Vec<_>>())
}
