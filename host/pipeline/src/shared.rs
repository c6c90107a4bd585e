//! What the router gives to every lane: one clock, one note of who is idle, one count of commits.

use crate::activity::Activity;
use std::sync::Arc;
use std::time::Instant;

/// What lanes of all routes share.
pub struct Shared {
    /// Who is idle.
    pub idle: Arc<Activity>,
    /// Start of the monotonic clock.
    pub start: Instant,
    /// The engine's version.
    pub version: Box<dyn Fn() -> u64 + Send + Sync>,
}
