//! The names of a schema with the ids that stand for them on disk, and their state in memory.
//!
//! A number is given to a name once and never to another one, so names of different kinds cannot collide.

mod apply;
pub(crate) mod names;

pub(crate) use apply::{apply, drop_entries};

use crate::dead_letters::DeadCounts;
use crate::queues::QueuesByName;
use crate::schema::{OutputTarget, StoreLimits};
use crate::streams::Log;
use crate::tables::TablesByName;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// The tables, streams, queues, object stores and outputs of the schema in force, by name.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// Rises with every change, so that a commit made for an older one is noticed.
    pub generation: u64,
    /// Tables.
    pub tables: TablesByName,
    /// Streams.
    pub streams: BTreeMap<String, Arc<Log>>,
    /// Queues.
    pub queues: QueuesByName,
    /// Directories of object stores.
    pub objects: BTreeMap<String, PathBuf>,
    /// Outputs.
    pub outputs: BTreeMap<String, OutputTarget>,
    /// How much the store may hold.
    pub limits: StoreLimits,
}

/// The catalog at present, as tasks and the writer share it.
#[derive(Debug)]
pub(crate) struct SharedCatalog {
    current: RwLock<Arc<Catalog>>,
    generation: watch::Sender<u64>,
    /// Dead letters by route. They outlive every schema.
    pub dead: Arc<DeadCounts>,
    /// Items that were deleted because they had expired, by table, since the store was opened.
    expired: Mutex<BTreeMap<String, u64>>,
}

impl SharedCatalog {
    /// An empty catalog.
    pub(crate) fn new(dead: DeadCounts) -> Self {
        let (current, expired) = (RwLock::default(), Mutex::default());
        SharedCatalog { current, generation: watch::channel(0).0, dead: Arc::new(dead), expired }
    }

    /// The catalog at present.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.current.read())
    }

    /// Puts another catalog in force and wakes those that wait for one.
    pub(crate) fn replace(&self, catalog: Arc<Catalog>) {
        let generation = catalog.generation;
        *self.current.write() = catalog;
        self.generation.send_replace(generation);
    }

    /// Counts items of a table that were deleted because they had expired.
    pub(crate) fn count_expired(&self, table: String, items: u64) {
        let mut expired = self.expired.lock();
        let count = expired.entry(table).or_default();
        *count = count.saturating_add(items);
    }

    /// How many items were deleted because they had expired, of each table whose items expire.
    pub(crate) fn expired(&self) -> BTreeMap<String, u64> {
        let (catalog, expired) = (self.catalog(), self.expired.lock());
        let tables = catalog.tables.iter().filter(|(_, table)| table.expiry.is_some());
        tables.map(|(name, _)| (name.clone(), expired.get(name).copied().unwrap_or_default())).collect()
    }

    /// Sees every change of the catalog.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }
}

impl Catalog {
    /// Every log: streams and change feeds.
    pub(crate) fn logs(&self) -> impl Iterator<Item = &Arc<Log>> {
        self.streams.values().chain(self.tables.values().filter_map(|table| table.feed.as_ref()))
    }
}
