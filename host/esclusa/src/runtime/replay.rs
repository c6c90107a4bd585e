//! Rebuilds tables from a source that keeps its events: they are read once more, from the oldest on, and go through the
//! route's filter and plugin; what the plugin writes to a table of the route is written to another, empty one.
//!
//! Nothing else of the route happens: no messages, no objects, no dead letters, no counts, no positions. Where it breaks
//! off, the other table holds a part, and nothing else was touched.

mod gone;
mod order;
mod past;
mod redirect;

pub use gone::Gone;
pub use order::{Job, Order, Refused};

use super::cloud::{Cloud, LateProgressStore};
use super::sources;
use esclusa_config::plan::{self, Table};
use esclusa_embedded::Store;
use esclusa_flow::engine::Engine;
use esclusa_flow::fault::Fault;
use esclusa_flow::outbox::SendObserver;
use esclusa_pipeline::activity::Activity;
use esclusa_pipeline::commit::ProgressKind;
use esclusa_pipeline::context::LaneContext;
use esclusa_pipeline::meter::{Meter, epoch_millis};
use esclusa_pipeline::output_meter::OutputMeters;
use esclusa_pipeline::route::{LoadedPlugin, Mode, Route};
use esclusa_pipeline::serve::{self, OpenSource};
use past::Past;
use redirect::{Redirect, Tally, Uncounted};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinSet;

/// The stores that a rebuild works on.
pub struct Stores {
    /// The one of the configuration, where the job [needs it](Job::needs_store).
    pub own: Option<Store>,
    /// An empty one that is thrown away: positions on the way.
    pub scratch: Store,
}

/// What a rebuild did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Events that the plugin has handled.
    pub events: u64,
    /// Writes to the tables that were rebuilt.
    pub effects: u64,
    /// What was not carried out.
    pub left_out: LeftOut,
    /// What the source did not keep; `None`: nothing, or it cannot tell.
    pub gone: Option<Gone>,
}

/// What a rebuild does not carry out.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct LeftOut {
    /// Events that the filter, or the time asked for, leaves out.
    pub filtered: u64,
    /// Events that the plugin has rejected: the route has them among its dead letters.
    pub rejected: u64,
    /// Messages.
    pub messages: u64,
    /// Objects.
    pub objects: u64,
    /// Writes to tables that are not rebuilt.
    pub writes: u64,
}

/// Why tables were not rebuilt, or only in part.
#[derive(Debug, thiserror::Error)]
pub enum NotRebuilt {
    /// Something on AWS cannot be used: nothing was written.
    #[error("{0}")]
    Unreachable(String),
    /// A table holds items: nothing was written.
    #[error(
        "table {0:?} is not empty, so what it would hold afterwards is not the state of the source: name an empty one, such as a new [table.NAME] of routes.toml"
    )]
    NotEmpty(String),
    /// A table cannot be read.
    #[error("table {table:?}: {why}")]
    Unreadable {
        /// Its name.
        table: String,
        /// Why.
        why: String,
    },
    /// The source cannot be asked what it keeps.
    #[error("{0}")]
    Unasked(String),
    /// The plugin failed, or what it wants cannot be done.
    #[error("{0}; the table holds what came before")]
    Failed(String),
}

