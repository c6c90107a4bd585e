//! The running router: starts its routes, reloads them, pauses them, and stops them.
//!
//! No rules of delivery are here: `esclusa-flow` decides when an event may be settled, and the engine makes it
//! durable.

pub(crate) mod backlog;
pub(crate) mod health;
pub(crate) mod listening;
mod newest_reload;
pub(crate) mod output_status;
mod reload;
pub(crate) mod stale;
pub(crate) mod status;

use crate::route_loader::RouteUnavailable;
use crate::wiring::aws::{self, Cloud, SqsQueues};
use crate::wiring::http_source::HttpSource;
use crate::wiring::{Resources, Wiring, sources};
use arc_swap::ArcSwap;
use backlog::HandledRate;
use esclusa_config::LoadedConfig;
use esclusa_config::plan::{self, Plan};
use esclusa_embedded::Store;
use esclusa_flow::counts::Counts;
use esclusa_flow::fault::Fault;
use esclusa_flow::lag::Lag;
use esclusa_pipeline::activity::Activity;
use esclusa_pipeline::context::LaneContext;
use esclusa_pipeline::meter::Meter;
use esclusa_pipeline::route::{LoadedPlugin, Mode, Route};
use esclusa_pipeline::serve::serve;
use esclusa_sandbox::{PluginMetrics, Sandbox};
use futures_util::future::join_all;
use listening::Listening;
use newest_reload::NewestReloads;
use parking_lot::{Mutex, MutexGuard};
use stale::StaleFiles;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A route that is stopped and hangs for this long is aborted. A commit takes far less.
const CUT_OFF: Duration = Duration::from_secs(2);

/// Options of `esclusa run`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RunOptions {
    /// Stop when nothing is left to do: sources that never end are not started.
    pub until_idle: bool,
}

/// A running route, and the task that serves it.
struct RunningRoute {
    route: Arc<Route>,
    task: JoinHandle<()>,
    /// How far it is behind; `None` if its source has no shards.
    lag: Option<Arc<Lag>>,
    /// How fast it settles events.
    handled: Arc<HandledRate>,
    /// Closed when the task ends.
    ended: watch::Receiver<()>,
    resources: Resources,
}

/// A running router.
pub(crate) struct Runtime {
    sandbox: Sandbox,
    store: Store,
    shared: Arc<LaneContext>,
    options: RunOptions,
    http_sources: Mutex<BTreeMap<Arc<str>, HttpSource>>,
    /// Queues of SQS; routes that read the same source share its receives.
    queues: SqsQueues,
    /// Held by the one reload, pause or stop that changes the running routes. Plugins are loaded before it is taken.
    change_lock: tokio::sync::Mutex<()>,
    /// Reloads whose plugins are being loaded.
    newest: NewestReloads,
    /// True once the router stops: reloads end then.
    stopping: watch::Sender<bool>,
    running: Mutex<BTreeMap<Arc<str>, RunningRoute>>,
    loaded: ArcSwap<LoadedConfig>,
    reloads: Mutex<Vec<status::ReloadStatus>>,
    stale: StaleFiles,
    /// The listeners that reloads change.
    listeners: OnceLock<Weak<dyn Listening>>,
}

impl Runtime {
    /// Starts all routes with their plugins, in the order of the configuration, whose schema `store` has.
    pub(crate) async fn start(
        loaded: LoadedConfig,
        loaded_plugins: Vec<LoadedPlugin>,
        store: Store,
        sandbox: Sandbox,
        options: RunOptions,
    ) -> Arc<Self> {
        let engine = store.clone();
        let shared = Arc::new(LaneContext {
            activity: Arc::new(Activity::default()),
            start: tokio::time::Instant::now(),
            commit_count: Box::new(move || engine.version()),
        });
        let runtime = Arc::new(Runtime {
            sandbox,
            store,
            shared,
            options,
            http_sources: Mutex::default(),
            queues: SqsQueues::default(),
            change_lock: tokio::sync::Mutex::default(),
            newest: NewestReloads::default(),
            stopping: watch::Sender::new(false),
            running: Mutex::default(),
            loaded: ArcSwap::from_pointee(loaded),
            reloads: Mutex::default(),
            stale: StaleFiles::default(),
            listeners: OnceLock::new(),
        });
        let loaded = runtime.loaded.load_full();
        let cloud = runtime.cloud(&loaded.plan).await;
        for (spec, plugin) in loaded.plan.routes.iter().zip(loaded_plugins) {
            runtime.start_route(&loaded.plan, cloud.as_ref(), spec, plugin, None);
        }
        tokio::spawn(backlog::watch(Arc::downgrade(&runtime)));
        runtime
    }

