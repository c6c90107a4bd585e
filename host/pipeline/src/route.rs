//! A running route: its settings, plugin, limits, meters and mode, which its lanes share.

use crate::breaker::{OpenBreaker, RouteBreaker};
use crate::budget::Budget;
use crate::commit::{CommitRules, ProgressKind};
use crate::meter::Meter;
use crate::output_meter::OutputMeters;
use crate::send_order::SendOrder;
use arc_swap::ArcSwap;
use esclusa_flow::dead_letter::Handler;
use esclusa_flow::engine::{Engine, Sink};
use esclusa_flow::plugin::Plugin;
use esclusa_flow::settings;
use esclusa_flow::sharding::Sharding;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Semaphore, watch};

/// A plugin, loaded for a route.
pub struct LoadedPlugin {
    /// The plugin, configured for the route.
    pub plugin: Arc<dyn Plugin>,
    /// Its name, from `describe`.
    pub name: String,
    /// Its version, from `describe`.
    pub version: String,
    /// When it took over, milliseconds since the Unix epoch.
    pub since: u64,
    /// True once it has read a table: its calls then depend on the commit before them, and are not made ahead.
    pub reads: AtomicBool,
}

impl LoadedPlugin {
    pub(crate) fn has_read(&self) -> bool {
        self.reads.load(Ordering::Relaxed)
    }
}

/// Whether a route takes events, and whether it finishes those in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Taking events.
    Running,
    /// Taking no events until an operator resumes it.
    Paused,
    /// The plugin stopped it, with the reason; it keeps its position until an operator resumes it.
    Halted(String),
    /// Taking no more events; batches in flight are finished.
    Draining,
    /// Taking no more events; batches in flight are dropped.
    Stopped,
}

/// A running route. Shared by its lanes.
pub struct Route {
    /// The route as configured.
    pub spec: settings::RouteSpec,
    /// Kind of its source.
    pub kind: Arc<str>,
    /// The plugin's file, as dead letters name it.
    plugin_path: Arc<str>,
    /// Rules of its commits.
    pub rules: CommitRules,
    /// Keeps its tables and progress.
    pub engine: Arc<dyn Engine>,
    /// Its outputs that are not the engine's own, by name.
    pub sinks: BTreeMap<String, Arc<dyn Sink>>,
    /// Meters of the messages of these outputs.
    pub outputs: Arc<OutputMeters>,
    /// Counters of its events, calls and commits.
    pub meter: Meter,
    /// The plugin in use; a batch finishes on the one it started with.
    plugin: ArcSwap<LoadedPlugin>,
    /// Batches in work.
    pub(crate) concurrency: Arc<Semaphore>,
    /// Bytes in flight.
    pub budget: Budget,
    /// Holds its batches while its plugin fails.
    pub(crate) breaker: RouteBreaker,
    /// Order in which lanes' messages are sent.
    pub(crate) send_order: SendOrder,
    /// Varies the jitter of waits: another one for each route and each process, so that they do not all try again at the
    /// same instants.
    pub(crate) seed: u64,
    /// True if it left messages for the next start.
    pub unsent: AtomicBool,
    mode: watch::Sender<Mode>,
}

impl Route {
    /// How its calls are spread by key; `None`: a batch is one call.
    pub(crate) fn sharding(&self) -> Option<Sharding> {
        let (factor, size) = (self.spec.parallelization_factor, self.spec.batch_size);
        (factor > 1).then_some(Sharding { factor, size })
    }

    /// A route that is running, with nothing in flight.
    pub fn new(
        spec: settings::RouteSpec,
        (kind, progress, dedup): (Arc<str>, ProgressKind, bool),
        engine: Arc<dyn Engine>,
        (sinks, outputs): (BTreeMap<String, Arc<dyn Sink>>, Arc<OutputMeters>),
        plugin: impl Into<Arc<LoadedPlugin>>,
        meter: Meter,
    ) -> Arc<Self> {
        let mode = if spec.enabled { Mode::Running } else { Mode::Paused };
        let external = sinks.keys().cloned().collect();
        let seed = RandomState::new().hash_one(&spec.name);
        let breaker = RouteBreaker::new(spec.name.clone(), spec.breaker, spec.policy, seed);
        let rules = CommitRules { progress, external, dedup, on_failure: spec.on_failure.clone() };
        Arc::new(Route {
            kind,
            plugin_path: spec.plugin.display().to_string().into(),
            rules,
            seed,
            breaker,
            engine,
            sinks,
            outputs,
            meter,
            plugin: ArcSwap::new(plugin.into()),
            concurrency: Arc::new(Semaphore::new(spec.concurrency.max(1))),
            budget: Budget::new(spec.in_flight_bytes),
            send_order: SendOrder::default(),
            unsent: AtomicBool::new(false),
            mode: watch::Sender::new(mode),
            spec,
        })
    }

    /// The plugin that handles its events, as dead letters name it.
    pub fn handler(&self, loaded: &LoadedPlugin) -> Handler {
        let (kind, plugin) = (self.kind.clone(), self.plugin_path.clone());
        Handler { kind, plugin, digest: loaded.plugin.digest().into() }
    }

    /// The plugin for the next batch.
    pub fn plugin(&self) -> Arc<LoadedPlugin> {
        self.plugin.load_full()
    }

    /// Puts a newly loaded plugin in place; the next batch takes it, and those that the breaker holds.
    pub fn swap(&self, loaded: LoadedPlugin) {
        self.plugin.store(Arc::new(loaded));
        self.breaker.close();
    }

    /// The route's breaker, if it is open.
    pub fn open_breaker(&self) -> Option<OpenBreaker> {
        self.breaker.open()
    }

    /// Closes the route's breaker and forgets its failures: the usual rules hold again.
    pub fn close_breaker(&self) {
        self.breaker.close();
    }

    /// The route's mode.
    pub fn mode(&self) -> Mode {
        self.mode.borrow().clone()
    }

    /// Watches the route's mode.
    pub(crate) fn watch(&self) -> watch::Receiver<Mode> {
        self.mode.subscribe()
    }

    /// Waits until the route drains or stops.
    pub(crate) async fn leaving(&self) {
        self.reached(|mode| matches!(mode, Mode::Draining | Mode::Stopped)).await;
    }

    /// The result of `work`; `None` if the route drains or stops before it is there.
    pub(crate) async fn unless_leaving<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.leaving() => None,
            done = work => Some(done),
        }
    }

    /// Waits until the route stops.
    pub(crate) async fn stopped(&self) {
        self.reached(|mode| *mode == Mode::Stopped).await;
    }

    async fn reached(&self, wanted: impl FnMut(&Mode) -> bool) {
        // It fails only if the sender is gone, and the route itself owns the sender.
        let _ = self.mode.subscribe().wait_for(wanted).await;
    }

    /// Changes the route's mode. A stopped route stays stopped, and a draining one can only be stopped.
    pub fn set_mode(&self, mode: Mode) {
        self.mode.send_if_modified(|now| {
            let leaving = match now {
                Mode::Stopped => true,
                Mode::Draining => mode != Mode::Stopped,
                _ => false,
            };
            let change = !leaving && *now != mode;
            if change {
                *now = mode;
            }
            change
        });
    }
}

/// Waits for the next change of mode. Once the route is gone there is none: the wait never ends.
pub(crate) async fn changed(mode: &mut watch::Receiver<Mode>) {
    if mode.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
