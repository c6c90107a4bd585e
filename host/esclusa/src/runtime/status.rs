//! The status of the router, for `esclusa status`, the API and the page.

use super::backlog::BacklogStatus;
use super::health::{Health, SHARDS};
use super::listening::ListenerStatus;
use super::output_status::{OutputStatus, outputs_at_work};
use super::stale::StaleFile;
use super::{RunningRoute, Runtime};
use crate::dead_letters;
use crate::refusal::Refusal;
use esclusa_config::plan;
use esclusa_embedded::Store;
use esclusa_flow::lag::{Lag, ShardLag};
use esclusa_flow::timestamp::Timestamp;
use esclusa_pipeline::breaker::OpenBreaker;
use esclusa_pipeline::meter::{LastError, Reading, epoch_millis};
use esclusa_pipeline::route::{Mode, Route};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The router at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Esclusa's version.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Milliseconds since the Unix epoch.
    pub now: u64,
    /// Routes by name.
    pub routes: Vec<RouteStatus>,
    /// Events in the embedded dead letters of routes that are not in routes.toml any more, by route.
    pub left_dead_letters: BTreeMap<String, u64>,
    /// Items that the store has deleted since its start because they had expired, by embedded table with `ttl`.
    #[serde(default)]
    pub expired_items: BTreeMap<String, u64>,
    /// The listeners of sources of kind `http`, by name.
    #[serde(default)]
    pub listeners: Vec<ListenerStatus>,
    /// How full the store is, and how much it may hold.
    #[serde(default)]
    pub store: StoreStatus,
    /// The files whose content on disk is not what runs.
    #[serde(default)]
    pub stale: Vec<StaleFile>,
    /// The last reloads, newest first.
    pub reloads: Vec<ReloadStatus>,
}

/// How full the store of the embedded engine is.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct StoreStatus {
    /// Bytes of its files.
    pub bytes: u64,
    /// `max_bytes` of `[engine]`.
    pub max_bytes: u64,
    /// Dead letters of all routes.
    pub dead_letters: u64,
    /// `max_dead_letters` of `[engine]`.
    pub max_dead_letters: u64,
    /// Bytes of the dead letters.
    pub dead_letter_bytes: u64,
    /// `max_dead_letter_bytes` of `[engine]`.
    pub max_dead_letter_bytes: u64,
}

impl StoreStatus {
    fn of(store: &Store) -> Self {
        let (fill, limits) = (store.fill(), store.limits());
        StoreStatus {
            bytes: fill.bytes,
            max_bytes: limits.bytes,
            dead_letters: fill.dead_letters,
            max_dead_letters: limits.dead_letters,
            dead_letter_bytes: fill.dead_letter_bytes,
            max_dead_letter_bytes: limits.dead_letter_bytes,
        }
    }
}

/// A route at one moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct RouteStatus {
    /// Its name.
    pub name: String,
    /// Its source.
    pub source: String,
    /// The source's kind.
    pub kind: String,
    /// running, paused, halted, draining, stopped or finished.
    pub state: String,
    /// Why it is halted; `None` if it is not.
    pub reason: Option<String>,
    /// Whether it does its work.
    #[serde(default)]
    pub health: Health,
    /// Its breaker while it is open: its plugin fails, and hardly anything but probes is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<OpenBreaker>,
    /// The plugin that serves it.
    pub plugin: PluginStatus,
    /// Its counters.
    pub reading: Reading,
    /// Bytes of events in flight.
    pub in_flight_bytes: u64,
    /// Events in the embedded dead letters.
    pub dead_letters: u64,
    /// The tables, object stores and outputs that it writes.
    pub outputs: Vec<OutputStatus>,
    /// What waits in its source; `None` if the source does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<BacklogStatus>,
    /// The shards or partitions of its source; `None` if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shards: Option<ShardsStatus>,
}

/// The shards of a stream on AWS, or the partitions of topics of Kafka, as one process sees them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ShardsStatus {
    /// Shards that this process reads.
    pub working: usize,
    /// Shards that no process reads, although their parents are finished.
    pub unowned: usize,
    /// How far behind the shard is that is furthest behind, in milliseconds; `None` if the service does not say.
    pub behind_millis: Option<u64>,
    /// When the oldest event in flight was accepted, in milliseconds since the Unix epoch.
    pub oldest_unfinished: Option<u64>,
    /// How often records were, or may have been, trimmed before they were read.
    pub gaps: u64,
    /// What keeps shards from being read at present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<LastError>,
    /// How many records the partitions are behind together; `None` for a source that does not number its records one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind_records: Option<u64>,
    /// Each partition that this process works on, of a source that numbers its records one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<PartitionStatus>,
}