    /// The configuration in force.
    #[must_use]
    pub(crate) fn loaded(&self) -> Arc<LoadedConfig> {
        self.loaded.load_full()
    }

    /// The plugins' own metrics.
    #[must_use]
    pub(crate) fn plugin_metrics(&self) -> Vec<PluginMetrics> {
        self.sandbox.metrics()
    }

    /// The embedded engine.
    #[must_use]
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// A route that runs.
    ///
    /// # Errors
    /// [`RouteUnavailable::Route`].
    pub(crate) fn route(&self, name: &str) -> Result<Arc<Route>, RouteUnavailable> {
        let running = self.running();
        running.get(name).map(|running| running.route.clone()).ok_or_else(|| RouteUnavailable::Route(name.to_owned()))
    }

    /// The `http` source with `reply = true` of this name, to pass requests to; `None` if no route reads it.
    #[must_use]
    pub(crate) fn http_source(&self, source: &str) -> Option<HttpSource> {
        self.http_sources.lock().get(source).cloned()
    }

    /// True if every route that reads the source is paused or halted, or its breaker is open.
    #[must_use]
    pub(crate) fn rests(&self, source: &str) -> bool {
        let running = self.running();
        let mut readers = running.values().filter(|running| *running.route.spec.source == *source);
        readers.all(|reader| {
            matches!(reader.route.mode(), Mode::Paused | Mode::Halted(_)) || reader.route.open_breaker().is_some()
        })
    }

    /// Waits until nothing is left to do.
    pub(crate) async fn until_idle(&self) {
        self.shared.activity.wait(|| (self.shared.commit_count)()).await;
    }

    /// Pauses or resumes a route. A pause outlasts reloads and restarts. False if there is no route of that name.
    ///
    /// # Errors
    /// A [`Fault`] if the store cannot keep it; nothing has changed then.
    pub(crate) async fn pause(&self, route: &str, pause: bool) -> Result<bool, Fault> {
        let _changing = self.change_lock.lock().await;
        let find = || self.running().get(route).map(|running| running.route.clone());
        let Some(found) = find() else { return Ok(false) };
        // A route with `enabled = false` is not noted as paused: after a restart routes.toml decides.
        self.store.set_paused(route, pause && found.spec.enabled).await?;
        if !pause {
            found.close_breaker();
        }
        found.set_mode(if pause { Mode::Paused } else { Mode::Running });
        Ok(true)
    }

    /// Stops all routes: events in flight are finished until the deadline, then dropped. True if all were finished.
    pub(crate) async fn stop(&self, deadline: Duration) -> bool {
        self.stopping.send_replace(true);
        let _changing = self.change_lock.lock().await;
        // With the lock held no reload starts a route meanwhile: all of them are in this list.
        let names: Vec<Arc<str>> = self.running().keys().cloned().collect();
        let complete =
            join_all(names.iter().map(|name| self.stop_route(name, deadline))).await.into_iter().all(|done| done);
        self.http_sources.lock().values().for_each(HttpSource::refuse_waiting);
        let store = self.store.clone();
        let closed = tokio::task::spawn_blocking(move || store.close()).await;
        complete && closed.is_ok()
    }

