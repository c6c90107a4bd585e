//! The checked plan of a routes.toml. Every name in it is declared and every number in range; paths are absolute or
//! relative to the working directory, never to routes.toml.

pub(crate) mod delivery_level;
mod listener;
mod output;
mod source;

pub use delivery_level::{DeliveryLevel, KafkaProgress, WriteTarget};
pub use esclusa_flow::settings::{
    DeliveryMode, Instances, KafkaConnection, KafkaSecurity, KeySchema, Limits, RouteSpec, ServiceLocation, Start,
    TableSchema,
};
pub use listener::{
    Auth, Cors, Endpoint, HttpListener, Idempotency, KeyPlace, ListenerSource, Network, Secret, Segment,
    SignatureScheme, TlsFiles,
};
pub use output::{AmbiguousSend, Output, SnsReceiver};
pub use source::{DynamodbStreamName, ShardCoordination, Source};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Everything that `esclusa run` needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Dashboard, API and metrics; `None`: nothing listens for them.
    pub admin: Option<AdminListener>,
    /// The embedded engine's directory.
    pub engine: PathBuf,
    /// How much the embedded engine may hold.
    pub limits: EngineLimits,
    /// `[aws]`: the defaults of everything on AWS.
    pub aws: AwsDefaults,
    /// Listeners of sources of kind http by name.
    pub listeners: BTreeMap<String, HttpListener>,
    /// Sources by name.
    pub sources: BTreeMap<Arc<str>, Source>,
    /// Tables by name.
    pub tables: BTreeMap<String, TableSpec>,
    /// Object stores by name.
    pub objects: BTreeMap<String, Objects>,
    /// Outputs by name.
    pub outputs: BTreeMap<String, Output>,
    /// Routes in the order of the file.
    pub routes: Vec<RouteSpec>,
}

/// `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminListener {
    /// The address to listen on; port 0: any free one.
    pub listen: SocketAddr,
}

/// The limits of `[engine]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineLimits {
    /// Bytes of the store beyond which it takes nothing from outside.
    pub bytes: u64,
    /// Dead letters of all routes.
    pub dead_letters: u64,
    /// Bytes of all dead letters.
    pub dead_letter_bytes: u64,
}

/// `[aws]`; without that section, its defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsDefaults {
    /// The location of lease and dedup tables, and of every resource that names no other.
    pub place: ServiceLocation,
    /// The table that keeps which events of unordered sources are done, for exactly-once.
    pub dedup_table: String,
}

/// `[table.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableSpec {
    /// A table of the embedded engine.
    Embedded(TableSchema),
    /// A table in DynamoDB, which exists already.
    Dynamodb {
        /// Its name there.
        name: String,
        /// Its keys and indexes as the file gives them, to be compared with the table; `None`: the file gives none.
        layout: Option<TableSchema>,
        /// Its location.
        place: ServiceLocation,
    },
}

/// `[objects.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objects {
    /// A directory.
    Directory {
        /// Its path.
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
        /// The bucket's location.
        place: ServiceLocation,
    },
}

impl Plan {
    /// How long requests are served after readiness has ended: the longest `drain_delay`.
    #[must_use]
    pub fn drain_delay(&self) -> Duration {
        self.listeners.values().map(|listener| listener.drain_delay).max().unwrap_or_default()
    }

    /// True if a route's source, tables, object stores or outputs include one on AWS.
    #[must_use]
    pub fn touches_aws(&self, route: &RouteSpec) -> bool {
        let grants = &route.grants;
        let mut outputs = grants.outputs.iter().chain(&route.on_failure).filter_map(|name| self.outputs.get(name));
        self.sources.get(&route.source).is_some_and(Source::on_aws)
            || grants.tables.iter().filter_map(|name| self.tables.get(name)).any(TableSpec::on_aws)
            || grants.stores().filter_map(|name| self.objects.get(name)).any(Objects::on_aws)
            || outputs.any(Output::on_aws)
    }
}

impl TableSpec {
    /// True if it is on AWS.
    #[must_use]
    pub fn on_aws(&self) -> bool {
        matches!(self, TableSpec::Dynamodb { .. })
    }
}

impl Objects {
    /// True if it is on AWS.
    #[must_use]
    pub fn on_aws(&self) -> bool {
        matches!(self, Objects::S3 { .. })
    }
}