/// A partition that this process works on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PartitionStatus {
    /// Topic and partition: `bookings-0`.
    pub lane: String,
    /// The offset of the next record to settle.
    pub position: u64,
    /// The offset behind the last record.
    pub end: u64,
    /// How many records the route is behind.
    pub behind_records: u64,
    /// How far the route is behind, in milliseconds.
    pub behind_millis: Option<u64>,
}

impl PartitionStatus {
    fn of(lane: &str, lag: &ShardLag) -> Option<Self> {
        let place = lag.place?;
        Some(PartitionStatus {
            lane: lane.to_owned(),
            position: place.position,
            end: place.end,
            behind_records: place.records,
            behind_millis: lag.behind_millis,
        })
    }
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
            fault: lag.fault().map(|fault| LastError {
                at: Timestamp::from_millis(fault.at),
                code: SHARDS.to_owned(),
                message: fault.message,
            }),
            behind_records: lanes.values().filter_map(|lane| Some(lane.place?.records)).reduce(u64::saturating_add),
            partitions: lanes.iter().filter_map(|(lane, lag)| PartitionStatus::of(lane, lag)).collect(),
        }
    }
}

/// The plugin that serves a route.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct PluginStatus {
    /// Its file.
    pub path: String,
    /// SHA-256 of the file.
    pub digest: String,
    /// Its name, from `describe`.
    pub name: String,
    /// Its version, from `describe`.
    pub version: String,
    /// When it began to serve the route, milliseconds since the Unix epoch.
    pub since: u64,
}

impl RouteStatus {
    /// Messages that are not delivered yet.
    #[must_use]
    pub(crate) fn undelivered(&self) -> u64 {
        let pending = self.outputs.iter().filter_map(|output| Some(output.messages.as_ref()?.pending));
        pending.fold(0, u64::saturating_add)
    }
}

/// A reload and its outcome.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ReloadStatus {
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    /// The file that was reloaded: a plugin or `routes.toml`.
    pub what: String,
    /// True if it is in force.
    pub ok: bool,
    /// A summary of the changes, or the reason why there are none.
    pub message: String,
}

/// Reloads that are remembered.
const RELOADS: usize = 20;

impl Runtime {
    /// The router at this moment.
    #[must_use]
    pub(crate) fn status(&self) -> Status {
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
            left_dead_letters: dead_letters::of_removed_routes(&self.store, &loaded.plan),
            expired_items: self.store.expired_counts(),
            listeners: self.listener_status(),
            store: StoreStatus::of(&self.store),
            stale: self.stale_files(),
            reloads: self.reloads.lock().clone(),
        }
    }

    fn route_status(&self, running: &RunningRoute, plan: &plan::Plan) -> RouteStatus {
        let route = &running.route;
        let (state, reason) = state(route, running.task.is_finished());
        let plugin = route.plugin();
        let mut status = RouteStatus {
            name: route.spec.name.to_string(),
            source: route.spec.source.to_string(),
            kind: route.kind.to_string(),
            state: state.to_owned(),
            reason,
            health: Health::default(),
            breaker: route.open_breaker(),
            plugin: PluginStatus {
                path: route.spec.plugin.display().to_string(),
                digest: plugin.plugin.digest().to_owned(),
                name: plugin.name.clone(),
                version: plugin.version.clone(),
                since: plugin.since,
            },
            reading: route.meter.read(),
            in_flight_bytes: route.budget.used() as u64,
            dead_letters: self.store.dead_count(&route.spec.name),
            outputs: outputs_at_work(route, plan),
            backlog: self.backlog(plan, running),
            shards: running.lag.as_deref().map(ShardsStatus::of),
        };
        let shards = status.shards.as_ref().and_then(|shards| shards.fault.as_ref());
        let now = epoch_millis();
        let failure = route.meter.failure(now);
        let failure = shards.or(failure.as_ref());
        let source = Health::at(now, &status.state, status.reason.as_deref(), failure, &status.outputs);
        status.health = source.with_breaker(status.breaker.as_ref());
        if let Some(fault) = shards {
            status.reading.last_error = Some(fault.clone());
        }
        status
    }

    /// Remembers a reload, and logs it.
    pub(super) fn note_reload(&self, what: &str, result: &Result<String, Refusal>) {
        let (ok, message) = match result {
            Ok(message) => (true, message.clone()),
            Err(refusal) => (false, refusal.message.clone()),
        };
        if ok {
            tracing::info!(what, message, "reloaded");
        } else {
            tracing::error!(what, why = message, "not reloaded; the router runs on as before");
        }
        let mut reloads = self.reloads.lock();
        reloads.insert(0, ReloadStatus { at: epoch_millis(), what: what.to_owned(), ok, message });
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
