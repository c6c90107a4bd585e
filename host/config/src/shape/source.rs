//! `[source.NAME]`.

pub(crate) mod aws;

use super::{Default, Family, Key, Kind, Section};
use crate::codes::Code;

/// Partitions of a stream of which nobody says how many it has.
pub(crate) const PARTITIONS_DEFAULT: u32 = 4;

pub(crate) static STREAM: Key = Key {
    name: "stream",
    kind: Kind::Text,
    default: Default::Depends("the source's name"),
    about: "The stream's name.",
};
pub(crate) static PARTITIONS: Key = Key {
    name: "partitions",
    kind: Kind::Integer { min: 1, max: 256 },
    default: Default::Depends("4, or what others say of the same stream"),
    about: "Number of partitions; events with the same key stay in order.",
};
pub(crate) static RETENTION: Key = Key {
    name: "retention",
    kind: Kind::Duration { min: "1m", max: "365d", endless: false },
    default: Default::Value("24h"),
    about: "How long events are kept.",
};
pub(crate) static STARTING_POSITION: Key = Key {
    name: "starting_position",
    kind: Kind::Choice(&["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"]),
    default: Default::Value("TRIM_HORIZON"),
    about: "Where a route starts that has no position yet: at the oldest event, with the next one, or at a time.",
};
pub(crate) static STARTING_POSITION_TIMESTAMP: Key = Key {
    name: "starting_position_timestamp",
    kind: Kind::Timestamp,
    default: Default::Nothing,
    about: "The time for AT_TIMESTAMP.",
};
pub(crate) static STREAM_SECTION: Section = Section {
    name: "stream",
    about: "A stream of the embedded engine: ordered by key, retained, read by many routes.",
    keys: &[&STREAM, &PARTITIONS, &RETENTION, &STARTING_POSITION, &STARTING_POSITION_TIMESTAMP],
    foreign: &[("shards", "write partitions = N"), ("shard_count", "write partitions = N")],
};

pub(crate) static QUEUE: Key =
    Key { name: "queue", kind: Kind::Text, default: Default::Depends("the source's name"), about: "The queue's name." };
pub(crate) static VISIBILITY_TIMEOUT: Key = Key {
    name: "visibility_timeout",
    kind: Kind::Duration { min: "1s", max: "12h", endless: false },
    default: Default::Value("30s"),
    about: "How long a received message stays invisible to others.",
};
pub(crate) static MAX_RECEIVE_COUNT: Key = Key {
    name: "max_receive_count",
    kind: Kind::Integer { min: 1, max: 1_000 },
    default: Default::Value("5"),
    about: "Receives after which a message goes to the dead letters.",
};
pub(crate) static QUEUE_SECTION: Section = Section {
    name: "queue",
    about: "A queue of the embedded engine: a message is gone when every matching route is done with it.",
    keys: &[&QUEUE, &VISIBILITY_TIMEOUT, &MAX_RECEIVE_COUNT],
    foreign: &[("visibility_timeout_seconds", "write visibility_timeout = \"30s\"")],
};

pub(crate) static CHANGED_TABLE: Key =
    Key { name: "table", kind: Kind::Text, default: Default::Required, about: "A [table.NAME] with changes = true." };
pub(crate) static CHANGES_POSITION: Key = Key {
    name: "starting_position",
    kind: Kind::Choice(&["TRIM_HORIZON", "LATEST"]),
    default: Default::Value("TRIM_HORIZON"),
    about: "Where a route starts that has no position yet: at the oldest change, or with the next one.",
};
pub(crate) static TABLE_CHANGES_SECTION: Section = Section {
    name: "table-changes",
    about: "The changes of an embedded table, with old and new image, as records of a DynamoDB stream.",
    keys: &[&CHANGED_TABLE, &CHANGES_POSITION],
    foreign: &[],
};

pub(crate) static PATH: Key =
    Key { name: "path", kind: Kind::Path, default: Default::Required, about: "A file of JSON lines." };
