//! `[aws]`, checked, and where a resource of AWS is.

/// Where a service is.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Region: that of the resource's ARN or section, else that of `[aws]`; `None`: the environment's or profile's.
    pub region: Option<String>,
    /// Endpoint: that of the resource's section, else that of `[aws]`; `None`: the environment's or AWS' own.
    pub endpoint_url: Option<String>,
}

/// `[aws]`; without that section, its defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aws {
    /// Where resources are that do not say otherwise, and the tables of progress: leases and marks.
    pub place: Place,
    /// The table that keeps which events of unordered sources are done, for exactly-once.
    pub marks_table: String,
}
