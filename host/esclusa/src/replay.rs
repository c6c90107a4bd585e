//! `esclusa replay`: runs a route's plugin over the events that its source keeps, from the oldest on. The plugin's
//! writes to a table of the route go to another, empty table.
//!
//! Nothing else of the route happens: no messages, no objects, no dead letters, no counts, no positions. If the replay
//! breaks off, the other table has a part of the items, and nothing else was changed.

mod bounded;
mod redirect_engine;
mod request;
mod trimmed;

pub(crate) use request::{ReplayJob, ReplayRefusal, ReplayRequest};
pub(crate) use trimmed::TrimmedEvents;

use crate::wiring::aws::Cloud;
use crate::wiring::kafka::KafkaTopics;
use crate::wiring::{self, PositionStore, SourceParts, sources};
use bounded::BoundedSource;
use esclusa_config::plan::{self, TableSpec};
use esclusa_embedded::Store;
use esclusa_flow::engine::Engine;
use esclusa_flow::fault::Fault;
use esclusa_flow::outbox::CommitSender;
use esclusa_pipeline::activity::Activity;
use esclusa_pipeline::commit::ProgressKind;
use esclusa_pipeline::context::LaneContext;
use esclusa_pipeline::meter::{Meter, epoch_millis};
use esclusa_pipeline::output_meter::OutputMeters;
use esclusa_pipeline::route::{LoadedPlugin, Mode, Route};
use esclusa_pipeline::serve::{self, OpenSource};
use redirect_engine::{RedirectEngine, ReplayTally, UncountedEngine};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// The stores that a replay uses.
pub(crate) struct ReplayStores {
    /// The store of the configuration, if the job [needs it](ReplayJob::needs_store).
    pub own: Option<Store>,
    /// An empty store for positions, which is removed afterwards.
    pub scratch: Store,
}

/// The result of a replay.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct ReplaySummary {
    /// Events that the plugin has handled.
    pub events: u64,
    /// Writes to the other tables.
    pub effects: u64,
    /// Everything that was not carried out.
    pub left_out: LeftOut,
    /// Events that the source has trimmed; `None`: none, or it does not know.
    pub gone: Option<TrimmedEvents>,
}

/// Counts of everything that a replay does not carry out.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct LeftOut {
    /// Events that the filter or the time range leaves out.
    pub filtered: u64,
    /// Events that the plugin rejected: they are among the dead letters of the route.
    pub rejected: u64,
    /// Messages.
    pub messages: u64,
    /// Objects.
    pub objects: u64,
    /// Writes to tables that are not replayed.
    pub writes: u64,
}

/// Why tables were not replayed, or only in part.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReplayed {
    /// A resource on AWS cannot be used: nothing was written.
    #[error("{0}")]
    Unreachable(String),
    /// A table has items: nothing was written.
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
    /// The source does not say which events it keeps.
    #[error("{0}")]
    Unasked(String),
    /// The plugin failed, or an effect was refused.
    #[error("{0}; the table holds what came before")]
    Failed(String),
}

