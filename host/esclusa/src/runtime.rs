//! The router at work: routes that run, are reloaded, drained and asked about.
//!
//! Wiring only. What may be settled when is decided in `esclusa-flow`; what is durable, in the engine.

pub mod ask;
pub mod bench;
pub mod change;
#[cfg_attr(not(feature = "aws"), path = "runtime/no_cloud.rs")]
pub mod cloud;
pub mod health;
pub mod invoke;
mod newest;
pub mod plugins;
mod reachable;
pub mod redrive;
pub mod replay;
pub mod schema;
mod sources;
pub mod status;
mod wiring;

use arc_swap::ArcSwap;
use ask::Desk;
use cloud::{Cloud, Queues};
use esclusa_config::Loaded;
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
use esclusa_sandbox::Sandbox;
use futures_util::future::join_all;
use newest::Newest;
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use wiring::{Resources, Wiring};

/// A commit in work is short; a route that hangs for longer than that is cut off.
const CUT_OFF: Duration = Duration::from_secs(2);

/// How the router is run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Stop when nothing is left to do: sources that never end are not started.
    pub until_idle: bool,
}

/// Why the router does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be opened.
    #[error("{0}")]
    Store(String),
    /// A file that is to be read to its end does not exist.
    #[error("source {source_name:?}: {} does not exist, and with --until-idle it is not waited for", path.display())]
    Missing {
        /// The source.
        source_name: Arc<str>,
        /// The file.
        path: PathBuf,
    },
    /// Plugins do not fit their routes: route and reason, each.
    #[error("{} plugin(s) cannot be used", .0.len())]
    Plugins(Vec<(Arc<str>, plugins::Refused)>),
    /// The sandbox cannot be set up.
    #[error("{0}")]
    Sandbox(String),
}

/// A route that runs, and the task that serves it.
struct Running {
    route: Arc<Route>,
    task: JoinHandle<()>,
    /// How far it is behind in the shards of its source.
    lag: Option<Arc<Lag>>,
    /// Closed once the task has ended.
    ended: watch::Receiver<()>,
    resources: Resources,
}

/// The router at work.
pub struct Runtime {
    sandbox: Sandbox,
    store: Store,
    shared: Arc<LaneContext>,
    options: Options,
    desks: Mutex<BTreeMap<Arc<str>, Desk>>,
    /// Queues of SQS; routes of one source share what is received.
    queues: Queues,
    /// One reload at a time changes what runs; plugins are loaded before.
    turn: tokio::sync::Mutex<()>,
    /// Reloads that load.
    newest: Newest,
    /// The router stops: a reload goes no further.
    stopping: watch::Sender<bool>,
    running: Mutex<BTreeMap<Arc<str>, Running>>,
    loaded: ArcSwap<Loaded>,
    reloads: Mutex<Vec<status::Reload>>,
}