/// Rebuilds. `version` is the plugin, loaded for the route of the job.
///
/// # Errors
/// [`NotRebuilt`].
pub async fn rebuild(job: &Job, stores: &Stores, version: LoadedPlugin) -> Result<Summary, NotRebuilt> {
    let cloud = Cloud::of(&job.plan).await;
    reachable(job, cloud.as_ref()).await?;
    empty(job, stores, cloud.as_ref()).await?;
    let gone = gone::gone(job, stores.own.as_ref(), cloud.as_ref()).await.map_err(NotRebuilt::Unasked)?;
    let store = stores.own.as_ref().unwrap_or(&stores.scratch).clone();
    let local: Arc<dyn Engine> = Arc::new(Uncounted(Arc::new(store.clone())));
    // Nothing is sent.
    let none = (BTreeMap::new(), OutputMeters::of(&job.route.name, std::iter::empty()));
    let sinks = (BTreeMap::new(), none.1.clone() as Arc<dyn SendObserver>);
    let above = cloud.as_ref().and_then(|cloud| cloud.engine(&job.plan, &job.wired, local.clone(), sinks, None));
    let tally = Arc::new(Tally::default());
    let redirect = Redirect::new(above.unwrap_or(local), job, tally.clone());
    let facts = (job.source.kind().into(), ProgressKind::Nothing, job.plan.marks(&job.wired));
    let route = Route::new(job.route.clone(), facts, Arc::new(redirect), none, version, Meter::default());
    let shared = Arc::new(LaneContext {
        activity: Arc::new(Activity::default()),
        start: tokio::time::Instant::now(),
        commit_count: Box::new(move || store.version()),
    });
    let open = open(job, stores, cloud.as_ref(), tally.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(serve::serve(route.clone(), shared.clone(), open, shared.activity.guard()));
    let failure = tokio::select! {
        () = shared.activity.wait(|| (shared.commit_count)()) => None,
        why = tally.failed() => Some(why),
    };
    tasks.shutdown().await;
    if let Some(why) = failure {
        return Err(NotRebuilt::Failed(why));
    }
    if let Mode::Halted(reason) = route.mode() {
        return Err(NotRebuilt::Failed(format!("the plugin stopped the route: {reason}")));
    }
    Ok(Summary { gone, ..summary(&route, &tally) })
}

fn summary(route: &Route, tally: &Tally) -> Summary {
    let mut summary = tally.read();
    let counts = route.meter.read().counts;
    summary.events = counts.done.saturating_add(counts.skipped);
    summary.left_out.filtered = counts.filtered;
    summary.left_out.rejected = counts.dead;
    summary
}

/// Opens the source, once: opened again it would begin again, and events would be handled twice.
fn open(job: &Job, stores: &Stores, cloud: Option<&Cloud>, tally: Arc<Tally>) -> OpenSource {
    let own = stores.own.clone().filter(|_| job.logged());
    let store = own.unwrap_or_else(|| stores.scratch.clone());
    // Under a name of its own it has no position.
    let reader = plan::RouteSpec { name: job.run.clone(), ..job.route.clone() };
    let (inner, _) =
        sources::opener(store, cloud, &reader, job.source.clone(), 1, None, Arc::new(LateProgressStore::default()));
    let (route, end, opened) = (job.route.name.clone(), job.end(epoch_millis()), AtomicBool::new(false));
    let opened = Arc::new(opened);
    Arc::new(move || {
        let (inner, route, tally, opened) = (inner.clone(), route.clone(), tally.clone(), opened.clone());
        Box::pin(async move {
            if opened.load(Ordering::Relaxed) {
                tally.fail("reading the source broke off".to_owned());
                return Err(Fault::Permanent("a source is read once".to_owned()));
            }
            let source = inner().await?;
            opened.store(true, Ordering::Relaxed);
            Ok(Box::new(Past::new(source, route, end)) as Box<dyn esclusa_flow::source::Source>)
        })
    })
}

async fn reachable(job: &Job, cloud: Option<&Cloud>) -> Result<(), NotRebuilt> {
    let Some(cloud) = cloud else { return Ok(()) };
    let found = cloud.check(&job.plan).await;
    if found.is_empty() {
        return Ok(());
    }
    Err(NotRebuilt::Unreachable(found.into_iter().map(|one| one.why).collect::<Vec<_>>().join("; ")))
}

/// Every table that is written has to be empty.
async fn empty(job: &Job, stores: &Stores, cloud: Option<&Cloud>) -> Result<(), NotRebuilt> {
    for name in job.tables.values() {
        let first = match (job.plan.tables.get(name), &stores.own, cloud) {
            (Some(Table::Embedded(_)), Some(store), _) => {
                store.scan_all(name).next().transpose().map(|item| item.is_some()).map_err(|error| error.to_string())
            }
            (Some(Table::Dynamodb { name: there, place, .. }), _, Some(cloud)) => {
                cloud.holds_items(name, there, place).await
            }
            _ => Err("it is not open".to_owned()),
        };
        match first {
            Ok(false) => {}
            Ok(true) => return Err(NotRebuilt::NotEmpty(name.clone())),
            Err(why) => return Err(NotRebuilt::Unreadable { table: name.clone(), why }),
        }
    }
    Ok(())
}
