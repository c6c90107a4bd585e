//! Where the progress of a route's lanes is kept outside of the embedded engine: a lease table, or a queue.

use aws_sdk_dynamodb::types::Update;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::Token;
use esclusa_flow::engine::Progress;
use esclusa_flow::fault::Fault;

/// Keeps the progress of the lanes of one route.
pub trait Keeper: Send + Sync {
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