impl Runtime {
    /// Opens the store, loads every plugin, and starts every route.
    ///
    /// # Errors
    /// [`StartError`]; nothing was started.
    pub async fn start(loaded: Loaded, sandbox: Sandbox, options: Options) -> Result<Arc<Self>, StartError> {
        let plan = &loaded.plan;
        if options.until_idle {
            files_exist(plan)?;
        }
        let (directory, schema) = (plan.engine.clone(), schema::of(plan));
        let opened = tokio::task::spawn_blocking(move || Store::open(&directory, schema)).await;
        let opened = opened.map_err(|error| StartError::Store(error.to_string()))?;
        let store = opened.map_err(|error| StartError::Store(error.to_string()))?;
        let versions = plugins::load_all(&sandbox, plan.routes.iter()).await.map_err(StartError::Plugins)?;
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
            desks: Mutex::default(),
            queues: Queues::default(),
            turn: tokio::sync::Mutex::default(),
            newest: Newest::default(),
            stopping: watch::Sender::new(false),
            running: Mutex::default(),
            loaded: ArcSwap::from_pointee(loaded),
            reloads: Mutex::default(),
        });
        let loaded = runtime.loaded.load_full();
        let cloud = runtime.cloud(&loaded.plan).await;
        for (spec, version) in loaded.plan.routes.iter().zip(versions) {
            runtime.launch(&loaded.plan, cloud.as_ref(), spec, version);
        }
        Ok(runtime)
    }

    /// The configuration in force.
    #[must_use]
    pub fn loaded(&self) -> Arc<Loaded> {
        self.loaded.load_full()
    }

    /// The embedded engine.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Where requests of an `http` source with `reply = true` go in.
    #[must_use]
    pub fn desk(&self, source: &str) -> Option<Desk> {
        self.desks.lock().get(source).cloned()
    }

    /// True where no route that reads the source takes anything now.
    #[must_use]
    pub fn rests(&self, source: &str) -> bool {
        let running = self.running();
        let mut readers = running.values().filter(|running| *running.route.spec.source == *source);
        readers.all(|reader| matches!(reader.route.mode(), Mode::Paused | Mode::Halted(_)))
    }

    /// Waits until nothing is left to do.
    pub async fn until_idle(&self) {
        self.shared.activity.wait(|| (self.shared.commit_count)()).await;
    }

    /// Pauses or resumes a route, which outlasts reloads and restarts; false where there is none of that name.
    ///
    /// # Errors
    /// A [`Fault`] where that cannot be kept; nothing has changed then.
    pub async fn pause(&self, route: &str, pause: bool) -> Result<bool, Fault> {
        let _turn = self.turn.lock().await;
        let find = || self.running().get(route).map(|running| running.route.clone());
        let Some(found) = find() else { return Ok(false) };
        // Where routes.toml says that it rests, that is what counts after a restart.
        self.store.set_paused(route, pause && found.spec.enabled).await?;
        found.set_mode(if pause { Mode::Paused } else { Mode::Running });
        Ok(true)
    }

    /// Stops taking events, finishes what is in flight, and drops what is not finished by the deadline. True where
    /// everything was finished.
    pub async fn stop(&self, deadline: Duration) -> bool {
        self.stopping.send_replace(true);
        let _turn = self.turn.lock().await;
        let names: Vec<Arc<str>> = self.running().keys().cloned().collect();
        let complete =
            join_all(names.iter().map(|name| self.retire(name, deadline))).await.into_iter().all(|done| done);
        let store = self.store.clone();
        let closed = tokio::task::spawn_blocking(move || store.close()).await;
        complete && closed.is_ok()
    }

    /// AWS as a plan uses it; its routes read queues together from now on.
    async fn cloud(&self, plan: &Plan) -> Option<Cloud> {
        self.queues.set_routes(cloud::readers(plan));
        Some(Cloud::of(plan).await?.sharing(&self.queues))
    }

    /// Starts a route.
    fn launch(
        &self,
        plan: &Plan,
        cloud: Option<&Cloud>,
        spec: &plan::RouteSpec,
        version: impl Into<Arc<LoadedPlugin>>,
    ) {
        self.launch_as(plan, cloud, spec, version, None);
    }

    /// Starts a route, in a mode that it was in before.
    fn launch_as(
        &self,
        plan: &Plan,
        cloud: Option<&Cloud>,
        spec: &plan::RouteSpec,
        version: impl Into<Arc<LoadedPlugin>>,
        mode: Option<Mode>,
    ) {
        let Some(source) = plan.sources.get(&spec.source) else { return };
        if self.options.until_idle && matches!(source, plan::Source::Generate { count: None, .. }) {
            tracing::warn!(route = %spec.name, source = %spec.source, "the source never ends and is not started with --until-idle");
            return;
        }
        let counts = self.store.counts(&spec.name).unwrap_or_else(|fault| {
            tracing::error!(route = %spec.name, error = %fault, "cannot read what earlier runs counted; counting from 0");
            Counts::default()
        });
        let meter = Meter::starting_at(counts);
        let wiring = Wiring { store: &self.store, cloud, plan };
        let Some((route, slot)) = wiring.route(spec, version, meter) else { return };
        match self.store.paused(&spec.name) {
            Ok(false) => {}
            Ok(true) => {
                tracing::warn!(route = %spec.name, "the route is paused, as it was before; `esclusa resume` lets it go on");
                route.set_mode(Mode::Paused);
            }
            Err(fault) => {
                tracing::error!(route = %spec.name, error = %fault, "cannot read whether the route is paused")
            }
        }
        if let Some(mode) = mode {
            route.set_mode(mode);
        }
        let desk = match source {
            plan::Source::Http { reply: true, .. } => {
                Some(self.desks.lock().entry(spec.source.clone()).or_default().clone())
            }
            _ => None,
        };
        let routes = plan.routes.iter().filter(|route| route.source == spec.source).count();
        let routes = u32::try_from(routes).unwrap_or(u32::MAX);
        let (open, lag) = sources::opener(self.store.clone(), cloud, spec, source.clone(), routes, desk, slot);
        let serve = serve(route.clone(), self.shared.clone(), open, self.shared.activity.guard());
        let (alive, ended) = watch::channel(());
        let task = tokio::spawn(async move {
            serve.await;
            drop(alive);
        });
        let running = Running { route, task, ended, lag, resources: Resources::of(plan, spec) };
        self.running().insert(spec.name.clone(), running);
    }

    /// Drains a route; it is still listed. True where everything in flight was finished by the deadline.
    async fn retire(&self, name: &str, deadline: Duration) -> bool {
        let find = || self.running().get(name).map(|running| (running.route.clone(), running.ended.clone()));
        let Some((route, ended)) = find() else { return true };
        route.set_mode(Mode::Draining);
        let complete = ends(ended.clone(), deadline).await;
        if !complete {
            let in_flight = route.meter.read().in_flight;
            tracing::warn!(route = %name, in_flight, "not finished in time; what is in flight will be delivered again");
            route.set_mode(Mode::Stopped);
            if !ends(ended, CUT_OFF).await
                && let Some(running) = self.running().get(name)
            {
                running.task.abort();
            }
        }
        complete && !route.unsent.load(Ordering::Relaxed)
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Running>> {
        self.running.lock()
    }
}

/// True where a route ends within the time.
async fn ends(mut ended: watch::Receiver<()>, time: Duration) -> bool {
    // Nothing is ever sent: what comes is that the task has dropped its end.
    tokio::time::timeout(time, ended.changed()).await.is_ok()
}

/// A file that does not exist would never come to its end.
fn files_exist(plan: &Plan) -> Result<(), StartError> {
    for route in plan.routes.iter().filter(|r| r.enabled) {
        if let Some(plan::Source::File { path, follow: false }) = plan.sources.get(&route.source)
            && !path.exists()
        {
            return Err(StartError::Missing { source_name: route.source.clone(), path: path.clone() });
        }
    }
    Ok(())
}
