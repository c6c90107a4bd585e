//! The names of a schema with the numbers that stand for them on disk, and what lives beside them in memory.
//!
//! A number is given to a name once and never to another one, so names of different kinds cannot collide.

mod apply;
mod backfill;

pub use apply::apply;
pub use backfill::drop_entries;

use crate::queues::Queue;
use crate::schema::Target;
use crate::streams::Log;
use esclusa_flow::settings::KeySchema;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// What the store holds at present, by name.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Rises with every change, so that a commit made for an older one is noticed.
    pub generation: u64,
    /// Tables.
    pub tables: BTreeMap<String, Arc<Table>>,
    /// Streams.
    pub streams: BTreeMap<String, Arc<Log>>,
    /// Queues.
    pub queues: BTreeMap<String, Arc<Queue>>,
    /// Directories of object stores.
    pub objects: BTreeMap<String, PathBuf>,
    /// Outputs.
    pub outputs: BTreeMap<String, Target>,
}

/// A table.
#[derive(Debug)]
pub struct Table {
    /// Name in routes.toml.
    pub name: String,
    /// First four bytes of the keys of its items.
    pub id: u32,
    /// Its key.
    pub key: KeySchema,
    /// Its indexes.
    pub indexes: Vec<Index>,
    /// Its change feed.
    pub feed: Option<Arc<Log>>,
}

/// A secondary index: entries that lead to the key of the item.
#[derive(Debug)]
pub struct Index {
    /// Name in routes.toml.
    pub name: String,
    /// First four bytes of the keys of its entries.
    pub id: u32,
    /// Its key.
    pub key: KeySchema,
}

impl Table {
    /// True where a write has to know what was there before.
    pub fn needs_old_item(&self) -> bool {
        !self.indexes.is_empty() || self.feed.is_some()
    }
}

impl Catalog {
    /// Every log: streams and change feeds.
    pub fn logs(&self) -> impl Iterator<Item = &Arc<Log>> {
        self.streams.values().chain(self.tables.values().filter_map(|table| table.feed.as_ref()))
    }
}
