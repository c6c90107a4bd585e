//! Errors of opening a store or changing its schema; everything later is a [`Fault`].

use crate::damage::Damage;
use esclusa_flow::fault::Fault;
use std::io::ErrorKind;
use std::path::PathBuf;

/// A store that did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "the store at {} is in use by {}",
        .path.display(), .holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Id of the process that holds it, if known.
        holder: Option<u32>,
    },
    /// It has an earlier format.
    #[error(
        "the store at {} has format 1, this program reads format {}: run `esclusa store upgrade`, which keeps everything; \
         an earlier program cannot open the store afterwards", .path.display(), crate::disk::format::FORMAT
    )]
    Outdated {
        /// The directory.
        path: PathBuf,
    },
    /// It has a later format.
    #[error(
        "the store at {} has format {found}, this program reads format {}: use the program that wrote it, or a newer one; \
         nothing was changed", .path.display(), crate::disk::format::FORMAT
    )]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Files of it hold something else than was written to them. Nothing was changed.
    #[error("the store at {} is damaged: {}", .path.display(), list(.damage))]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// Every damaged file that was found.
        damage: Vec<Damage>,
    },
    /// The directory cannot be used.
    #[error("the store at {} cannot be opened: {reason}", .path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// The kind of the system's error; `Other` if it is none of the system.
        kind: ErrorKind,
        /// Why.
        reason: String,
    },
    /// The schema does not fit the stored data, or a read failed.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

fn list(damage: &[Damage]) -> String {
    let lines: Vec<String> = damage.iter().map(ToString::to_string).collect();
    lines.join("\n  ")
}

/// A schema that does not fit the stored data. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// The key of a table that holds items cannot change.
    #[error(
        "table {table:?} is keyed by {stored} and holds items, routes.toml says {wanted}: \
         give the new table another name and copy the items, or restore the key"
    )]
    KeyChanged {
        /// The table.
        table: String,
        /// Key on disk.
        stored: String,
        /// Key asked for.
        wanted: String,
    },
    /// An item does not fit a new index.
    #[error("index {index:?} of table {table:?} cannot be built: {reason}; correct the item or the index")]
    Index {
        /// The table.
        table: String,
        /// The index.
        index: String,
        /// Why.
        reason: String,
    },
    /// The directory of an object store cannot be created.
    #[error("object store {name:?}: the directory {} cannot be created: {reason}", .path.display())]
    Objects {
        /// The object store.
        name: String,
        /// The directory.
        path: PathBuf,
        /// The kind of the system's error.
        kind: ErrorKind,
        /// Why.
        reason: String,
    },
    /// Something impossible was asked.
    #[error("{0}")]
    Invalid(String),
    /// The store did not answer.
    #[error(transparent)]
    Fault(#[from] Fault),
}
