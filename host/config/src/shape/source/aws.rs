//! Sources in AWS: `kinesis`, `dynamodb-stream`, `sqs`.

use super::{CHANGES_POSITION, STARTING_POSITION, STARTING_POSITION_TIMESTAMP};
use crate::shape::aws::{OWN_ENDPOINT_URL, OWN_REGION};
use crate::shape::{Default, KeySpec, Section, ValueKind};

/// The help for options that are keys of a route.
pub(crate) const OF_ROUTE: &str =
    "this is a key of the route, in snake case, without the unit that Lambda has in some names";

pub(crate) static STREAM: KeySpec = KeySpec {
    name: "stream",
    kind: ValueKind::Text,
    default: Default::Depends("the source's name"),
    about: "The stream's name or ARN.",
};
pub(crate) static CONSUMER: KeySpec = KeySpec {
    name: "consumer",
    kind: ValueKind::Text,
    default: Default::Depends("none: shards are polled"),
    about: "Name of a consumer for enhanced fan-out, for one route. The router registers it if it is missing.",
};
pub(crate) static COORDINATION: KeySpec = KeySpec {
    name: "coordination",
    kind: ValueKind::Choice(&["leases", "none"]),
    default: Default::Value("leases"),
    about: "leases: any number of processes share the shards. none: a single process reads them and keeps positions in the embedded engine.",
};
pub(crate) static LEASE_TABLE: KeySpec = KeySpec {
    name: "lease_table",
    kind: ValueKind::Text,
    default: Default::Depends("`esclusa-ROUTE`"),
    about: "The DynamoDB table of leases and positions of one route, with the schema of KCL 2, in the region and at the endpoint of `[aws]`.",
};
pub(crate) static LEASE_DURATION: KeySpec = KeySpec {
    name: "lease_duration",
    kind: ValueKind::Duration { min: "1s", max: "10m", endless: false },
    default: Default::Value("10s"),
    about: "A lease that was not renewed for this long is free.",
};
pub(crate) static ORDERING: KeySpec = KeySpec {
    name: "ordering",
    kind: ValueKind::Choice(&["key", "none"]),
    default: Default::Value("key"),
    about: "key: a shard waits for its parents, so that each key stays in order over splits and merges. none: it does not wait.",
};
pub(crate) static KINESIS_SECTION: Section = Section {
    name: "kinesis",
    about: "A Kinesis data stream: ordered by key, retained, read by many routes.",
    keys: &[
        &STREAM,
        &STARTING_POSITION,
        &STARTING_POSITION_TIMESTAMP,
        &CONSUMER,
        &ORDERING,
        &COORDINATION,
        &LEASE_TABLE,
        &LEASE_DURATION,
        &OWN_REGION,
        &OWN_ENDPOINT_URL,
    ],
    foreign: &[
        ("stream_name", "write stream = \"NAME\""),
        ("stream_arn", "write stream = \"ARN\""),
        ("event_source_arn", "write stream = \"ARN\""),
        ("event_source", "write stream = \"ARN\""),
        ("arn", "write stream = \"ARN\""),
        ("consumer_arn", "write consumer = \"NAME\""),
        ("consumer_name", "write consumer = \"NAME\""),
        ("enhanced_fan_out", "write consumer = \"NAME\""),
        ("application_name", "write lease_table = \"NAME\": in KCL it is the name of the lease table"),
        ("initial_position", "write starting_position = \"TRIM_HORIZON\""),
        ("partitions", "leave it out: the stream has its shards"),
        ("shards", "leave it out: the stream has its shards"),
        ("shard_count", "leave it out: the stream has its shards"),
        ("retention", "leave it out: the stream has its retention"),
        ("batch_size", OF_ROUTE),
        ("maximum_batching_window_in_seconds", OF_ROUTE),
        ("max_batching_window", OF_ROUTE),
        ("maximum_retry_attempts", OF_ROUTE),
        ("retry_attempts", OF_ROUTE),
        ("parallelization_factor", OF_ROUTE),
        ("function_name", "a route names the plugin: plugin = \"PATH.wasm\""),
    ],
};

