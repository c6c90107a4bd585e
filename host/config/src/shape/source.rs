//! `[source.NAME]`.

pub(crate) mod aws;

use super::{Default, KeySpec, KindFamily, Section, ValueKind};
use crate::codes::Code;

/// Partitions of a stream if no section gives their number.
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
    default: Default::Depends("4, or what others say of the same stream"),
    about: "Number of partitions; events with the same key stay in order.",
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
    about: "Where a route starts that has no position yet: at the oldest event, with the next one, or at a time.",
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
    about: "How long a received message stays invisible to others.",
};
pub(crate) static MAX_RECEIVE_COUNT: KeySpec = KeySpec {
    name: "max_receive_count",
    kind: ValueKind::Integer { min: 1, max: 1_000 },
    default: Default::Value("5"),
    about: "Receives after which a message goes to the dead letters.",
};
pub(crate) static QUEUE_SECTION: Section = Section {
    name: "queue",
    about: "A queue of the embedded engine: a message is gone when every matching route is done with it.",
    keys: &[&QUEUE, &VISIBILITY_TIMEOUT, &MAX_RECEIVE_COUNT],
    foreign: &[("visibility_timeout_seconds", "write visibility_timeout = \"30s\"")],
};

pub(crate) static CHANGED_TABLE: KeySpec = KeySpec {
    name: "table",
    kind: ValueKind::Text,
    default: Default::Required,
    about: "A [table.NAME] with changes = true.",
};
pub(crate) static CHANGES_POSITION: KeySpec = KeySpec {
    name: "starting_position",
    kind: ValueKind::Choice(&["TRIM_HORIZON", "LATEST"]),
    default: Default::Value("TRIM_HORIZON"),
    about: "Where a route starts that has no position yet: at the oldest change, or with the next one.",
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
    about: "Keep reading as the file grows, and go on with another one that takes its place.",
};
pub(crate) static FILE_SECTION: Section = Section {
    name: "file",
    about: "JSON lines of a file of at most 64 MiB each; its position is remembered. A file that takes its place is read from its start, after the rest of the one before, where that was renamed to a longer name beside it (`events.jsonl.1`). Files that were rotated in between are not read, and warned of.",
    keys: &[&PATH, &FOLLOW],
    foreign: &[],
};

pub(crate) static REPLY: KeySpec = KeySpec {
    name: "reply",
    kind: ValueKind::Boolean,
    default: Default::Value("false"),
    about: "Answer with the plugin's reply, instead of as soon as the event is stored.",
};
pub(crate) static MAX_BODY: KeySpec = KeySpec {
    name: "max_body",
    kind: ValueKind::Size { min: "1KiB", max: "256MiB" },
    default: Default::Value("10MiB"),
    about: "Largest request body.",
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
    about: "Partitions of the stream that keeps the events (reply = false).",
};
pub(crate) static HTTP_SECTION: Section = Section {
    name: "http",
    about: "POST one event or JSON lines to /ingest/NAME of the [admin] listener.",
    keys: &[&REPLY, &MAX_BODY, &TIMEOUT, &HTTP_PARTITIONS],
    foreign: &[],
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
    default: Default::Depends("never stops"),
    about: "Stop after so many events.",
};
pub(crate) static SAMPLE: KeySpec = KeySpec {
    name: "event",
    kind: ValueKind::Json,
    default: Default::Depends("this or events"),
    about: "The event; texts in it are templates with {seq}, {now}, {random:N} and {pick:a|b}.",
};
pub(crate) static SAMPLES: KeySpec = KeySpec {
    name: "events",
    kind: ValueKind::List,
    default: Default::Depends("this or event"),
    about: "Several events, taken in turn.",
};
pub(crate) static SAMPLE_KEY: KeySpec = KeySpec {
    name: "key",
    kind: ValueKind::Text,
    default: Default::Value(""),
    about: "Template of the event's key; empty: none.",
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
    about: "Where events come from.",
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
