//! `[source.NAME]`.

pub mod aws;

use super::{Default, Family, Key, Kind, Section};
use crate::codes::Code;

/// Partitions of a stream if no section sets them.
pub const PARTITIONS_DEFAULT: u32 = 4;

pub static STREAM: Key = Key {
    name: "stream",
    kind: Kind::Text,
    default: Default::Depends("the source's name"),
    about: "The stream's name.",
};
pub static PARTITIONS: Key = Key {
    name: "partitions",
    kind: Kind::Integer { min: 1, max: 256 },
    default: Default::Depends("4, or as another section of the same stream has it"),
    about: "Number of partitions. Events with the same key are in one partition, in order.",
};
pub static RETENTION: Key = Key {
    name: "retention",
    kind: Kind::Duration { min: "1m", max: "365d", endless: false },
    default: Default::Value("24h"),
    about: "How long events are kept.",
};
pub static STARTING_POSITION: Key = Key {
    name: "starting_position",
    kind: Kind::Choice(&["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"]),
    default: Default::Value("TRIM_HORIZON"),
    about: "Start of a route that has no position yet: the oldest event, the next one, or a time.",
};
pub static STARTING_POSITION_TIMESTAMP: Key = Key {
    name: "starting_position_timestamp",
    kind: Kind::Timestamp,
    default: Default::Nothing,
    about: "The time for AT_TIMESTAMP.",
};
pub static STREAM_SECTION: Section = Section {
    name: "stream",
    about: "A stream of the embedded engine: ordered by key, retained, read by many routes.",
    keys: &[&STREAM, &PARTITIONS, &RETENTION, &STARTING_POSITION, &STARTING_POSITION_TIMESTAMP],
    foreign: &[("shards", "write partitions = N"), ("shard_count", "write partitions = N")],
};

pub static QUEUE: Key =
    Key { name: "queue", kind: Kind::Text, default: Default::Depends("the source's name"), about: "The queue's name." };
pub static VISIBILITY_TIMEOUT: Key = Key {
    name: "visibility_timeout",
    kind: Kind::Duration { min: "1s", max: "12h", endless: false },
    default: Default::Value("30s"),
    about: "How long a received message stays invisible to other receivers.",
};
pub static MAX_RECEIVE_COUNT: Key = Key {
    name: "max_receive_count",
    kind: Kind::Integer { min: 1, max: 1_000 },
    default: Default::Value("5"),
    about: "After this many receives a message becomes a dead letter.",
};
pub static QUEUE_SECTION: Section = Section {
    name: "queue",
    about: "A queue of the embedded engine: a message is deleted when every matching route is done with it.",
    keys: &[&QUEUE, &VISIBILITY_TIMEOUT, &MAX_RECEIVE_COUNT],
    foreign: &[("visibility_timeout_seconds", "write visibility_timeout = \"30s\"")],
};

pub static CHANGED_TABLE: Key = Key {
    name: "table",
    kind: Kind::Text,
    default: Default::Required,
    about: "The NAME of a [table.NAME] with changes = true.",
};
pub static CHANGES_POSITION: Key = Key {
    name: "starting_position",
    kind: Kind::Choice(&["TRIM_HORIZON", "LATEST"]),
    default: Default::Value("TRIM_HORIZON"),
    about: "Start of a route that has no position yet: the oldest change, or the next one.",
};
pub static TABLE_CHANGES_SECTION: Section = Section {
    name: "table-changes",
    about: "The changes of an embedded table, with old and new image, as records of a DynamoDB stream.",
    keys: &[&CHANGED_TABLE, &CHANGES_POSITION],
    foreign: &[],
};

pub static PATH: Key =
    Key { name: "path", kind: Kind::Path, default: Default::Required, about: "A file of JSON lines." };
