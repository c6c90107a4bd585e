//! `[source.NAME]`.

pub(crate) mod aws;
pub(crate) mod kafka;

use super::{Default, KeySpec, KindFamily, Section, ValueKind, listener};
use crate::codes::Code;

/// Partitions of a stream if no section sets them.
pub(crate) const PARTITIONS_DEFAULT: u32 = 4;

pub(crate) static STREAM: KeySpec = KeySpec {
    name: "stream",
    kind: ValueKind::Text,
    default: Default::Depends("the source's name"),
    about: "The stream's name.",
};
pub(crate) static PARTITIONS: KeySpec = KeySpec {
    name: "partitions",
    kind: ValueKind::Integer { min: 1, max: 256 },
    default: Default::Depends("4, or as another section of the same stream has it"),
    about: "Number of partitions. Events with the same key are in one partition, in order.",
};
pub(crate) static RETENTION: KeySpec = KeySpec {
    name: "retention",
    kind: ValueKind::Duration { min: "1m", max: "365d", endless: false },
    default: Default::Value("24h"),
    about: "How long events are kept.",
};
pub(crate) static STARTING_POSITION: KeySpec = KeySpec {
    name: "starting_position",
    kind: ValueKind::Choice(&["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"]),
    default: Default::Value("TRIM_HORIZON"),
    about: "Start of a route that has no position yet: the oldest event, the next one, or a time.",
};
pub(crate) static STARTING_POSITION_TIMESTAMP: KeySpec = KeySpec {
    name: "starting_position_timestamp",
    kind: ValueKind::Timestamp,
    default: Default::Nothing,
    about: "The time for AT_TIMESTAMP.",
};
pub(crate) static STREAM_SECTION: Section = Section {
    name: "stream",
    about: "A stream of the embedded engine: ordered by key, retained, read by many routes.",
    keys: &[&STREAM, &PARTITIONS, &RETENTION, &STARTING_POSITION, &STARTING_POSITION_TIMESTAMP],
    foreign: &[("shards", "write partitions = N"), ("shard_count", "write partitions = N")],
};

pub(crate) static QUEUE: KeySpec = KeySpec {
    name: "queue",
    kind: ValueKind::Text,
    default: Default::Depends("the source's name"),
    about: "The queue's name.",
};
pub(crate) static VISIBILITY_TIMEOUT: KeySpec = KeySpec {
    name: "visibility_timeout",
    kind: ValueKind::Duration { min: "1s", max: "12h", endless: false },
    default: Default::Value("30s"),
    about: "How long a received message stays invisible to other receivers.",
};
pub(crate) static MAX_RECEIVE_COUNT: KeySpec = KeySpec {
    name: "max_receive_count",
    kind: ValueKind::Integer { min: 1, max: 1_000 },
    default: Default::Value("5"),
    about: "After this many receives a message becomes a dead letter.",
};
pub(crate) static QUEUE_SECTION: Section = Section {
    name: "queue",
    about: "A queue of the embedded engine: a message is deleted when every matching route is done with it.",
    keys: &[&QUEUE, &VISIBILITY_TIMEOUT, &MAX_RECEIVE_COUNT],
    foreign: &[("visibility_timeout_seconds", "write visibility_timeout = \"30s\"")],
};

pub(crate) static CHANGED_TABLE: KeySpec = KeySpec {
    name: "table",
    kind: ValueKind::Text,
    default: Default::Required,
    about: "The NAME of a [table.NAME] with changes = true.",
};
pub(crate) static CHANGES_POSITION: KeySpec = KeySpec {
    name: "starting_position",
    kind: ValueKind::Choice(&["TRIM_HORIZON", "LATEST"]),
    default: Default::Value("TRIM_HORIZON"),
    about: "Start of a route that has no position yet: the oldest change, or the next one.",
};
pub(crate) static TABLE_CHANGES_SECTION: Section = Section {
    name: "table-changes",
    about: "The changes of an embedded table, with old and new image, as records of a DynamoDB stream.",
    keys: &[&CHANGED_TABLE, &CHANGES_POSITION],
    foreign: &[],
};

pub(crate) static PATH: KeySpec =
    KeySpec { name: "path", kind: ValueKind::Path, default: Default::Required, about: "A file of JSON lines." };
pub(crate) static FOLLOW: KeySpec = KeySpec {
    name: "follow",
    kind: ValueKind::Boolean,
    default: Default::Value("false"),
    about: "Keep reading as the file grows, and go on with a file that takes its place.",
};
pub(crate) static FILE_SECTION: Section = Section {
    name: "file",
    about: "A file of JSON lines of at most 64 MiB each; the route keeps its position. If another file takes its place, the route reads three things in turn. First the rest of the old one, if that was renamed within its directory, or copied beside it (`events.jsonl.1`, `events.2026-11-28.jsonl`) and truncated. Then files that were rotated in between, if their names are that of the file with a number or date behind it. Then the new one from its start. If the old one is gone, compressed or deleted while no router ran, nobody knows which rotated files came after it: none of them is read, and the router names them. It warns of what it cannot find, with its bytes, and of newer files beside it that it does not read.",
    keys: &[&PATH, &FOLLOW],
    foreign: &[],
};

