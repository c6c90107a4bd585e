//! Keeps the progress of a route's lanes outside of the embedded engine: in a lease table, in the queue itself, or beside
//! the effects (`position_items`).

use aws_sdk_dynamodb::types::Update;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::Token;
use esclusa_flow::engine::Progress;
use esclusa_flow::fault::Fault;
use esclusa_flow::lane_progress::LaneProgress;
use parking_lot::RwLock;
use std::sync::Arc;

/// Keeps the progress of the lanes of one route.
pub trait ProgressStore: Send + Sync {
    /// Waits until another process may own the lane, and gives the fault: at once if one may already, never for lanes
    /// that cannot be lost. Writes outside of a transaction with the progress are given up then. Cancel-safe.
    fn lost<'a>(&'a self, lane: &'a str) -> BoxFuture<'a, Fault>;

    /// Settles `progress` after the effects were written.
    ///
    /// # Errors
    /// [`Fault::LeaseLost`] if another process owns the lane; nothing was settled then.
    fn settle<'a>(&'a self, lane: &'a str, progress: &'a Progress) -> BoxFuture<'a, Result<(), Fault>>;

    /// The settlement as a write for the transaction that holds the effects. Its condition: this process owns the lane,
    /// and the lane is at the position that the batch continues from. `None` if the progress cannot be part of a
    /// transaction.
    ///
    /// # Errors
    /// [`Fault::LeaseLost`] if another process is known to own the lane.
    fn write(&self, lane: &str, progress: &Progress) -> Result<Option<Update>, Fault>;

    /// The transaction with the write of [`ProgressStore::write`] has happened. Does nothing if nobody else has to know.
    fn moved(&self, _lane: &str, _progress: &Progress) {}

    /// Records that the batch in work ends at `to`, before an effect whose content depends on the bounds of its batch:
    /// the next owner repeats exactly that batch. Does nothing if the source has no order.
    ///
    /// # Errors
    /// [`Fault::LeaseLost`] if another process owns the lane.
    fn prepare<'a>(&'a self, lane: &'a str, to: &'a Token) -> BoxFuture<'a, Result<(), Fault>>;
}

/// A progress store that is set later: an engine is made before its source is opened, and outlives it when the source
/// is opened again.
#[derive(Default)]
pub struct LateProgressStore(RwLock<Option<Arc<dyn ProgressStore>>>);

impl LateProgressStore {
    /// Sets the progress store of the source that was just opened.
    pub fn set(&self, progress_store: Option<Arc<dyn ProgressStore>>) {
        *self.0.write() = progress_store;
    }

    fn progress_store(&self) -> Result<Arc<dyn ProgressStore>, Fault> {
        let progress_store = self.0.read().clone();
        progress_store.ok_or_else(|| Fault::LeaseLost("the source is not open".to_owned()))
    }
}

impl ProgressStore for LateProgressStore {
    fn lost<'a>(&'a self, lane: &'a str) -> BoxFuture<'a, Fault> {
        Box::pin(async move {
            match self.progress_store() {
                Ok(progress_store) => progress_store.lost(lane).await,
                Err(fault) => fault,
            }
        })
    }

    fn settle<'a>(&'a self, lane: &'a str, progress: &'a Progress) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move { self.progress_store()?.settle(lane, progress).await })
    }

    fn write(&self, lane: &str, progress: &Progress) -> Result<Option<Update>, Fault> {
        self.progress_store()?.write(lane, progress)
    }

    fn moved(&self, lane: &str, progress: &Progress) {
        if let Ok(progress_store) = self.progress_store() {
            progress_store.moved(lane, progress);
        }
    }

    fn prepare<'a>(&'a self, lane: &'a str, to: &'a Token) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move { self.progress_store()?.prepare(lane, to).await })
    }
}

/// The positions of a commit; `None` if it settles none.
pub(crate) fn reached(progress: &Progress) -> Option<(Option<&Token>, &Token)> {
    match progress {
        Progress::Position { from, to } => Some((from.as_ref(), to)),
        _ => None,
    }
}

/// The progress of lanes that their service keeps itself, after the effects: at-least-once.
#[must_use]
pub fn of_lanes(lanes: Arc<dyn LaneProgress>) -> Arc<dyn ProgressStore> {
    Arc::new(KeptByService(lanes))
}

struct KeptByService(Arc<dyn LaneProgress>);

impl ProgressStore for KeptByService {
    fn lost<'a>(&'a self, lane: &'a str) -> BoxFuture<'a, Fault> {
        self.0.lost(lane)
    }

    fn settle<'a>(&'a self, lane: &'a str, progress: &'a Progress) -> BoxFuture<'a, Result<(), Fault>> {
        let settled = self.0.check(lane, progress).and_then(|()| match reached(progress) {
            Some((_, to)) => self.0.settled(lane, to),
            None => Ok(()),
        });
        Box::pin(std::future::ready(settled))
    }

    fn write(&self, lane: &str, progress: &Progress) -> Result<Option<Update>, Fault> {
        self.0.check(lane, progress).map(|()| None)
    }

    fn prepare<'a>(&'a self, _: &'a str, _: &'a Token) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
