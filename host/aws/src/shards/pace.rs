//! When a lane may read its shard: the pace that the service allows, the memory that all lanes of a source share, and
//! whether the lane is at the tip. Pure.

use esclusa_flow::retry::Backoff;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Waits after refusals (failures.md K13): the SDK's own retries are off for reads, since they would use up the limit.
const REFUSED: Backoff = Backoff { base: Duration::from_millis(200), max: Duration::from_secs(5) };

/// When the next read may be sent.
#[derive(Debug, Clone)]
pub(crate) struct ReadPace {
    /// Least time between two reads.
    spacing: Duration,
    /// Bytes per second that the service gives; `None`: no limit.
    rate: Option<u32>,
    /// Longest wait between two reads of an idle shard.
    idle: Duration,
    due: Option<Instant>,
    /// Wait after the last empty page at the tip.
    waited: Duration,
    refusals: u32,
}

impl ReadPace {
    /// At least `spacing` between reads, at most `rate` bytes per second, at most `idle` between reads of an idle
    /// shard.
    pub(crate) fn new(spacing: Duration, rate: Option<u32>, idle: Duration) -> Self {
        ReadPace { spacing, rate, idle, due: None, waited: spacing, refusals: 0 }
    }

    /// The same with the first read at `first`; `None`: now.
    #[must_use]
    pub(crate) fn starting(self, first: Option<Instant>) -> Self {
        ReadPace { due: first, ..self }
    }

    /// As one of several readers of the same shard. The bytes are not divided: a reader that is behind may take more,
    /// and the service refuses reads beyond its limit.
    #[must_use]
    pub(crate) fn among(self, readers: u32) -> Self {
        let spacing = self.spacing.saturating_mul(readers.max(1));
        ReadPace { spacing, waited: spacing, ..self }
    }

    /// When the next read may be sent; `None`: now.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The next read may not be sent before `due`.
    pub(crate) fn later(&mut self, due: Instant) {
        self.due = Some(due);
    }

    /// The next read may be sent at once: records are known to wait.
    pub(crate) fn now(&mut self) {
        self.due = None;
    }

    /// Notes a page of so many bytes that was asked for at `sent`. `quiet`: it was empty, and nothing is behind it.
    pub(crate) fn read(&mut self, sent: Instant, bytes: usize, quiet: bool) {
        self.refusals = 0;
        self.waited = if quiet { self.waited.saturating_mul(2).min(self.idle.max(self.spacing)) } else { self.spacing };
        let paid =
            self.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(bytes as f64 / f64::from(rate.max(1))));
        self.due = Some(sent + self.waited.max(paid));
    }

    /// Notes that the service asked for fewer reads; `random` varies the wait.
    pub(crate) fn refused(&mut self, now: Instant, random: u64) {
        self.due = Some(now + REFUSED.wait(self.refusals, random));
        self.refusals = self.refusals.saturating_add(1);
    }
}

/// A limit on the bytes that all lanes of a source have read and not given yet (failures.md K19).
#[derive(Debug)]
pub(crate) struct ReadAheadLimit {
    limit: usize,
    used: AtomicUsize,
}

impl ReadAheadLimit {
    /// A limit of `limit` bytes.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(ReadAheadLimit { limit, used: AtomicUsize::new(0) })
    }

    /// The quota of one more lane, which holds nothing yet.
    pub(crate) fn share(self: &Arc<Self>) -> Quota {
        Quota { room: self.clone(), bytes: 0 }
    }
}

/// The bytes that one lane holds; none when it is dropped.
#[derive(Debug)]
pub(crate) struct Quota {
    room: Arc<ReadAheadLimit>,
    bytes: usize,
}

impl Quota {
    /// Sets the bytes that the lane holds now.
    pub(crate) fn set(&mut self, bytes: usize) {
        self.room.used.fetch_add(bytes, Ordering::Relaxed);
        self.room.used.fetch_sub(std::mem::replace(&mut self.bytes, bytes), Ordering::Relaxed);
    }

