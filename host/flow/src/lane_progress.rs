//! The boundary to a source that hands its lanes to one member of a group at a time, and keeps their progress itself.

use crate::BoxFuture;
use crate::batch::Token;
use crate::engine::Progress;
use crate::fault::Fault;

/// The lanes of one route that this process owns at present, and their progress.
pub trait LaneProgress: Send + Sync {
    /// Waits until another process may own the lane, and gives the fault: at once if one may already. Cancel-safe.
    fn lost<'a>(&'a self, lane: &'a str) -> BoxFuture<'a, Fault>;

    /// Checks that this process owns the lane, and that the lane is where the batch continues from.
    ///
    /// # Errors
    /// [`Fault::LeaseLost`] otherwise.
    fn check(&self, lane: &str, progress: &Progress) -> Result<(), Fault>;

    /// Notes that the effects up to `to`, which is included, are durable. The source tells its service later, and again if the
    /// service refuses for now.
    ///
    /// # Errors
    /// [`Fault::LeaseLost`] if another process owns the lane: it gets these events again.
    fn settled(&self, lane: &str, to: &Token) -> Result<(), Fault>;
}
