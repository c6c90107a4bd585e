//! Counters of a running route, for status, the dashboard and audits.
//!
//! Every change goes through a verb of [`Meter`] that keeps the sum right (invariant 8): received = done + skipped +
//! filtered + dead + in flight, at any moment. Lanes and deliveries call the verbs at the right moment.

use esclusa_flow::counts::Counts;
use esclusa_flow::timestamp::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// Counters of a route, and what fails at present.
#[derive(Debug, Default)]
pub struct Meter {
    reading: Mutex<Reading>,
    failures: Mutex<Failures>,
}

/// The failures of what the route tries again until it works, which are not over.
#[derive(Debug, Default)]
struct Failures {
    /// The number of the latest one.
    latest: u64,
    /// Each with the time from which on it does not count, in milliseconds since the Unix epoch.
    present: BTreeMap<u64, (LastError, u64)>,
}

impl Failures {
    /// The last one that counts at this time.
    fn newest(&self, now: u64) -> Option<LastError> {
        let counted = self.present.values().filter(|(_, until)| now < *until);
        counted.map(|(error, _)| error).max_by_key(|error| error.at).cloned()
    }
}

/// A reading of a meter; all of one moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
pub struct Reading {
    /// Events taken from the source and not released to it.
    pub received: u64,
    /// How those that are settled ended.
    pub counts: Counts,
    /// Events taken and not settled.
    pub in_flight: u64,
    /// Times that events were released to their queue.
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
    /// The last error; one of what the route tries again, such as a pull or a commit, only until that works.
    pub last_error: Option<LastError>,
    /// Set while events wait for their next try.
    pub waiting: Option<WaitingEvents>,
}

/// The last error of a route.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct LastError {
    /// When it happened.
    pub at: Timestamp,
    /// Stable code.
    pub code: String,
    /// In words. May hold text of a guest: escape it before you show it.
    pub message: String,
}

/// Events that wait for their next try.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct WaitingEvents {
    /// How often the first of them was tried.
    pub attempt: u32,
    /// When it is tried again.
    pub next: Timestamp,
}

/// The events that a commit settled, as [`Meter::settled`] counts them.
#[derive(Debug, Clone, Copy)]
pub struct SettledCommit {
    /// Events that ended.
    pub counts: Counts,
    /// Events released to their queue.
    pub released: u64,
    /// Writes left out because a guard did not hold.
    pub skipped_writes: u64,
    /// How long the commit took.
    pub took: Duration,
}

impl Meter {
    /// A meter that goes on from the counters of earlier runs.
    #[must_use]
    pub fn starting_at(counts: Counts) -> Self {
        let reading = Reading { received: counts.settled(), counts, ..Reading::default() };
        Meter { reading: Mutex::new(reading), failures: Mutex::default() }
    }

    /// The present reading.
    #[must_use]
    pub fn read(&self) -> Reading {
        self.reading.lock().clone()
    }

    /// The last failure of what the route tries again until it works, if it is not over. `now` is in milliseconds since the Unix epoch.
    #[must_use]
    pub fn failure(&self, now: u64) -> Option<LastError> {
        self.failures.lock().newest(now)
    }

    /// So many events were pulled.
    pub fn taken(&self, events: u64) {
        self.change(|r| {
            r.received = r.received.saturating_add(events);
            r.in_flight = r.in_flight.saturating_add(events);
        });
    }

    /// So many events that were taken are dropped unsettled: they will come again, and are counted then.
    pub fn dropped(&self, events: u64) {
        self.change(|r| {
            r.received = r.received.saturating_sub(events);
            r.in_flight = r.in_flight.saturating_sub(events);
            r.waiting = None;
        });
    }

    /// A commit settled events that were taken. A released event will come again, so it was not received yet.
    pub fn settled(&self, settled: &SettledCommit) {
        let SettledCommit { counts, released, skipped_writes, took } = settled;
        self.change(|r| {
            r.in_flight = r.in_flight.saturating_sub(counts.settled().saturating_add(*released));
            r.received = r.received.saturating_sub(*released);
            r.released = r.released.saturating_add(*released);
            r.committed(counts, *skipped_writes);
            r.commit_micros = r.commit_micros.saturating_add(micros(*took));
        });
    }

    /// A commit settled events that no lane took: `esclusa dlq redrive` and `esclusa invoke --live` deliver such.
    pub fn settled_aside(&self, counts: &Counts, skipped_writes: u64) {
        self.change(|r| {
            r.received = r.received.saturating_add(counts.settled());
            r.committed(counts, skipped_writes);
        });
    }

