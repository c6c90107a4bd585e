//! The settings of a route, as checked values of routes.toml, shared by the crates that carry them out. `esclusa-config` reads and
//! checks the file.

mod kafka;
mod limits;
mod route;
mod table;

pub use kafka::{KafkaConnection, KafkaSecurity, refused_kafka_property};
pub use limits::{Instances, Limits};
pub use route::{DeliveryMode, RouteSpec};
pub use table::{KeySchema, TableSchema};

/// Where a route without a position starts to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest event.
    TrimHorizon,
    /// With the next event.
    Latest,
    /// At the first event accepted at or after this time, milliseconds since the Unix epoch.
    AtTimestamp(u64),
}

/// Where a service of AWS is.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceLocation {
    /// Region: that of the resource's ARN or section, else that of `[aws]`; `None`: the environment's or profile's.
    pub region: Option<String>,
    /// Endpoint: that of the resource's section, else that of `[aws]`; `None`: the environment's or AWS' own.
    pub endpoint_url: Option<String>,
}
