//! A route's breaker: it opens when the plugin has failed for so long that the events are not to blame, and then the
//! route's events wait until a probe succeeds.
//!
//! It knows no clock and makes no call. One success in ten does not keep it closed. It does not open while a single event
//! could be to blame for every failure: such an event is given up by the usual rule, which lets the ones behind it go on.

use crate::retry::Backoff;
use crate::timestamp::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;

/// As long as there are at least so many failures for each call that is handled, the plugin counts as failing.
const FAILURES_PER_SUCCESS: u64 = 9;

/// Waits between probes. The first is short, since most causes end soon; the longest is how late a route goes on at most.
const PROBES: Backoff = Backoff { base: Duration::from_secs(2), max: Duration::from_secs(60) };

/// A call that handled none of its events.
#[derive(Debug, Clone, Copy)]
pub struct FailedCall<'a> {
    /// Its events, as numbers that differ for different events.
    pub events: &'a [u64],
    /// True if its events would be tried for ever: then the breaker need not spare the events behind them.
    pub endless: bool,
}

/// The breaker of a route.
#[derive(Debug, Clone)]
pub struct Breaker {
    /// How long the plugin has to fail; zero: the breaker never opens.
    after: Duration,
    /// Failures further apart than this do not belong together.
    gap: Duration,
    seed: u64,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    /// Calls are made. `Some`: the failures so far.
    Closed(Option<FailureStreak>),
    /// Hardly a call but probes. `probes` have failed, the next one is due at `due`.
    Open { probes: u32, due: Duration },
}

/// Calls of which nearly all failed.
#[derive(Debug, Clone)]
struct FailureStreak {
    since: Duration,
    last: Duration,
    failed: u64,
    handled: u64,
    /// The events that were in every failed call: one of them may be to blame for all. Empty: no single one is.
    suspects: BTreeSet<u64>,
}

impl Breaker {
    /// A closed breaker that opens after failures for so long. `longest_wait`: the longest wait between two tries of an event.
    /// `seed` varies the jitter of probes.
    #[must_use]
    pub fn new(after: Duration, longest_wait: Duration, seed: u64) -> Self {
        Breaker { after, gap: after.saturating_add(longest_wait), seed, state: State::Closed(None) }
    }

    /// True if calls wait for a probe that succeeds.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.probe_due().is_some()
    }

    /// When the next probe is due, on the monotonic clock; `None`: the breaker is closed.
    #[must_use]
    pub fn probe_due(&self) -> Option<Duration> {
        match self.state {
            State::Open { due, .. } => Some(due),
            State::Closed(_) => None,
        }
    }

    /// A call, or a probe, handled at least one event. True if this closed the breaker.
    pub fn handled(&mut self) -> bool {
        match &mut self.state {
            State::Open { .. } => {
                self.close();
                true
            }
            State::Closed(streak) => {
                if let Some(failures) = streak {
                    failures.handled = failures.handled.saturating_add(1);
                    streak.take_if(|failures| !failures.nearly_all());
                }
                false
            }
        }
    }

    /// A call handled none of its events. True if this opened the breaker. A call that began before the breaker opened
    /// changes nothing.
    pub fn failed(&mut self, call: FailedCall<'_>, now: Duration) -> bool {
        let State::Closed(streak) = &mut self.state else { return false };
        if self.after.is_zero() {
            return false;
        }
        streak.take_if(|failures| now.saturating_sub(failures.last) > self.gap);
        let failures = streak.get_or_insert_with(|| FailureStreak::beginning(call.events, now));
        failures.add(call.events, now);
        let blameless = call.endless || failures.suspects.is_empty();
        let open = blameless && failures.nearly_all() && now.saturating_sub(failures.since) >= self.after;
        if open {
            self.state = State::Open { probes: 0, due: now.saturating_add(PROBES.wait(0, self.seed)) };
        }
        open
    }

    /// A probe handled nothing: the next one comes after a longer wait.
    pub fn probe_failed(&mut self, now: Duration) {
        if let State::Open { probes, due } = &mut self.state {
            *probes = probes.saturating_add(1);
            *due = now.saturating_add(PROBES.wait(*probes, self.seed));
        }
    }

    /// Closes the breaker and forgets all failures: the plugin was replaced, or an operator resumed the route.
    pub fn close(&mut self) {
        self.state = State::Closed(None);
    }
}

impl FailureStreak {
    fn beginning(events: &[u64], now: Duration) -> Self {
        FailureStreak { since: now, last: now, failed: 0, handled: 0, suspects: events.iter().copied().collect() }
    }

    fn add(&mut self, events: &[u64], now: Duration) {
        self.failed = self.failed.saturating_add(1);
        self.last = now;
        let events: BTreeSet<u64> = events.iter().copied().collect();
        self.suspects.retain(|event| events.contains(event));
    }

    fn nearly_all(&self) -> bool {
        self.failed >= self.handled.saturating_mul(FAILURES_PER_SUCCESS)
    }
}

/// A time in which a route stood still, because its breaker was open. It does not count for the age of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standstill {
    /// Its begin.
    pub from: Timestamp,
    /// Its end, or the present moment.
    pub to: Timestamp,
}

impl Standstill {
    /// How much of the time between `accepted` and `now` it took.
    #[must_use]
    pub fn within(&self, accepted: Timestamp, now: Timestamp) -> Duration {
        let (from, to) = (self.from.max(accepted), self.to.min(now));
        to.since(from)
    }
}
