//! `[aws]`, checked.

use esclusa_flow::settings::ServiceLocation;

/// `[aws]`; without that section, its defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aws {
    /// Where resources are that do not say otherwise, and the tables of progress: leases and dedup records.
    pub place: ServiceLocation,
    /// The table that keeps which events of unordered sources are done, for exactly-once.
    pub dedup_table: String,
}
