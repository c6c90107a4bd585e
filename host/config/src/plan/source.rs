//! `[source.NAME]`, checked.

use super::{ListenerSource, ServiceLocation};
use esclusa_flow::settings::{KafkaConnection, Start};
use std::path::PathBuf;
use std::time::Duration;

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
        /// Receives after which the route makes a dead letter of a message.
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
    /// Requests to a listener, or to `/ingest/NAME`.
    Http {
        /// What it has on its listener; `None`: it is at `/ingest/NAME`.
        on: Option<Box<ListenerSource>>,
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
        /// Number of events after which it stops; `None`: it does not stop.
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
    /// A Kinesis data stream.
    Kinesis {
        /// The stream's name or ARN.
        stream: String,
        /// Where a route starts that has no position yet.
        start: Start,
        /// Name of the consumer for enhanced fan-out; `None`: the shards are polled.
        consumer: Option<String>,
        /// A shard waits for those that it came from.
        ordered: bool,
        /// How processes share the shards.
        coordination: ShardCoordination,
        /// The stream's location.
        place: ServiceLocation,
    },
    /// The stream of a DynamoDB table.
    DynamodbStream {
        /// The table's name in DynamoDB, or the ARN of its stream.
        of: DynamodbStreamName,
        /// Where a route starts that has no position yet.
        start: Start,
        /// A shard waits for those that it came from.
        ordered: bool,
        /// How processes share the shards.
        coordination: ShardCoordination,
        /// The stream's location.
        place: ServiceLocation,
    },
    /// A queue of SQS.
    Sqs {
        /// The queue's name or URL.
        queue: String,
        /// How long a received message stays invisible; `None`: the queue's own setting.
        visibility_timeout: Option<Duration>,
        /// Receives after which the route makes a dead letter of a message; `None`: the queue's redrive policy decides.
        max_receive_count: Option<u32>,
        /// The queue's location.
        place: ServiceLocation,
    },
    /// Topics of Kafka.
    Kafka {
        /// The brokers, and how to reach them.
        connection: KafkaConnection,
        /// The topics, at least one.
        topics: Vec<String>,
        /// Where a group starts in partitions that exist at its first start.
        start: Start,
        /// The name of this process as a static member of the group.
        group_instance_id: Option<String>,
        /// How long a batch may take to finish when its partition is revoked.
        revoke_timeout: Duration,
    },
}

/// The name of a DynamoDB table's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DynamodbStreamName {
    /// The table's name: its current stream.
    Table(String),
    /// The stream's ARN.
    Arn(String),
}

/// How processes share the shards of a source, and what keeps the progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShardCoordination {
    /// A lease per shard, with the progress, in a DynamoDB table at the location of `[aws]`.
    Leases {
        /// The table; `None`: each route has one of its own, see [`ShardCoordination::lease_table`].
        table: Option<String>,
        /// A lease that was not renewed for so long is free.
        duration: Duration,
    },
    /// One process reads everything; the embedded engine keeps the progress.
    None,
}

impl ShardCoordination {
    /// The lease table of a route; `None` without leases.
    #[must_use]
    pub fn lease_table(&self, route: &str) -> Option<String> {
        match self {
            ShardCoordination::Leases { table: Some(table), .. } => Some(table.clone()),
            ShardCoordination::Leases { table: None, .. } => Some(format!("esclusa-{route}")),
            ShardCoordination::None => None,
        }
    }
}

impl Source {
    /// Its kind, as routes.toml has it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Source::Stream { .. } => "stream",
            Source::Queue { .. } => "queue",
            Source::TableChanges { .. } => "table-changes",
            Source::File { .. } => "file",
            Source::Http { .. } => "http",
            Source::Generate { .. } => "generate",
            Source::Schedule { .. } => "schedule",
            Source::Kinesis { .. } => "kinesis",
            Source::DynamodbStream { .. } => "dynamodb-stream",
            Source::Sqs { .. } => "sqs",
            Source::Kafka { .. } => "kafka",
        }
    }

    /// True if the events of a lane arrive in order and are finished in order. False for an embedded queue: it keeps
    /// order only among messages with a key.
    #[must_use]
    pub fn ordered(&self) -> bool {
        match self {
            Source::Queue { .. } | Source::Http { reply: true, .. } => false,
            Source::Sqs { queue, .. } => queue.ends_with(".fifo"),
            Source::Kinesis { ordered, .. } | Source::DynamodbStream { ordered, .. } => *ordered,
            _ => true,
        }
    }

    /// True if its lanes hold events of many keys, and each key's events are in order.
    #[must_use]
    pub(crate) fn ordered_by_key(&self) -> bool {
        use Source::{DynamodbStream, Kafka, Kinesis, Stream, TableChanges};
        matches!(self, Stream { .. } | TableChanges { .. } | Kinesis { .. } | DynamodbStream { .. } | Kafka { .. })
    }

    /// True if it is on AWS.
    #[must_use]
    pub fn on_aws(&self) -> bool {
        matches!(self, Source::Kinesis { .. } | Source::DynamodbStream { .. } | Source::Sqs { .. })
    }

    /// True if it keeps its own progress, outside of the embedded engine.
    #[must_use]
    pub fn keeps_progress(&self) -> bool {
        matches!(self, Source::Sqs { .. }) || matches!(self.coordination(), Some(ShardCoordination::Leases { .. }))
    }

    /// How processes share its shards; `None` for a source without shards.
    #[must_use]
    pub fn coordination(&self) -> Option<&ShardCoordination> {
        match self {
            Source::Kinesis { coordination, .. } | Source::DynamodbStream { coordination, .. } => Some(coordination),
            _ => None,
        }
    }
}
