//! What a route counts while it runs, for status, the dashboard and audits.
//!
//! `received` and `in flight` are counted where batches come and go, the verdicts where commits succeed: that the
//! sum is right (invariant 8) is a statement about the router, not about this file.

use esclusa_flow::counts::Counts;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Counters of a route.
#[derive(Debug, Default)]
pub struct Meter(Mutex<Reading>);

/// A reading of a meter; all of one moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
pub struct Reading {
    /// Events taken from the source and not released.
    pub received: u64,
    /// Where they ended.
    pub counts: Counts,
    /// Events taken and not settled.
    pub in_flight: u64,
    /// Times that events were released: they went back to their queue.
    pub released: u64,
    /// Calls of the plugin.
    pub calls: u64,
    /// Calls that failed.
    pub failed_calls: u64,
    /// Time spent in calls, microseconds.
    pub call_micros: u64,
    /// Commits.
    pub commits: u64,
    /// Time spent in commits, microseconds.
    pub commit_micros: u64,
    /// Commits repeated because a guard did not hold.
    pub reruns: u64,
    /// Writes left out because a guard did not hold.
    pub skipped_writes: u64,
    /// Messages sent outside.
    pub sent: u64,
    /// The last thing that went wrong; what went wrong with the source only as long as it does.
    pub last_error: Option<LastError>,
    /// Set while events wait for their next try.
    pub waiting: Option<Waiting>,
}

/// The last thing that went wrong in a route.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct LastError {
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    /// Stable code.
    pub code: String,
    /// In words. May hold text of a guest: escape it where it is shown.
    pub message: String,
}

/// Events that wait for their next try.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Waiting {
    /// How often the first of them was tried.
    pub attempt: u32,
    /// When it is tried again, milliseconds since the Unix epoch.
    pub next: u64,
}

impl Meter {
    /// A meter that goes on from what earlier runs settled.
    #[must_use]
    pub fn starting_at(counts: Counts) -> Self {
        Meter(Mutex::new(Reading { received: counts.settled(), counts, ..Reading::default() }))
    }

    /// Changes the reading; everything in one call is seen together.
    pub fn change(&self, f: impl FnOnce(&mut Reading)) {
        f(&mut self.0.lock());
    }

    /// The present reading.
    #[must_use]
    pub fn read(&self) -> Reading {
        self.0.lock().clone()
    }

    /// Notes the last thing that went wrong.
    pub(crate) fn error(&self, code: &str, message: &str) {
        let error = LastError { at: epoch_millis(), code: code.to_owned(), message: message.to_owned() };
        self.change(|r| r.last_error = Some(error));
    }

    /// Takes the last error back where it has this code: it is over.
    pub(crate) fn recovered(&self, code: &str) {
        self.change(|r| {
            r.last_error.take_if(|error| error.code == code);
        });
    }
}

/// True where a failure after so many in a row is to be logged: ever more rarely.
pub(crate) fn worth_telling(before: u32) -> bool {
    before.checked_add(1).is_some_and(u32::is_power_of_two)
}

/// Milliseconds since the Unix epoch.
#[must_use]
pub fn epoch_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::Meter;

    #[test]
    fn an_error_is_taken_back_by_the_recovery_from_it_only() {
        let meter = Meter::default();
        meter.error("source.pull", "it is a directory");
        meter.recovered("source.open");
        assert_eq!(meter.read().last_error.map(|error| error.code).as_deref(), Some("source.pull"));
        meter.recovered("source.pull");
        assert_eq!(meter.read().last_error, None);
    }
}
