//! The schema of the store, by name: the wiring makes it from the checked plan.

use esclusa_flow::settings::TableSchema;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// Everything the store shall hold. Tables, streams and queues that only a former schema named stay on disk, unseen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreSchema {
    /// Tables by their name in routes.toml.
    pub tables: BTreeMap<String, TableSchema>,
    /// Streams by name.
    pub streams: BTreeMap<String, StreamSchema>,
    /// Queues by name.
    pub queues: BTreeMap<String, QueueSchema>,
    /// Object stores by their name in routes.toml, and the directory of each.
    pub objects: BTreeMap<String, PathBuf>,
    /// Outputs of routes.toml that are streams or queues of this store.
    pub outputs: BTreeMap<String, OutputTarget>,
    /// How much it may hold.
    pub limits: StoreLimits,
}

/// How much a store may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// Bytes of its files beyond which nothing is taken from outside into streams and queues. Routes go on, so that it gets smaller.
    pub bytes: u64,
    /// Dead letters beyond which routes wait with those that they would add.
    pub dead_letters: u64,
    /// Bytes of dead letters beyond which they wait.
    pub dead_letter_bytes: u64,
}

impl Default for StoreLimits {
    fn default() -> Self {
        StoreLimits { bytes: u64::MAX, dead_letters: u64::MAX, dead_letter_bytes: u64::MAX }
    }
}

/// A stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSchema {
    /// Number of partitions. Raising it moves keys to other partitions; lowering it keeps the old lanes readable.
    pub partitions: u32,
    /// How long a record is kept.
    pub retention: Duration,
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSchema {
    /// How long a received message stays invisible.
    pub visibility_timeout: Duration,
    /// Receives after which a message goes to the dead letters of the route.
    pub max_receive_count: u32,
    /// The routes that read it. A message is deleted when all of them are done with it.
    pub consumers: BTreeSet<String>,
}

/// The stream or queue of this store that an output of routes.toml sends to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputTarget {
    /// A stream, by its name.
    Stream(String),
    /// A queue, by its name.
    Queue(String),
}