/// Runs a replay with the plugin of the route of the job.
///
/// # Errors
/// [`NotReplayed`].
pub(crate) async fn replay(
    job: &ReplayJob,
    stores: &ReplayStores,
    plugin: LoadedPlugin,
) -> Result<ReplaySummary, NotReplayed> {
    let cloud = Cloud::of(&job.plan).await;
    // All checks come before the first write: a refused replay leaves the other table empty.
    reachable(job, cloud.as_ref()).await?;
    empty(job, stores, cloud.as_ref()).await?;
    let gone = trimmed::gone(job, stores.own.as_ref(), cloud.as_ref()).await.map_err(NotReplayed::Unasked)?;
    let store = stores.own.as_ref().unwrap_or(&stores.scratch).clone();
    let local: Arc<dyn Engine> = Arc::new(UncountedEngine(Arc::new(store.clone())));
    // No sinks: messages are counted and left out.
    let none = (BTreeMap::new(), OutputMeters::of(&job.route.name, std::iter::empty()));
    let sender = CommitSender { sinks: BTreeMap::new(), observer: none.1.clone(), backoff: job.wired.policy.backoff };
    let above = cloud.as_ref().and_then(|cloud| cloud.engine(&job.plan, &job.wired, local.clone(), sender, None));
    let tally = Arc::new(ReplayTally::default());
    let redirect = RedirectEngine::new(above.unwrap_or(local), job, tally.clone());
    let facts = (job.source.kind().into(), ProgressKind::Nothing, job.plan.needs_dedup(&job.wired));
    // Without a breaker: a replay has to end, with its events or with the failure.
    let spec = plan::RouteSpec { breaker: Duration::ZERO, ..job.route.clone() };
    let route = Route::new(spec, facts, Arc::new(redirect), none, plugin, Meter::default());
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
    // The route ends before its counts are read: no commit comes after.
    tasks.shutdown().await;
    if let Some(why) = failure {
        return Err(NotReplayed::Failed(why));
    }
    if let Mode::Halted(reason) = route.mode() {
        return Err(NotReplayed::Failed(format!("the plugin stopped the route: {reason}")));
    }
    Ok(ReplaySummary { gone, ..summary(&route, &tally) })
}

fn summary(route: &Route, tally: &ReplayTally) -> ReplaySummary {
    let mut summary = tally.read();
    let counts = route.meter.read().counts;
    summary.events = counts.done.saturating_add(counts.skipped);
    summary.left_out.filtered = counts.filtered;
    summary.left_out.rejected = counts.dead;
    summary
}

/// Opens the source once. A second opening would begin at the oldest event again, and events would be handled twice.
fn open(job: &ReplayJob, stores: &ReplayStores, cloud: Option<&Cloud>, tally: Arc<ReplayTally>) -> OpenSource {
    let own = stores.own.clone().filter(|_| job.logged());
    let store = own.unwrap_or_else(|| stores.scratch.clone());
    // The reader has a name of its own, under which the store has no position: it begins at the oldest event.
    let reader = plan::RouteSpec { name: job.run.clone(), consumer_group: None, ..job.route.clone() };
    let kafka = KafkaTopics::of(&reader, &job.source, PositionStore::Group);
    let parts = SourceParts { progress_store: Arc::default(), kafka };
    let (inner, _) = sources::opener(store, cloud, &reader, job.source.clone(), 1, None, parts);
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
            Ok(Box::new(BoundedSource::new(source, route, end)) as Box<dyn esclusa_flow::source::Source>)
        })
    })
}

async fn reachable(job: &ReplayJob, cloud: Option<&Cloud>) -> Result<(), NotReplayed> {
    let found = wiring::unreachable(cloud, &job.plan).await;
    if found.is_empty() {
        return Ok(());
    }
    Err(NotReplayed::Unreachable(found.into_iter().map(|one| one.why).collect::<Vec<_>>().join("; ")))
}

/// Fails unless every table that is written is empty.
async fn empty(job: &ReplayJob, stores: &ReplayStores, cloud: Option<&Cloud>) -> Result<(), NotReplayed> {
    for name in job.tables.values() {
        let first = match (job.plan.tables.get(name), &stores.own, cloud) {
            (Some(TableSpec::Embedded(_)), Some(store), _) => {
                store.scan_all(name).next().transpose().map(|item| item.is_some()).map_err(|error| error.to_string())
            }
            (Some(TableSpec::Dynamodb { name: there, place, .. }), _, Some(cloud)) => {
                cloud.holds_items(name, there, place).await
            }
            _ => Err("it is not open".to_owned()),
        };
        match first {
            Ok(false) => {}
            Ok(true) => return Err(NotReplayed::NotEmpty(name.clone())),
            Err(why) => return Err(NotReplayed::Unreadable { table: name.clone(), why }),
        }
    }
    Ok(())
}