pub(crate) static REPLY: KeySpec = KeySpec {
    name: "reply",
    kind: ValueKind::Boolean,
    default: Default::Value("false"),
    about: "true: answer with the plugin's reply; false: answer as soon as the event is stored.",
};
pub(crate) static MAX_BODY: KeySpec = KeySpec {
    name: "max_body",
    kind: ValueKind::Size { min: "1KiB", max: "256MiB" },
    default: Default::Value("10MiB"),
    about: "Most bytes of a request body.",
};
pub(crate) static TIMEOUT: KeySpec = KeySpec {
    name: "timeout",
    kind: ValueKind::Duration { min: "100ms", max: "15m", endless: false },
    default: Default::Value("30s"),
    about: "How long a request waits for its reply.",
};
pub(crate) static HTTP_PARTITIONS: KeySpec = KeySpec {
    name: "partitions",
    kind: ValueKind::Integer { min: 1, max: 256 },
    default: Default::Value("4"),
    about: "Partitions of the stream that keeps the events, for 24 hours (reply = false).",
};
pub(crate) static HTTP_SECTION: Section = Section {
    name: "http",
    about: "Requests to the endpoints of a [listener.NAME], or without one to /ingest/NAME of [admin]: one event, or JSON lines.",
    keys: &[
        &listener::LISTENER,
        &listener::BASE_PATH,
        &listener::ENDPOINTS,
        &REPLY,
        &listener::AUTH,
        &listener::IDEMPOTENCY_KEY,
        &listener::IDEMPOTENCY_TTL,
        &listener::RATE_LIMIT,
        &MAX_BODY,
        &TIMEOUT,
        &HTTP_PARTITIONS,
    ],
    foreign: &[("path", "write endpoints = [\"POST /PATH\"]"), ("paths", "write endpoints = [\"POST /PATH\"]")],
};

pub(crate) static INTERVAL: KeySpec = KeySpec {
    name: "interval",
    kind: ValueKind::Duration { min: "1ms", max: "1d", endless: false },
    default: Default::Value("1s"),
    about: "Time between two ticks.",
};
pub(crate) static PER_TICK: KeySpec = KeySpec {
    name: "per_tick",
    kind: ValueKind::Integer { min: 1, max: 100_000 },
    default: Default::Value("1"),
    about: "Events per tick.",
};
pub(crate) static COUNT: KeySpec = KeySpec {
    name: "count",
    kind: ValueKind::Integer { min: 1, max: i64::MAX },
    default: Default::Depends("it never ends"),
    about: "Number of events after which the source ends.",
};
pub(crate) static SAMPLE: KeySpec = KeySpec {
    name: "event",
    kind: ValueKind::Json,
    default: Default::Depends("this or `events` is required"),
    about: "The event. Its texts are templates with {seq}, {now}, {random:N} and {pick:a|b}.",
};
pub(crate) static SAMPLES: KeySpec = KeySpec {
    name: "events",
    kind: ValueKind::List,
    default: Default::Depends("this or `event` is required"),
    about: "Several events, used in turn.",
};
pub(crate) static SAMPLE_KEY: KeySpec = KeySpec {
    name: "key",
    kind: ValueKind::Text,
    default: Default::Value(""),
    about: "Template of the event's key; empty: no key.",
};
pub(crate) static GENERATE_SECTION: Section = Section {
    name: "generate",
    about: "Sample events at an interval, for demonstrations and load.",
    keys: &[&INTERVAL, &PER_TICK, &COUNT, &SAMPLE, &SAMPLES, &SAMPLE_KEY],
    foreign: &[],
};

pub(crate) static CRON: KeySpec = KeySpec {
    name: "cron",
    kind: ValueKind::Text,
    default: Default::Required,
    about: "Minute, hour, day of the month, month and day of the week, in UTC; a sixth field in front is seconds.",
};
pub(crate) static SCHEDULED: KeySpec =
    KeySpec { name: "event", kind: ValueKind::Json, default: Default::Value("{}"), about: "The event's data." };
pub(crate) static SCHEDULE_SECTION: Section = Section {
    name: "schedule",
    about: "An event at the times of a cron expression.",
    keys: &[&CRON, &SCHEDULED],
    foreign: &[("schedule", "write cron = \"0 * * * *\""), ("expression", "write cron = \"0 * * * *\"")],
};

/// `[source.NAME]`.
pub(crate) static FAMILY: KindFamily = KindFamily {
    name: "source",
    about: "A source of events.",
    kinds: &[
        &STREAM_SECTION,
        &QUEUE_SECTION,
        &TABLE_CHANGES_SECTION,
        &FILE_SECTION,
        &HTTP_SECTION,
        &GENERATE_SECTION,
        &SCHEDULE_SECTION,
        &aws::KINESIS_SECTION,
        &aws::DYNAMODB_STREAM_SECTION,
        &aws::SQS_SECTION,
        &kafka::KAFKA_SECTION,
    ],
    unknown_kind: Code::SOURCE_UNKNOWN_KIND,
};
