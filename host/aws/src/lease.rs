//! Leases: who works on which shard, and how far it is, in a DynamoDB table with the schema of KCL 2, so that a fleet
//! can move from KCL to this and back.
//!
//! A table belongs to one route and source (reliability D6). Expiry is measured on this process' own monotonic clock
//! and never on the wall clock. A stale owner can settle nothing: every write is conditional on owning the lease
//! (invariant 5).

pub mod assign;
pub(crate) mod coordinator;
mod lease_progress;
pub(crate) mod lease_table;
pub(crate) mod registry;
mod row;

pub(crate) use lease_progress::LeaseProgress;

use crate::position::{Checkpoint, Position};
use esclusa_flow::settings::ServiceLocation;
use std::time::Duration;

/// How long a lease is valid without renewal where nothing else is said: the default of KCL (`failoverTimeMillis`).
pub const DURATION: Duration = Duration::from_secs(10);

/// Where leases are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseSettings {
    /// Name of the table. Made where it is missing. One per route and source; KCL calls it the application's name.
    pub table: String,
    /// Where DynamoDB is.
    pub place: ServiceLocation,
    /// Name of this process, for people; something unique is appended.
    pub worker: String,
    /// How long a lease is valid without renewal.
    pub duration: Duration,
}

/// A lease as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The shard.
    pub key: String,
    /// Who works on it; `None`: nobody.
    pub owner: Option<String>,
    /// Grows with every renewal and change of owner.
    pub counter: u64,
    /// How far everything is done.
    pub checkpoint: Checkpoint,
    /// Where the batch ends that was in work when this was written, see [`crate::progress::Keeper::prepare`].
    pub pending: Option<Position>,
    /// The shards that it came from.
    pub parents: Vec<String>,
    /// The range of hash keys that it holds, both ends included.
    pub hashes: Option<(u128, u128)>,
    /// When the lane was first opened at [`Checkpoint::Latest`], in milliseconds since the Unix epoch: whoever opens it
    /// again before anything is settled starts there. An attribute of our own (`startTimestamp`) that KCL leaves alone.
    pub opened: Option<u64>,
    /// The group starts with it: nothing that was trimmed before it was first read is missed. Also our own (`startsGroup`);
    /// false where KCL made the lease.
    pub first: bool,
}

impl Lease {
    /// True where everything of the shard is done.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.checkpoint == Checkpoint::ShardEnd
    }
}
