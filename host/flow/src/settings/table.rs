//! The keys of a table and of its indexes.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Key attributes of a table or an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySchema {
    /// Partition key attribute.
    pub partition: String,
    /// Sort key attribute.
    pub sort: Option<String>,
}

/// Keys and indexes of a table, and what it does by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSchema {
    /// Key of the items.
    pub key: KeySchema,
    /// Secondary indexes by name.
    pub indexes: BTreeMap<String, KeySchema>,
    /// Keep a change feed.
    pub changes: bool,
    /// The attribute with the time at which an item expires, in seconds since the Unix epoch; `None`: items do not expire.
    pub ttl: Option<String>,
}

impl KeySchema {
    /// Its attributes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.partition.as_str()).chain(self.sort.as_deref())
    }

    /// True if `name` is one of its attributes.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.names().any(|n| n == name)
    }

    /// Number of attributes.
    #[must_use]
    pub fn width(&self) -> usize {
        self.names().count()
    }

    /// As people read it.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.sort {
            Some(sort) => format!("({:?}, {sort:?})", self.partition),
            None => format!("{:?}", self.partition),
        }
    }
}
