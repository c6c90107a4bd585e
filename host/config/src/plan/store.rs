//! `[table.NAME]` and `[objects.NAME]`, checked.

use esclusa_flow::settings::{ServiceLocation, TableSchema};
use std::path::PathBuf;

/// `[table.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Table {
    /// A table of the embedded engine.
    Embedded(TableSchema),
    /// A table in DynamoDB, which exists already.
    Dynamodb {
        /// Its name there.
        name: String,
        /// What the file says of it, to be compared with what it is; `None`: nothing.
        layout: Option<TableSchema>,
        /// Where it is.
        place: ServiceLocation,
    },
}

/// `[objects.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objects {
    /// A directory.
    Directory {
        /// Where.
        path: PathBuf,
    },
    /// A bucket of S3.
    S3 {
        /// The bucket.
        bucket: String,
        /// Put in front of every path.
        prefix: String,
        /// The bucket stands in the path of requests instead of the host's name.
        path_style: bool,
        /// Where the bucket is.
        place: ServiceLocation,
    },
}

impl Table {
    /// True if it is on AWS.
    #[must_use]
    pub fn on_aws(&self) -> bool {
        matches!(self, Table::Dynamodb { .. })
    }
}

impl Objects {
    /// True if it is on AWS.
    #[must_use]
    pub fn on_aws(&self) -> bool {
        matches!(self, Objects::S3 { .. })
    }
}