pub(crate) static FOLLOW: Key = Key {
    name: "follow",
    kind: Kind::Boolean,
    default: Default::Value("false"),
    about: "Keep reading as the file grows, and go on with another one that takes its place.",
};
pub(crate) static FILE_SECTION: Section = Section {
    name: "file",
    about: "JSON lines of a file of at most 64 MiB each; its position is remembered. A file that takes its place is read from its start, after the rest of the one before, where that was renamed to a longer name beside it (`events.jsonl.1`). Files that were rotated in between are not read, and warned of.",
    keys: &[&PATH, &FOLLOW],
    foreign: &[],
};

pub(crate) static REPLY: Key = Key {
    name: "reply",
    kind: Kind::Boolean,
    default: Default::Value("false"),
    about: "Answer with the plugin's reply, instead of as soon as the event is stored.",
};
pub(crate) static MAX_BODY: Key = Key {
    name: "max_body",
    kind: Kind::Size { min: "1KiB", max: "256MiB" },
    default: Default::Value("10MiB"),
    about: "Largest request body.",
};
pub(crate) static TIMEOUT: Key = Key {
    name: "timeout",
    kind: Kind::Duration { min: "100ms", max: "15m", endless: false },
    default: Default::Value("30s"),
    about: "How long a request waits for its reply.",
};
pub(crate) static HTTP_PARTITIONS: Key = Key {
    name: "partitions",
    kind: Kind::Integer { min: 1, max: 256 },
    default: Default::Value("4"),
    about: "Partitions of the stream that keeps the events (reply = false).",
};
pub(crate) static HTTP_SECTION: Section = Section {
    name: "http",
    about: "POST one event or JSON lines to /ingest/NAME of the [admin] listener.",
    keys: &[&REPLY, &MAX_BODY, &TIMEOUT, &HTTP_PARTITIONS],
    foreign: &[],
};

pub(crate) static INTERVAL: Key = Key {
    name: "interval",
    kind: Kind::Duration { min: "1ms", max: "1d", endless: false },
    default: Default::Value("1s"),
    about: "Time between two ticks.",
};
pub(crate) static PER_TICK: Key = Key {
    name: "per_tick",
    kind: Kind::Integer { min: 1, max: 100_000 },
    default: Default::Value("1"),
    about: "Events per tick.",
};
pub(crate) static COUNT: Key = Key {
    name: "count",
    kind: Kind::Integer { min: 1, max: i64::MAX },
    default: Default::Depends("never stops"),
    about: "Stop after so many events.",
};
pub(crate) static SAMPLE: Key = Key {
    name: "event",
    kind: Kind::Json,
    default: Default::Depends("this or events"),
    about: "The event; texts in it are templates with {seq}, {now}, {random:N} and {pick:a|b}.",
};
pub(crate) static SAMPLES: Key = Key {
    name: "events",
    kind: Kind::List,
    default: Default::Depends("this or event"),
    about: "Several events, taken in turn.",
};
pub(crate) static SAMPLE_KEY: Key = Key {
    name: "key",
    kind: Kind::Text,
    default: Default::Value(""),
    about: "Template of the event's key; empty: none.",
};
pub(crate) static GENERATE_SECTION: Section = Section {
    name: "generate",
    about: "Sample events at an interval, for demonstrations and load.",
    keys: &[&INTERVAL, &PER_TICK, &COUNT, &SAMPLE, &SAMPLES, &SAMPLE_KEY],
    foreign: &[],
};

pub(crate) static CRON: Key = Key {
    name: "cron",
    kind: Kind::Text,
    default: Default::Required,
    about: "Minute, hour, day of the month, month and day of the week, in UTC; a sixth field in front is seconds.",
};
pub(crate) static SCHEDULED: Key =
    Key { name: "event", kind: Kind::Json, default: Default::Value("{}"), about: "The event's data." };
pub(crate) static SCHEDULE_SECTION: Section = Section {
    name: "schedule",
    about: "An event at the times of a cron expression.",
    keys: &[&CRON, &SCHEDULED],
    foreign: &[("schedule", "write cron = \"0 * * * *\""), ("expression", "write cron = \"0 * * * *\"")],
};

/// `[source.NAME]`.
pub(crate) static FAMILY: Family = Family {
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