pub(crate) static STREAM_OF: KeySpec = KeySpec {
    name: "table",
    kind: ValueKind::Text,
    default: Default::Depends("the source's name, without stream_arn"),
    about: "Name of the table in DynamoDB; the route reads its current stream.",
};
pub(crate) static STREAM_ARN: KeySpec = KeySpec {
    name: "stream_arn",
    kind: ValueKind::Text,
    default: Default::Nothing,
    about: "The stream's ARN, in place of `table`.",
};
pub(crate) static DYNAMODB_STREAM_SECTION: Section = Section {
    name: "dynamodb-stream",
    about: "The changes of a DynamoDB table, ordered by item; the table keeps a stream with new and old images.",
    keys: &[
        &STREAM_OF,
        &STREAM_ARN,
        &CHANGES_POSITION,
        &ORDERING,
        &COORDINATION,
        &LEASE_TABLE,
        &LEASE_DURATION,
        &OWN_REGION,
        &OWN_ENDPOINT_URL,
    ],
    foreign: &[
        ("event_source_arn", "write stream_arn = \"ARN\""),
        ("event_source", "write stream_arn = \"ARN\""),
        ("latest_stream_arn", "write stream_arn = \"ARN\""),
        ("arn", "write stream_arn = \"ARN\""),
        ("table_name", "write table = \"NAME\""),
        ("stream", "write table = \"NAME\", or stream_arn = \"ARN\""),
        ("starting_position_timestamp", "streams of DynamoDB start at \"TRIM_HORIZON\" or \"LATEST\""),
        ("initial_position", "write starting_position = \"TRIM_HORIZON\""),
        ("batch_size", OF_ROUTE),
        ("maximum_batching_window_in_seconds", OF_ROUTE),
        ("max_batching_window", OF_ROUTE),
        ("maximum_retry_attempts", OF_ROUTE),
        ("retry_attempts", OF_ROUTE),
        ("parallelization_factor", OF_ROUTE),
        ("function_name", "a route names the plugin: plugin = \"PATH.wasm\""),
    ],
};

pub(crate) static QUEUE: KeySpec = KeySpec {
    name: "queue",
    kind: ValueKind::Text,
    default: Default::Depends("the source's name"),
    about: "The queue's name or URL; a FIFO queue ends with .fifo.",
};
pub(crate) static VISIBILITY_TIMEOUT: KeySpec = KeySpec {
    name: "visibility_timeout",
    kind: ValueKind::Duration { min: "1s", max: "12h", endless: false },
    default: Default::Depends("the queue's own"),
    about: "How long a received message stays invisible to other receivers; the router extends it while the message is in work.",
};
pub(crate) static MAX_RECEIVE_COUNT: KeySpec = KeySpec {
    name: "max_receive_count",
    kind: ValueKind::Integer { min: 1, max: 1_000 },
    default: Default::Depends("the queue's redrive policy decides"),
    about: "After this many receives the route gives the message up, to its on_failure.",
};
pub(crate) static SQS_SECTION: Section = Section {
    name: "sqs",
    about: "A queue of SQS. Each of its routes gets every message; a message that fails is released. Each group of a FIFO queue is handled in order.",
    keys: &[&QUEUE, &VISIBILITY_TIMEOUT, &MAX_RECEIVE_COUNT, &OWN_REGION, &OWN_ENDPOINT_URL],
    foreign: &[
        ("queue_url", "write queue = \"URL\""),
        ("queue_name", "write queue = \"NAME\""),
        ("queue_arn", "write queue = \"NAME\", with region = \"…\" if it differs from that of [aws]"),
        ("event_source_arn", "write queue = \"NAME\", with region = \"…\" if it differs from that of [aws]"),
        ("event_source", "write queue = \"NAME\", with region = \"…\" if it differs from that of [aws]"),
        ("arn", "write queue = \"NAME\", with region = \"…\" if it differs from that of [aws]"),
        ("visibility_timeout_seconds", "write visibility_timeout = \"30s\""),
        ("redrive_policy", "it belongs to the queue in AWS; or write max_receive_count = N"),
        ("dead_letter_queue", "it belongs to the queue in AWS; or write on_failure = \"OUTPUT\" at the route"),
        ("starting_position", "a queue has no positions; leave it out"),
        ("batch_size", OF_ROUTE),
        ("maximum_batching_window_in_seconds", OF_ROUTE),
        ("max_batching_window", OF_ROUTE),
        ("maximum_concurrency", OF_ROUTE),
        ("scaling_config", "write maximum_concurrency = N at the route"),
        ("function_name", "a route names the plugin: plugin = \"PATH.wasm\""),
    ],
};