pub static FOLLOW: Key = Key {
    name: "follow",
    kind: Kind::Boolean,
    default: Default::Value("false"),
    about: "Keep reading as the file grows, and go on with a file that takes its place.",
};
pub static FILE_SECTION: Section = Section {
    name: "file",
    about: "A file of JSON lines of at most 64 MiB each; the route keeps its position. If another file takes its place, the route first reads the rest of the old one, if that was renamed to a longer name beside it (`events.jsonl.1`), and then the new one from its start. Files that were rotated in between are not read; the router warns of them.",
    keys: &[&PATH, &FOLLOW],
    foreign: &[],
};

pub static REPLY: Key = Key {
    name: "reply",
    kind: Kind::Boolean,
    default: Default::Value("false"),
    about: "true: answer with the plugin's reply; false: answer as soon as the event is stored.",
};
pub static MAX_BODY: Key = Key {
    name: "max_body",
    kind: Kind::Size { min: "1KiB", max: "256MiB" },
    default: Default::Value("10MiB"),
    about: "Most bytes of a request body.",
};
pub static TIMEOUT: Key = Key {
    name: "timeout",
    kind: Kind::Duration { min: "100ms", max: "15m", endless: false },
    default: Default::Value("30s"),
    about: "How long a request waits for its reply.",
};
pub static HTTP_PARTITIONS: Key = Key {
    name: "partitions",
    kind: Kind::Integer { min: 1, max: 256 },
    default: Default::Value("4"),
    about: "Partitions of the stream that keeps the events (reply = false).",
};
pub static HTTP_SECTION: Section = Section {
    name: "http",
    about: "Requests to /ingest/NAME of the [admin] listener: one event, or JSON lines.",
    keys: &[&REPLY, &MAX_BODY, &TIMEOUT, &HTTP_PARTITIONS],
    foreign: &[],
};

pub static INTERVAL: Key = Key {
    name: "interval",
    kind: Kind::Duration { min: "1ms", max: "1d", endless: false },
    default: Default::Value("1s"),
    about: "Time between two ticks.",
};
pub static PER_TICK: Key = Key {
    name: "per_tick",
    kind: Kind::Integer { min: 1, max: 100_000 },
    default: Default::Value("1"),
    about: "Events per tick.",
};
pub static COUNT: Key = Key {
    name: "count",
    kind: Kind::Integer { min: 1, max: i64::MAX },
    default: Default::Depends("it never ends"),
    about: "Number of events after which the source ends.",
};
pub static SAMPLE: Key = Key {
    name: "event",
    kind: Kind::Json,
    default: Default::Depends("this or `events` is required"),
    about: "The event. Its texts are templates with {seq}, {now}, {random:N} and {pick:a|b}.",
};
pub static SAMPLES: Key = Key {
    name: "events",
    kind: Kind::List,
    default: Default::Depends("this or `event` is required"),
    about: "Several events, used in turn.",
};
pub static SAMPLE_KEY: Key = Key {
    name: "key",
    kind: Kind::Text,
    default: Default::Value(""),
    about: "Template of the event's key; empty: no key.",
};
pub static GENERATE_SECTION: Section = Section {
    name: "generate",
    about: "Sample events at an interval, for demonstrations and load.",
    keys: &[&INTERVAL, &PER_TICK, &COUNT, &SAMPLE, &SAMPLES, &SAMPLE_KEY],
    foreign: &[],
};

pub static CRON: Key = Key {
    name: "cron",
    kind: Kind::Text,
    default: Default::Required,
    about: "Minute, hour, day of the month, month and day of the week, in UTC; a sixth field in front is seconds.",
};
pub static SCHEDULED: Key =
    Key { name: "event", kind: Kind::Json, default: Default::Value("{}"), about: "The event's data." };
pub static SCHEDULE_SECTION: Section = Section {
    name: "schedule",
    about: "An event at the times of a cron expression.",
    keys: &[&CRON, &SCHEDULED],
    foreign: &[("schedule", "write cron = \"0 * * * *\""), ("expression", "write cron = \"0 * * * *\"")],
};

/// `[source.NAME]`.
pub static FAMILY: Family = Family {
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
    ],
    unknown_kind: Code::SOURCE_UNKNOWN_KIND,
};
