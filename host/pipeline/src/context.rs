//! What the router gives to every lane: one clock, one record of who is idle, one count of commits.

use crate::activity::Activity;
use std::sync::Arc;
use tokio::time::Instant;

/// What lanes of all routes share.
pub struct LaneContext {
    /// Who is idle.
    pub activity: Arc<Activity>,
    /// Start of the monotonic clock.
    pub start: Instant,
    /// How many commits the engine has made so far.
    pub commit_count: Box<dyn Fn() -> u64 + Send + Sync>,
}
