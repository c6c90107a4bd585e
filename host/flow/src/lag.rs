//! How far a route is behind in each shard, and how many events were lost or shards have no worker: signals for its operator.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Shared between the lanes of a source, which write it, and the status of the route, which shows it.
#[derive(Debug, Default)]
pub struct Lag {
    lanes: Mutex<BTreeMap<String, ShardLag>>,
    gaps: AtomicU64,
    unowned: AtomicUsize,
    fault: Mutex<Option<LagFault>>,
}

/// Why a source does not look after its shards, or not after all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LagFault {
    /// When it was last seen, in milliseconds since the Unix epoch.
    pub at: u64,
    /// In words.
    pub message: String,
}

/// How far a route is behind in one shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardLag {
    /// How far behind the newest record the reader is, in milliseconds; `None` until the service has reported it.
    pub behind_millis: Option<u64>,
    /// When the source accepted the oldest event that was pulled and is not settled, in milliseconds since the Unix epoch.
    pub oldest_unfinished: Option<u64>,
    /// The place in the partition, for sources whose records are numbered one by one.
    pub place: Option<LanePlace>,
}

/// Where the reader of a partition is, in offsets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LanePlace {
    /// The offset of the next record to settle.
    pub position: u64,
    /// The offset behind the last record.
    pub end: u64,
    /// How many records the reader is behind. 0 if it has seen the end, also if `position` is below it: a partition may end in
    /// records that nobody gets, those of transactions.
    pub records: u64,
}

impl Lag {
    /// The lanes that this process works on, by shard.
    #[must_use]
    pub fn lanes(&self) -> BTreeMap<String, ShardLag> {
        self.lanes.lock().clone()
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

    /// What keeps shards from being read at present; `None`: the source's last look at its shards succeeded, and left
    /// none out.
    #[must_use]
    pub fn fault(&self) -> Option<LagFault> {
        self.fault.lock().clone()
    }

    /// Sets what keeps shards from being read, or that nothing does.
    pub fn set_fault(&self, fault: Option<LagFault>) {
        *self.fault.lock() = fault;
    }

    /// Counts records that were trimmed, or may have been, before they were read.
    pub fn add_gap(&self) {
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }

    /// Sets how many shards could be read and have no worker.
    pub fn set_unowned(&self, count: usize) {
        self.unowned.store(count, Ordering::Relaxed);
    }

    /// Changes how far a shard is behind; adds the shard if it is new.
    pub fn change(&self, lane: &str, change: impl FnOnce(&mut ShardLag)) {
        let mut lanes = self.lanes.lock();
        match lanes.get_mut(lane) {
            Some(lag) => change(lag),
            None => change(lanes.entry(lane.to_owned()).or_default()),
        }
    }

    /// Removes a shard that this process does not work on any more.
    pub fn forget(&self, lane: &str) {
        self.lanes.lock().remove(lane);
    }
}
