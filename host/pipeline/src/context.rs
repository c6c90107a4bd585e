//! The router's context for every lane: one clock, one record of idle lanes, one count of commits.

use crate::activity::Activity;
use std::sync::Arc;
use tokio::time::Instant;

/// Shared by the lanes of all routes.
pub struct LaneContext {
    /// Which lanes are idle.
    pub activity: Arc<Activity>,
    /// Start of the monotonic clock.
    pub start: Instant,
    /// How many commits the engine has made so far.
    pub commit_count: Box<dyn Fn() -> u64 + Send + Sync>,
}
