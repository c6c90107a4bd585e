//! What the router tells of itself: for `esclusa status`, the API and the dashboard.

use super::health::Health;
use super::{Running, Runtime};
use crate::letters;
use esclusa_config::plan::{self, WriteTarget};
use esclusa_flow::lag::Lag;
use esclusa_pipeline::meter::{Reading, epoch_millis};
use esclusa_pipeline::output_meter::OutputReading;
use esclusa_pipeline::route::{Mode, Route};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The router at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Esclusa's version.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Milliseconds since the Unix epoch.
    pub now: u64,
    /// Routes by name.
    pub routes: Vec<RouteStatus>,
    /// Events in the embedded dead letters of routes that are not in routes.toml any more, by route.
    pub left_letters: BTreeMap<String, u64>,
    /// The last reloads, newest first.
    pub reloads: Vec<Reload>,
}

/// A route at one moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RouteStatus {
    /// Its name.
    pub name: String,
    /// Its source.
    pub source: String,
    /// The source's kind.
    pub kind: String,
    /// running, paused, halted, draining, stopped or finished.
    pub state: String,
    /// Why it is halted.
    pub reason: Option<String>,
    /// Whether it does its work.
    #[serde(default)]
    pub health: Health,
    /// The plugin at work.
    pub plugin: PluginStatus,
    /// What it counts.
    pub reading: Reading,
    /// Bytes of events in flight.
    pub in_flight_bytes: u64,
    /// Events in the embedded dead letters.
    pub dead_letters: u64,
    /// What its outputs promise.
    pub outputs: Vec<OutputStatus>,
    /// The shards of its source, where it has some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shards: Option<ShardsStatus>,
}

/// The shards of a stream on AWS, as one process sees them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShardsStatus {
    /// Those that it works on.
    pub working: usize,
    /// Those that could be read and that no process has.
    pub unowned: usize,
    /// How far it is behind in the one that is furthest behind, in milliseconds; `None` where the service does not say.
    pub behind_millis: Option<u64>,
    /// When the oldest event was accepted that is in work, in milliseconds since the Unix epoch.
    pub oldest_unfinished: Option<u64>,
    /// Times that records were trimmed, or may have been, before they were read.
    pub gaps: u64,
}

impl ShardsStatus {
    fn of(lag: &Lag) -> Self {
        let lanes = lag.lanes();
        ShardsStatus {
            working: lanes.len(),
            unowned: lag.unowned(),
            behind_millis: lanes.values().filter_map(|lane| lane.behind_millis).max(),
            oldest_unfinished: lanes.values().filter_map(|lane| lane.oldest_unfinished).min(),
            gaps: lag.gaps(),
        }
    }
}

/// A plugin version at work.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PluginStatus {
    /// Its file.
    pub path: String,
    /// SHA-256 of the file.
    pub digest: String,
    /// Its name, from `describe`.
    pub name: String,
    /// Its version, from `describe`.
    pub version: String,
    /// When it took over, milliseconds since the Unix epoch.
    pub since: u64,
}

/// Something that a route writes, and what is promised of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OutputStatus {
    /// Its name in routes.toml.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// What is promised, in words.
    pub delivery: String,
    /// What becomes of its messages, if it is outside of the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<OutputReading>,
}

impl OutputStatus {
    /// True if it has not taken a message since it failed.
    #[must_use]
    pub fn failing(&self) -> bool {
        self.messages.as_ref().is_some_and(|messages| messages.failed_in_a_row > 0)
    }
}

impl RouteStatus {
    /// Messages that are not delivered yet.
    #[must_use]
    pub fn undelivered(&self) -> u64 {
        let pending = self.outputs.iter().filter_map(|output| Some(output.messages.as_ref()?.pending));
        pending.fold(0, u64::saturating_add)
    }
}

/// A reload and its result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reload {
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    /// What was reloaded: a file, or `routes.toml`.
    pub what: String,
    /// True where it is in force.
    pub ok: bool,
    /// What changed, or why nothing did.
    pub message: String,
}

/// Reloads that are remembered.
const RELOADS: usize = 20;

