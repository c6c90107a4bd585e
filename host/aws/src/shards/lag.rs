//! How far a route is behind in each shard, and what should worry its operator.

use crate::lease::lineage::Shard;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Shared between the lanes of a source, which write it, and whoever shows it.
#[derive(Debug, Default)]
pub struct Lag {
    lanes: Mutex<BTreeMap<String, ShardLag>>,
    gaps: AtomicU64,
    unowned: AtomicUsize,
}

/// How far a route is behind in one shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardLag {
    /// How far behind the newest record the reader is, in milliseconds; `None` where the service has not said so.
    pub behind_millis: Option<u64>,
    /// When the oldest event was accepted that was given and is not settled, in milliseconds since the Unix epoch.
    pub oldest_unfinished: Option<u64>,
}

impl Lag {
    /// The lanes that this process works on, by shard.
    #[must_use]
    pub fn lanes(&self) -> BTreeMap<String, ShardLag> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often records were trimmed, or may have been, before they were read.
    #[must_use]
    pub fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }

    /// Shards that could be read and that no worker has leased.
    #[must_use]
    pub fn unowned(&self) -> usize {
        self.unowned.load(Ordering::Relaxed)
    }

    pub(crate) fn add_gap(&self) {
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a shard that came from one that was trimmed before the group knew of it.
    pub(crate) fn add_orphan(&self, stream: &str, shard: &Shard) {
        self.add_gap();
        tracing::error!(
            stream,
            shard = shard.id,
            parents = ?shard.parents,
            "gap: the shard came from one that was trimmed before the route knew of it"
        );
    }

    pub(crate) fn set_unowned(&self, count: usize) {
        self.unowned.store(count, Ordering::Relaxed);
    }

    pub(crate) fn change(&self, lane: &str, change: impl FnOnce(&mut ShardLag)) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        match lanes.get_mut(lane) {
            Some(lag) => change(lag),
            None => change(lanes.entry(lane.to_owned()).or_default()),
        }
    }

    pub(crate) fn forget(&self, lane: &str) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).remove(lane);
    }
}

/// Reads what a service says of the lag (reliability K12): a reader is at the tip only when two pages in a row were
/// empty and the service says so; a page with records was not at the tip, whatever is said of it.
#[derive(Debug, Default)]
pub(crate) struct Tip {
    behind: Option<u64>,
    empty: bool,
}

impl Tip {
    /// Notes a page.
    pub fn read(&mut self, empty: bool, behind_millis: Option<u64>) -> Option<u64> {
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

    #[test]
    fn lag_is_zero_only_after_two_empty_pages() {
        // K12
        let mut tip = Tip::default();
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
        let mut tip = Tip::default();
        assert_eq!(tip.read(true, Some(90_000)), Some(90_000));
        assert_eq!(tip.read(true, Some(60_000)), Some(60_000));
    }

    #[test]
    fn a_service_that_says_nothing_leaves_the_lag_unknown() {
        assert_eq!(Tip::default().read(true, None), None);
    }
}
