//! The final word on an event.

use std::time::Duration;

/// What became of an event. Every event ends in exactly one counted state (invariant 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its effects are confirmed.
    Done,
    /// The plugin finished it on purpose without effects.
    Skipped(String),
    /// The route's filter does not match it.
    Filtered,
    /// To the dead letters.
    Dead(Reason),
    /// Given back to its queue, invisible for so long. Not final: the event will come again.
    Returned(Duration),
}

/// Why an event was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Stable code: `rejected`, `retries-exhausted`, `expired`, or the code of the last failure.
    pub code: String,
    /// In words.
    pub message: String,
    /// The guest's backtrace, where there is one.
    pub backtrace: Option<String>,
    /// The guest's last log lines.
    pub logs: Vec<String>,
}

impl Reason {
    /// A reason without backtrace and logs.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Reason { code: code.to_owned(), message: message.into(), backtrace: None, logs: Vec::new() }
    }
}
