//! An error that says how to go on. Errors of services, files and stores are mapped to it at the boundary traits.

use std::time::Duration;

/// The code of a fault: the store is so large that it takes nothing from outside. `esclusa explain` has its page.
pub const STORE_FULL: &str = "store.full";

/// Why a service, a file or a store did not do what the router asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// May work when tried again.
    #[error("{0}")]
    Transient(String),
    /// The service asks for fewer requests: try again, not before the given time.
    #[error("throttled: {reason}")]
    Throttled {
        /// The service's message.
        reason: String,
        /// How long to wait at least.
        after: Duration,
    },
    /// Trying again gives the same: an operator has to look.
    #[error("{0}")]
    Permanent(String),
    /// The router does not go on until an operator has acted, although nothing is broken: `code` is that of the page that says why.
    #[error("{reason}")]
    Refused {
        /// A code that `esclusa explain` knows.
        code: &'static str,
        /// What was found, and the remedy.
        reason: String,
    },
    /// The lane belongs to another poller or process now: commit nothing more and end the lane. Not an error.
    #[error("lease lost: {0}")]
    LeaseLost(String),
    /// Should not happen.
    #[error("bug: {0}")]
    Bug(String),
}

impl Fault {
    /// The code of a fault that has one of its own.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Fault::Refused { code, .. } => Some(code),
            _ => None,
        }
    }
}
