//! The checked plan: routes.toml without anything that checking has settled. Names resolve, numbers are in range,
//! paths are absolute or relative to the working directory, never to routes.toml.

use esclusa_flow::filter::Filter;
use esclusa_flow::grants::Grants;
use esclusa_flow::retry::Policy;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Everything that `esclusa run` needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Dashboard, API and metrics; `None`: nothing listens, unless a source of kind http needs it.
    pub admin: Option<Admin>,
    /// The embedded engine's directory.
    pub engine: PathBuf,
    /// Sources by name.
    pub sources: BTreeMap<Arc<str>, Source>,
    /// Tables by name.
    pub tables: BTreeMap<String, Table>,
    /// Object stores by name.
    pub objects: BTreeMap<String, Objects>,
    /// Outputs by name.
    pub outputs: BTreeMap<String, Output>,
    /// Routes in the order of the file.
    pub routes: Vec<Route>,
}

/// `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where to listen; port 0: any free one.
    pub listen: SocketAddr,
}

/// `[source.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A stream of the embedded engine.
    Stream {
        /// The stream's name.
        stream: String,
        /// Number of partitions.
        partitions: u32,
        /// How long events are kept.
        retention: Duration,
        /// Where a route starts that has no position yet.
        start: Start,
    },
    /// A queue of the embedded engine.
    Queue {
        /// The queue's name.
        queue: String,
        /// How long a received message stays invisible.
        visibility_timeout: Duration,
        /// Receives after which a message goes to the dead letters.
        max_receive_count: u32,
    },
    /// The change feed of an embedded table.
    TableChanges {
        /// The table's name in routes.toml.
        table: String,
        /// Where a route starts that has no position yet.
        start: Start,
    },
    /// JSON lines of a file.
    File {
        /// The file.
        path: PathBuf,
        /// Keep reading as it grows.
        follow: bool,
    },
    /// `POST /ingest/NAME`.
    Http {
        /// Answer with the plugin's reply instead of after the durable write.
        reply: bool,
        /// Largest request body, bytes.
        max_body: usize,
        /// How long a request waits for its reply.
        timeout: Duration,
        /// Partitions of the stream that keeps the events (`reply = false`).
        partitions: u32,
    },
    /// A sample event per interval.
    Generate {
        /// Time between two ticks.
        interval: Duration,
        /// Events per tick.
        per_tick: u32,
        /// Stop after so many events; `None`: never.
        count: Option<u64>,
        /// The events, taken in turn; texts in them are templates with `{seq}`, `{now}`, `{random:N}`, `{pick:a|b}`.
        events: Vec<serde_json::Value>,
        /// Template of the event's key; empty: none.
        key: String,
    },
    /// An event at the times of a cron expression.
    Schedule {
        /// The expression, checked.
        cron: String,
        /// The event's data.
        event: serde_json::Value,
    },
}

/// Where a route starts that has no position yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest event.
    TrimHorizon,
    /// With the next event.
    Latest,
    /// At the first event accepted at or after this time, milliseconds since the Unix epoch.
    AtTimestamp(u64),
}

/// `[table.NAME]`, embedded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Key of the items.
    pub key: Key,
    /// Secondary indexes by name.
    pub indexes: BTreeMap<String, Key>,
    /// Keep a change feed.
    pub changes: bool,
}

/// Key attributes of a table or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Partition key attribute.
    pub partition: String,
    /// Sort key attribute.
    pub sort: Option<String>,
}

/// `[objects.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objects {
    /// A directory.
    Directory {
        /// Where.
        path: PathBuf,
    },
}

/// `[output.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A stream of the embedded engine.
    Stream {
        /// The stream's name.
        stream: String,
        /// Number of partitions.
        partitions: u32,
    },
    /// A queue of the embedded engine.
    Queue {
        /// The queue's name.
        queue: String,
    },
    /// Appended to a file, a line per message.
    File {
        /// The file.
        path: PathBuf,
    },
    /// Written to standard output, a line per message.
    Console,
    /// POSTed to a URL.
    Webhook {
        /// Where.
        url: String,
        /// Further headers.
        headers: Vec<(String, String)>,
        /// How long a request may take.
        timeout: Duration,
    },
}

/// `[[route]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Its name, unique.
    pub name: Arc<str>,
    /// Its source's name.
    pub source: Arc<str>,
    /// Which events it takes; `None`: all.
    pub filter: Option<Filter>,
    /// The plugin's file.
    pub plugin: PathBuf,
    /// Digest that the file must have, lower-case hex.
    pub sha256: Option<String>,
    /// What it may touch.
    pub grants: Grants,
    /// Most events of a batch.
    pub batch_size: usize,
    /// Most bytes of a batch.
    pub batch_bytes: usize,
    /// How long to wait for a full batch.
    pub batch_window: Duration,
    /// Most batches in work at the same time.
    pub concurrency: usize,
    /// Most bytes of events in flight.
    pub in_flight_bytes: usize,
    /// What to do with failures.
    pub policy: Policy,
    /// Where given-up events go; `None`: the embedded dead letters.
    pub on_failure: Option<String>,
    /// What the plugin may use per call.
    pub limits: Limits,
    /// How instances are used.
    pub instances: Instances,
    /// False: loaded and checked, but not started.
    pub enabled: bool,
    /// Handed to the plugin as JSON.
    pub config: serde_json::Value,
}

/// What a plugin may use per call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all memories and tables together.
    pub memory: usize,
    /// Time, computing and waiting.
    pub time: Duration,
    /// Effects that it may return.
    pub effects: usize,
    /// Bytes that it may return or pass to the host.
    pub output_bytes: usize,
    /// Bytes that it may log.
    pub log_bytes: usize,
}

/// How instances of a plugin are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instances {
    /// A new one for every batch.
    Fresh,
    /// Kept between batches, until one of these is passed or it fails.
    Reuse {
        /// Calls.
        max_invocations: u32,
        /// Bytes of memory after a call.
        memory_high_water: usize,
    },
}
