//! Where the progress of a route's lanes is kept outside of the embedded engine: a lease table, or a queue.

use aws_sdk_dynamodb::types::Update;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::Token;
use esclusa_flow::engine::Progress;
use esclusa_flow::fault::Fault;
use parking_lot::RwLock;
use std::sync::Arc;

/// Keeps the progress of the lanes of one route.
pub trait ProgressStore: Send + Sync {
    /// Waits until the lane may belong to somebody else, and says so: at once where that is so already, never where it
    /// cannot be. What is written outside of a transaction with the progress is given up then. Cancel-safe.
    fn lost<'a>(&'a self, lane: &'a str) -> BoxFuture<'a, Fault>;

    /// Settles `progress` after the effects were written.
    ///
    /// # Errors
    /// [`Fault::LeaseLost`] where the lane belongs to somebody else; nothing was settled then.
    fn settle<'a>(&'a self, lane: &'a str, progress: &'a Progress) -> BoxFuture<'a, Result<(), Fault>>;

    /// The same as a write in the transaction that holds the effects, conditional on owning the lane at the position
    /// that it continues from. `None` where the progress cannot be part of a transaction.
    ///
    /// # Errors
    /// [`Fault::LeaseLost`] where the lane is known to belong to somebody else.
    fn write(&self, lane: &str, progress: &Progress) -> Result<Option<Update>, Fault>;

    /// Records that the batch in work ends at `to`, before an effect whose content depends on the bounds of its
    /// batch: whoever takes over repeats exactly that batch. Does nothing where the source has no order.
    ///
    /// # Errors
    /// [`Fault::LeaseLost`] where the lane belongs to somebody else.
    fn prepare<'a>(&'a self, lane: &'a str, to: &'a Token) -> BoxFuture<'a, Result<(), Fault>>;
}

/// A keeper that is found later: an engine is made before its source is opened, and outlives it when that is opened again.
#[derive(Default)]
pub struct LateProgressStore(RwLock<Option<Arc<dyn ProgressStore>>>);

impl LateProgressStore {
    /// Puts the keeper of the source that was just opened in place.
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

    fn prepare<'a>(&'a self, lane: &'a str, to: &'a Token) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move { self.progress_store()?.prepare(lane, to).await })
    }
}
