//! Leases: which worker reads which shard, and how far it is. They are kept in a DynamoDB table with the schema of KCL
//! 2, so that a fleet can move from KCL to this and back.
//!
//! A table belongs to one route and source: its rows name the stream, and leases of another one are refused (failures.md D6). Expiry is measured on this process' own monotonic clock
//! and never on the wall clock. A stale owner can settle nothing: every write is conditional on owning the lease
//! (invariant 5).

mod assign;
pub(crate) mod coordinator;
mod lease_progress;
pub(crate) mod lease_table;
pub(crate) mod registry;
mod row;

pub(crate) use lease_progress::LeaseProgress;

use crate::position::{Checkpoint, Position};
use esclusa_flow::settings::ServiceLocation;
use std::time::Duration;

/// How long a lease is valid without renewal if nothing else is set: the default of KCL (`failoverTimeMillis`).
pub const DURATION: Duration = Duration::from_secs(10);

/// The lease table, and this process as a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseSettings {
    /// Name of the table. Made if it is missing. One per route and source; KCL calls it the application's name.
    pub table: String,
    /// Where DynamoDB is.
    pub place: ServiceLocation,
    /// Name of this process, for people; a unique suffix is appended.
    pub worker: String,
    /// How long a lease is valid without renewal.
    pub duration: Duration,
}

/// A lease as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The shard.
    pub key: String,
    /// The worker that reads it; `None`: none does.
    pub owner: Option<String>,
    /// Grows with every renewal and change of owner.
    pub counter: u64,
    /// Everything up to here is done.
    pub checkpoint: Checkpoint,
    /// The end of the batch that was in work when this was written, see [`crate::progress::ProgressStore::prepare`].
    /// Stored as KCL's `pendingCheckpoint`, and once more in an attribute of our own (`batchEnd`): a pending checkpoint
    /// without it is KCL's, and ends no batch.
    pub pending: Option<Position>,
    /// The shards that it came from.
    pub parents: Vec<String>,
    /// The range of hash keys that it holds, both ends included.
    pub hashes: Option<(u128, u128)>,
    /// When the lane was first opened at [`Checkpoint::Latest`], in milliseconds since the Unix epoch: the worker that
    /// opens it again before anything is settled starts there. An attribute of our own (`startTimestamp`) that KCL
    /// leaves alone.
    pub opened: Option<u64>,
    /// The group starts with it: records that were trimmed before its first read are no gap. Also our own
    /// (`startsGroup`); false if KCL made the lease.
    pub first: bool,
}

impl Lease {
    /// True if everything of the shard is done.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.checkpoint == Checkpoint::ShardEnd
    }
}