    /// The source itself gave up and recorded so many events, which no lane took.
    pub fn given_up(&self, events: u64) {
        self.change(|r| {
            r.received = r.received.saturating_add(events);
            r.counts.dead = r.counts.dead.saturating_add(events);
        });
    }

    /// The plugin was called.
    pub fn called(&self, took: Duration, failed: bool) {
        self.change(|r| {
            r.calls = r.calls.saturating_add(1);
            r.call_micros = r.call_micros.saturating_add(micros(took));
            r.failed_calls = r.failed_calls.saturating_add(u64::from(failed));
            r.waiting = None;
        });
    }

    /// A guard of a commit did not hold, so that its events are called again.
    pub fn reran(&self) {
        self.change(|r| r.reruns = r.reruns.saturating_add(1));
    }

    /// So many messages were sent outside.
    pub fn sent(&self, messages: u64) {
        self.change(|r| r.sent = r.sent.saturating_add(messages));
    }

    /// Events wait for their next try.
    pub(crate) fn waits(&self, waiting: WaitingEvents) {
        self.change(|r| r.waiting = Some(waiting));
    }

    /// Records an error as the last one.
    pub(crate) fn error(&self, code: &str, message: &str) {
        let error = LastError { at: timestamp_now(), code: code.to_owned(), message: message.to_owned() };
        self.change(|r| r.last_error = Some(error));
    }

    /// Something fails that the route tries again, at first or, with its `number`, still. It counts until it works, at most `until`, in
    /// milliseconds since the Unix epoch. Gives its number.
    pub(crate) fn fails(&self, number: Option<u64>, error: LastError, until: u64) -> u64 {
        let mut failures = self.failures.lock();
        self.change(|r| r.last_error = Some(error.clone()));
        let number = number.unwrap_or_else(|| {
            failures.latest = failures.latest.saturating_add(1);
            failures.latest
        });
        failures.present.insert(number, (error, until));
        number
    }

    /// What failed with this number works, or nobody tries it any more. Its error is over; if it was the last one, another that is not
    /// over is.
    pub(crate) fn works(&self, number: u64) {
        let mut failures = self.failures.lock();
        let Some((error, _)) = failures.present.remove(&number) else { return };
        // Under both locks: another failure that is over meanwhile would come back as the last error.
        self.change(|r| {
            if r.last_error.as_ref() == Some(&error) {
                r.last_error = failures.newest(epoch_millis());
            }
        });
    }

    /// Readers see all changes of one verb together: the sum is right at any moment.
    fn change(&self, change: impl FnOnce(&mut Reading)) {
        change(&mut self.reading.lock());
    }
}

impl Reading {
    fn committed(&mut self, counts: &Counts, skipped_writes: u64) {
        self.counts.merge(counts);
        self.commits = self.commits.saturating_add(1);
        self.skipped_writes = self.skipped_writes.saturating_add(skipped_writes);
    }

    /// True if every event received is accounted for (invariant 8).
    #[must_use]
    pub fn adds_up(&self) -> bool {
        self.received == self.counts.settled().saturating_add(self.in_flight)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// True if a failure after so many in a row is to be logged: ever more rarely, at 1, 2, 4, 8 …
pub(crate) fn worth_logging(before: u32) -> bool {
    before.checked_add(1).is_some_and(u32::is_power_of_two)
}

/// The time, by this machine's clock.
#[must_use]
pub fn timestamp_now() -> Timestamp {
    SystemTime::now().into()
}

/// Milliseconds since the Unix epoch, by this machine's clock.
#[must_use]
pub fn epoch_millis() -> u64 {
    timestamp_now().millis()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // Invariant 8, for all verbs in any order.
        #[test]
        fn every_verb_keeps_the_sum_of_events(verbs in prop::collection::vec((0u8..6, 0u64..50, 0u64..50, 0u64..50), 0..60)) {
            let meter = Meter::default();
            for (verb, a, b, c) in verbs {
                let in_flight = meter.read().in_flight;
                let counts = |most: u64| {
                    let done = a.min(most);
                    let dead = b.min(most - done);
                    Counts { done, dead, ..Counts::default() }
                };
                match verb {
                    0 => meter.taken(a),
                    1 => meter.dropped(a.min(in_flight)),
                    2 => {
                        let counts = counts(in_flight);
                        let released = c.min(in_flight - counts.settled());
                        meter.settled(&SettledCommit { counts, released, skipped_writes: c, took: Duration::from_micros(c) });
                    }
                    3 => meter.settled_aside(&counts(u64::MAX), c),
                    4 => meter.given_up(a),
                    _ => meter.called(Duration::from_micros(a), b > c),
                }
                prop_assert!(meter.read().adds_up(), "after verb {verb}: {:?}", meter.read());
            }
        }
    }
}