    /// True if the lane may read a page. A lane that holds records may always go on: else all lanes could wait for each
    /// other with half a batch each. So the limit may be exceeded by one page for each lane that is reading.
    pub(crate) fn may_read(&self) -> bool {
        self.bytes > 0 || self.room.used.load(Ordering::Relaxed) < self.room.limit
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Decides whether a reader is at the tip of its shard, from the lag that the service reports (failures.md K12). It is
/// only after two empty pages in a row with a lag of zero: a page with records was not at the tip, even if its lag is
/// zero.
#[derive(Debug, Default)]
pub(crate) struct TipDetector {
    behind: Option<u64>,
    empty: bool,
}

impl TipDetector {
    /// Notes a page.
    pub(crate) fn read(&mut self, empty: bool, behind_millis: Option<u64>) -> Option<u64> {
        self.behind = match behind_millis {
            None => self.behind,
            Some(0) if empty && self.empty => Some(0),
            Some(0) => Some(self.behind.unwrap_or(1).max(1)),
            Some(behind) => Some(behind),
        };
        self.empty = empty;
        self.behind
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: usize = 1 << 20;

    fn kinesis() -> ReadPace {
        ReadPace::new(Duration::from_millis(200), Some(2 << 20), Duration::from_secs(1))
    }

    fn wait(pace: &ReadPace, from: Instant) -> Duration {
        pace.due().unwrap() - from
    }

    #[test]
    fn a_page_of_ten_mebibytes_is_followed_by_five_seconds() {
        // K19
        let (mut pace, now) = (kinesis(), Instant::now());
        pace.read(now, 10 * MIB, false);
        assert_eq!(wait(&pace, now), Duration::from_secs(5));
    }

    #[test]
    fn an_idle_shard_is_read_less_often_and_a_backlog_is_not() {
        // K11
        let (mut pace, now) = (kinesis(), Instant::now());
        let waits: Vec<_> = (0..4)
            .map(|_| {
                pace.read(now, 0, true);
                wait(&pace, now).as_millis()
            })
            .collect();
        assert_eq!(waits, [400, 800, 1000, 1000]);
        pace.read(now, 0, false);
        assert_eq!(wait(&pace, now).as_millis(), 200, "an empty page in a backlog is followed");
    }

    #[test]
    fn several_readers_of_a_shard_share_its_reads() {
        // K13
        let (mut pace, now) = (kinesis().among(3), Instant::now());
        pace.read(now, 100, false);
        assert_eq!(wait(&pace, now).as_millis(), 600);
        pace.read(now, 0, true);
        assert_eq!(wait(&pace, now).as_millis(), 1000);
    }

    #[test]
    fn refusals_are_answered_with_growing_waits() {
        // K13
        let (mut pace, now) = (kinesis(), Instant::now());
        let mut before = Duration::ZERO;
        for round in 0..8 {
            pace.refused(now, round);
            assert!(wait(&pace, now) >= before / 2 && wait(&pace, now) <= REFUSED.max);
            before = wait(&pace, now);
        }
        assert!(before >= REFUSED.max / 2);
        pace.read(now, 1, false);
        assert_eq!(wait(&pace, now).as_millis(), 200);
    }

    proptest! {
        #[test]
        fn limits_are_never_passed(pages in proptest::collection::vec(0..10 * MIB, 1..50)) {
            let start = Instant::now();
            let (mut pace, mut now, mut bytes) = (kinesis(), start, 0usize);
            for page in &pages {
                now = pace.due().unwrap_or(now).max(now);
                prop_assert!(bytes as f64 <= (now - start).as_secs_f64() * (2.0 * MIB as f64) + 1.0);
                pace.read(now, *page, *page == 0);
                bytes += page;
            }
            prop_assert!(now - start >= Duration::from_millis(200) * (pages.len() as u32 - 1));
        }
    }

    #[test]
    fn lag_is_zero_only_after_two_empty_pages() {
        // K12
        let mut tip = TipDetector::default();
        assert_eq!(tip.read(false, Some(5000)), Some(5000));
        assert_eq!(tip.read(false, Some(0)), Some(5000));
        assert_eq!(tip.read(true, Some(0)), Some(5000));
        assert_eq!(tip.read(true, Some(0)), Some(0));
        assert_eq!(tip.read(true, Some(0)), Some(0), "it does not grow on an idle stream");
        assert_eq!(tip.read(false, Some(0)), Some(1));
    }

    #[test]
    fn an_empty_page_in_a_backlog_is_not_the_tip() {
        // K11
        let mut tip = TipDetector::default();
        assert_eq!(tip.read(true, Some(90_000)), Some(90_000));
        assert_eq!(tip.read(true, Some(60_000)), Some(60_000));
    }

    #[test]
    fn a_service_that_says_nothing_leaves_the_lag_unknown() {
        assert_eq!(TipDetector::default().read(true, None), None);
    }
}
