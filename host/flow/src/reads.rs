//! The boundary to reads: tables and objects as a plugin sees them.

use crate::BoxFuture;
use crate::item::{Condition, Item};
use crate::settings::KeySchema;

/// Most keys of one [`Reads::get_many`]. DynamoDB's BatchGetItem takes as many.
pub const KEYS: usize = 100;
/// Most items of a page of a scan, and most entries of a page of objects.
pub const PAGE: usize = 1_000;
/// Bytes of names and values after which a page of a scan ends.
pub const PAGE_BYTES: usize = 1 << 20;
/// Most bytes that one read gives.
pub const READ_BYTES: usize = 16 << 20;

/// Reads of tables at one moment, and of objects as they are now.
pub trait Reads: Send + Sync {
    /// The key attributes of a table.
    fn key_of<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Result<KeySchema, ReadError>>;

    /// The item with this key.
    fn get<'a>(&'a self, table: &'a str, key: &'a Item) -> BoxFuture<'a, Result<Option<Item>, ReadError>>;

    /// The items with these keys, of which there are at most [`KEYS`], in the order of the keys. Implementations gather them in a
    /// [`QueryResult`], which limits their bytes.
    fn get_many<'a>(&'a self, table: &'a str, keys: &'a [Item]) -> BoxFuture<'a, Result<Vec<Option<Item>>, ReadError>>;

    /// The items that a selection finds, in the order of the sort key. Implementations gather
    /// them in a [`QueryResult`], which limits their bytes.
    fn query<'a>(&'a self, selection: &'a Selection) -> BoxFuture<'a, Result<Vec<Item>, ReadError>>;

    /// A page of all items of a table. The limit is at most [`PAGE`]; a page ends once it has [`PAGE_BYTES`].
    fn scan<'a>(&'a self, scan: &'a TableScan) -> BoxFuture<'a, Result<ItemPage, ReadError>>;

    /// An object or a part of it, `None` if there is none; [`ReadError::Invalid`] if it has more than [`READ_BYTES`].
    fn object<'a>(&'a self, read: &'a ObjectRead) -> BoxFuture<'a, Result<Option<ObjectBytes>, ReadError>>;

    /// A page of at most [`PAGE`] objects whose paths begin with a prefix, in the order of the bytes of their paths.
    fn objects<'a>(&'a self, list: &'a ObjectList) -> BoxFuture<'a, Result<ObjectPage, ReadError>>;
}

/// A scan of a table, page by page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableScan {
    /// Table name in routes.toml.
    pub table: String,
    /// [`ItemPage::next`] of the page before; `None`: from the start.
    pub token: Option<String>,
    /// Most items to return; `None`: [`PAGE`].
    pub limit: Option<u32>,
}

/// A page of a scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ItemPage {
    /// Its items.
    pub items: Vec<Item>,
    /// Opaque token of the next page; `None`: this is the last one.
    pub next: Option<String>,
}

/// A read of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectRead {
    /// Name of the store in routes.toml.
    pub store: String,
    /// Path within the store.
    pub path: String,
    /// Offset and length of the part to read; `None`: all of it.
    pub range: Option<(u64, u32)>,
}

/// An object, or a part of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectBytes {
    /// Bytes of the whole object.
    pub size: u64,
    /// The bytes that were asked for; fewer if the object ends before.
    pub bytes: Vec<u8>,
}

/// A list of objects, page by page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectList {
    /// Name of the store in routes.toml.
    pub store: String,
    /// Beginning of their paths.
    pub prefix: String,
    /// [`ObjectPage::next`] of the page before; `None`: from the start.
    pub token: Option<String>,
}

/// A page of objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectPage {
    /// Path and bytes of each.
    pub entries: Vec<(String, u64)>,
    /// Opaque token of the next page; `None`: this is the last one.
    pub next: Option<String>,
}

/// A query of a table or of an index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Table name in routes.toml.
    pub table: String,
    /// A secondary index; `None`: the table itself.
    pub index: Option<String>,
    /// Equality on the partition key, and at most one comparison on the sort key.
    pub key: Condition,
    /// Further comparisons on the items found.
    pub filter: Condition,
    /// Most items to return, after the filter.
    pub limit: Option<u32>,
    /// Descending order of the sort key.
    pub descending: bool,
}

/// A read that gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The route was not granted the table, or the reads of the object store.
    #[error("{0:?} is not granted to this route")]
    NotGranted(String),
    /// The table or store cannot answer this: an unknown index, a missing key attribute.
    #[error("{0}")]
    Invalid(String),
    /// The table or store does not answer.
    #[error("{0}")]
    Unavailable(String),
}

/// The items that a query has found so far. Limited in bytes, since they are held in the router's memory.
#[derive(Debug, Default)]
pub struct QueryResult {
    items: Vec<Item>,
    bytes: usize,
}

impl QueryResult {
    /// Most bytes of names and values of one query's items.
    pub const MOST: usize = READ_BYTES;

    /// Adds an item of `table`.
    ///
    /// # Errors
    /// [`ReadError::Invalid`] if the items become larger than [`QueryResult::MOST`].
    pub fn push(&mut self, table: &str, item: Item) -> Result<(), ReadError> {
        self.count(table, item.size())?;
        self.items.push(item);
        Ok(())
    }

    /// Counts the bytes of an item of `table` that is kept elsewhere.
    ///
    /// # Errors
    /// [`ReadError::Invalid`] if all items become larger than [`QueryResult::MOST`].
    pub fn count(&mut self, table: &str, bytes: usize) -> Result<(), ReadError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > Self::MOST {
            return Err(ReadError::Invalid(format!(
                "a read of table {table:?} finds more than {} MiB: give it a limit or fewer keys, or compare more of the key",
                Self::MOST >> 20
            )));
        }
        Ok(())
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The items.
    #[must_use]
    pub fn into_items(self) -> Vec<Item> {
        self.items
    }
}