    /// The clients of AWS for a plan; from now on its routes share the receives of queues.
    async fn cloud(&self, plan: &Plan) -> Option<Cloud> {
        self.queues.set_routes(aws::queue_readers(plan));
        Some(Cloud::of(plan).await?.sharing(&self.queues))
    }

    /// Starts a route; `mode` is the one that it was in before, if it ran before.
    fn start_route(
        &self,
        plan: &Plan,
        cloud: Option<&Cloud>,
        spec: &plan::RouteSpec,
        plugin: impl Into<Arc<LoadedPlugin>>,
        mode: Option<Mode>,
    ) {
        let Some(source) = plan.sources.get(&spec.source) else { return };
        if self.options.until_idle && matches!(source, plan::Source::Generate { count: None, .. }) {
            tracing::warn!(route = %spec.name, source = %spec.source, "the source never ends and is not started with --until-idle");
            return;
        }
        // Counts go on from earlier runs, so that the account adds up across restarts.
        let counts = self.store.counts(&spec.name).unwrap_or_else(|fault| {
            tracing::error!(route = %spec.name, error = %fault, "cannot read what earlier runs counted; counting from 0");
            Counts::default()
        });
        let meter = Meter::starting_at(counts);
        let wiring = Wiring { store: &self.store, cloud, plan };
        let Some((route, parts)) = wiring.route(spec, plugin, meter) else { return };
        match self.store.paused(&spec.name) {
            Ok(false) => {}
            Ok(true) => {
                tracing::warn!(route = %spec.name, "the route is paused, as it was before the restart; `esclusa resume` resumes it");
                route.set_mode(Mode::Paused);
            }
            Err(fault) => {
                tracing::error!(route = %spec.name, error = %fault, "cannot read whether the route is paused")
            }
        }
        if let Some(mode) = mode {
            route.set_mode(mode);
        }
        let http_source = match source {
            plan::Source::Http { reply: true, .. } => {
                Some(self.http_sources.lock().entry(spec.source.clone()).or_default().clone())
            }
            _ => None,
        };
        let routes = plan.routes.iter().filter(|route| route.source == spec.source).count();
        let routes = u32::try_from(routes).unwrap_or(u32::MAX);
        let (open, lag) = sources::opener(self.store.clone(), cloud, spec, source.clone(), routes, http_source, parts);
        let serve = serve(route.clone(), self.shared.clone(), open, self.shared.activity.guard());
        let (alive, ended) = watch::channel(());
        let task = tokio::spawn(async move {
            serve.await;
            drop(alive);
        });
        let handled = Arc::default();
        let running = RunningRoute { route, task, ended, lag, handled, resources: Resources::of(plan, spec) };
        self.running().insert(spec.name.clone(), running);
    }

    /// Drains a route; it stays in the list. True if all events in flight were finished by the deadline.
    async fn stop_route(&self, name: &str, deadline: Duration) -> bool {
        let find = || self.running().get(name).map(|running| (running.route.clone(), running.ended.clone()));
        let Some((route, ended)) = find() else { return true };
        route.set_mode(Mode::Draining);
        let complete = ends(ended.clone(), deadline).await;
        if !complete {
            let in_flight = route.meter.read().in_flight;
            tracing::warn!(route = %name, in_flight, "not finished in time; events in flight will be delivered again");
            // Stopped drops the batches in flight; aborting the task is the last resort, for a route that hangs.
            route.set_mode(Mode::Stopped);
            if !ends(ended, CUT_OFF).await
                && let Some(running) = self.running().get(name)
            {
                running.task.abort();
            }
        }
        complete && !route.unsent.load(Ordering::Relaxed)
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, RunningRoute>> {
        self.running.lock()
    }
}

/// True if a route ends within this time.
async fn ends(mut ended: watch::Receiver<()>, time: Duration) -> bool {
    // Nothing is ever sent: the channel closes when the task drops the sender.
    tokio::time::timeout(time, ended.changed()).await.is_ok()
}