impl Runtime {
    /// The router at this moment.
    #[must_use]
    pub fn status(&self) -> Status {
        let loaded = self.loaded();
        let running = self.running();
        let routes = loaded
            .plan
            .routes
            .iter()
            .filter_map(|spec| Some(self.route_status(running.get(&spec.name)?, &loaded.plan)));
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            now: epoch_millis(),
            routes: routes.collect(),
            left_letters: letters::left(&self.store, &loaded.plan),
            reloads: self.reloads.lock().clone(),
        }
    }

    fn route_status(&self, running: &Running, plan: &plan::Plan) -> RouteStatus {
        let route = &running.route;
        let (state, reason) = state(route, running.task.is_finished());
        let version = route.plugin();
        let mut status = RouteStatus {
            name: route.spec.name.to_string(),
            source: route.spec.source.to_string(),
            kind: route.kind.to_string(),
            state: state.to_owned(),
            reason,
            health: Health::default(),
            plugin: PluginStatus {
                path: route.spec.plugin.display().to_string(),
                digest: version.plugin.digest().to_owned(),
                name: version.name.clone(),
                version: version.version.clone(),
                since: version.since,
            },
            reading: route.meter.read(),
            in_flight_bytes: route.budget.used() as u64,
            dead_letters: self.store.dead_count(&route.spec.name),
            outputs: outputs_at_work(route, plan),
            shards: running.lag.as_deref().map(ShardsStatus::of),
        };
        status.health = Health::of(&status);
        status
    }

    /// Remembers a reload, and logs it.
    pub(super) fn note_reload(&self, what: &str, result: Result<String, String>) {
        let (ok, message) = match result {
            Ok(message) => (true, message),
            Err(message) => (false, message),
        };
        if ok {
            tracing::info!(what, message, "reloaded");
        } else {
            tracing::error!(what, reason = message, "not reloaded; what was running keeps running");
        }
        let mut reloads = self.reloads.lock();
        reloads.insert(0, Reload { at: epoch_millis(), what: what.to_owned(), ok, message });
        reloads.truncate(RELOADS);
    }
}

fn state(route: &Route, finished: bool) -> (&'static str, Option<String>) {
    match route.mode() {
        Mode::Running | Mode::Paused if finished => ("finished", None),
        Mode::Running => ("running", None),
        Mode::Paused => ("paused", None),
        Mode::Halted(reason) => ("halted", Some(reason)),
        Mode::Draining => ("draining", None),
        Mode::Stopped => ("stopped", None),
    }
}

/// The same of a route that runs, with what becomes of the messages; and where its dead letters go.
fn outputs_at_work(route: &Route, plan: &plan::Plan) -> Vec<OutputStatus> {
    let (spec, mut found) = (&route.spec, outputs(&route.spec, plan));
    if let Some(name) = spec.on_failure.as_ref().filter(|name| !spec.grants.outputs.contains(*name))
        && let Some(output) = plan.outputs.get(name)
    {
        let delivery = plan.level(spec, WriteTarget::Output(name)).to_string();
        found.push(OutputStatus { name: name.clone(), kind: output.kind().to_owned(), delivery, messages: None });
    }
    for output in found.iter_mut().filter(|output| !matches!(output.kind.as_str(), "table" | "objects")) {
        output.messages = route.outputs.read(&output.name);
    }
    found
}

/// What a route writes, and what is promised of it.
#[must_use]
pub fn outputs(spec: &plan::RouteSpec, plan: &plan::Plan) -> Vec<OutputStatus> {
    let output = |name: &String, kind: &str, target: WriteTarget<'_>| OutputStatus {
        name: name.clone(),
        kind: kind.to_owned(),
        delivery: plan.level(spec, target).to_string(),
        messages: None,
    };
    let tables = spec.grants.tables.iter().map(|n| output(n, "table", WriteTarget::Table(n)));
    let objects = spec.grants.objects.iter().map(|n| output(n, "objects", WriteTarget::Objects(n)));
    let sends = spec.grants.outputs.iter().map(|n| {
        let kind = plan.outputs.get(n).map_or("output", plan::Output::kind);
        output(n, kind, WriteTarget::Output(n))
    });
    tables.chain(objects).chain(sends).collect()
}
