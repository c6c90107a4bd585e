//! An error that says what to do. Errors of the world are mapped to it at the boundary traits.

use std::time::Duration;

/// Why the world did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// May work when tried again.
    #[error("{0}")]
    Transient(String),
    /// Asked too much; try again, not before the given time.
    #[error("throttled: {reason}")]
    Throttled {
        /// What the service said.
        reason: String,
        /// How long to wait at least.
        after: Duration,
    },
    /// Trying again gives the same; somebody must look.
    #[error("{0}")]
    Permanent(String),
    /// The lane belongs to another owner now: commit nothing more, stop the lane, no error.
    #[error("lease lost: {0}")]
    LeaseLost(String),
    /// Should not happen.
    #[error("bug: {0}")]
    Bug(String),
}
