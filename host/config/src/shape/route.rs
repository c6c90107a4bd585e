//! `[[route]]`. Options of Lambda's event source mappings keep their names, in snake case.

use super::{Default, Key, Kind, Section};

pub(crate) static NAME: Key =
    Key { name: "name", kind: Kind::Text, default: Default::Required, about: "Its name, unique." };
pub(crate) static SOURCE: Key =
    Key { name: "source", kind: Kind::Text, default: Default::Required, about: "A [source.NAME]." };
pub(crate) static FILTER: Key = Key {
    name: "filter",
    kind: Kind::Patterns,
    default: Default::Depends("every event"),
    about: "An event pattern, or a list of them of which any is enough.",
};
pub(crate) static PLUGIN: Key =
    Key { name: "plugin", kind: Kind::Path, default: Default::Required, about: "The plugin's .wasm file." };
pub(crate) static SHA256: Key = Key {
    name: "sha256",
    kind: Kind::Text,
    default: Default::Nothing,
    about: "SHA-256 digest that the plugin's file must have, 64 hexadecimal digits.",
};
pub(crate) static TABLES: Key = Key {
    name: "tables",
    kind: Kind::Names,
    default: Default::Nothing,
    about: "Tables that the plugin may read and write.",
};
pub(crate) static OBJECTS: Key = Key {
    name: "objects",
    kind: Kind::Names,
    default: Default::Nothing,
    about: "Object stores that the plugin may write to.",
};
pub(crate) static OUTPUTS: Key = Key {
    name: "outputs",
    kind: Kind::Names,
    default: Default::Nothing,
    about: "Outputs that the plugin may send to.",
};
pub(crate) static BATCH_SIZE: Key = Key {
    name: "batch_size",
    kind: Kind::Integer { min: 1, max: 10_000 },
    default: Default::Depends("100; 10 for a queue, also of SQS"),
    about: "Most events of a batch.",
};
pub(crate) static BATCH_BYTES: Key = Key {
    name: "batch_bytes",
    kind: Kind::Size { min: "1KiB", max: "1GiB" },
    default: Default::Value("6MB"),
    about: "Most bytes of a batch; a larger event is a batch alone.",
};
pub(crate) static BATCH_WINDOW: Key = Key {
    name: "batch_window",
    kind: Kind::Duration { min: "0s", max: "300s", endless: false },
    default: Default::Value("0s"),
    about: "How long to wait for a full batch.",
};
pub(crate) static CONCURRENCY: Key = Key {
    name: "concurrency",
    kind: Kind::Integer { min: 1, max: 1_000 },
    default: Default::Value("4"),
    about: "Most batches in work at the same time, each of another lane.",
};
pub(crate) static MAXIMUM_CONCURRENCY: Key = Key {
    name: "maximum_concurrency",
    kind: Kind::Integer { min: 2, max: 1_000 },
    default: Default::Nothing,
    about: "Lambda's word for concurrency, for sources of kind sqs.",
};
pub(crate) static PARALLELIZATION_FACTOR: Key = Key {
    name: "parallelization_factor",
    kind: Kind::Integer { min: 1, max: 10 },
    default: Default::Value("1"),
    about: "Calls for one lane at the same time, of batch_size events each; a key is never in two of them.",
};
pub(crate) static IN_FLIGHT: Key = Key {
    name: "in_flight",
    kind: Kind::Size { min: "1KiB", max: "64GiB" },
    default: Default::Value("64MiB"),
    about: "Most bytes of events in flight; the source is not read past it. Shards in AWS are read ahead of it by as much again at most.",
};
pub(crate) static MAX_RETRY_ATTEMPTS: Key = Key {
    name: "max_retry_attempts",
    kind: Kind::Integer { min: -1, max: 10_000 },
    default: Default::Depends("10; for a queue, also of SQS, its max_receive_count or redrive policy decides"),
    about: "Retries of an event after its first failure; -1: without limit.",
};
pub(crate) static MAX_RECORD_AGE: Key = Key {
    name: "max_record_age",
    kind: Kind::Duration { min: "1s", max: "7d", endless: true },
    default: Default::Value("-1"),
    about: "Events older than this are given up without a call; -1: never.",
};
pub(crate) static BISECT: Key = Key {
    name: "bisect_batch_on_function_error",
    kind: Kind::Boolean,
    default: Default::Value("true"),
    about: "Split a failing batch to find the culprit; splitting uses up no retries. (Lambda's default is false.)",
};
pub(crate) static RETRY_BACKOFF: Key = Key {
    name: "retry_backoff",
    kind: Kind::Section(&BACKOFF_SECTION),
    default: Default::Nothing,
    about: "Waits between tries: exponential, with jitter.",
};
pub(crate) static ON_FAILURE: Key = Key {
    name: "on_failure",
    kind: Kind::Text,
    default: Default::Depends("the embedded dead letters"),
    about: "An output that given-up events go to.",
};
pub(crate) static DELIVERY: Key = Key {
    name: "delivery",
    kind: Kind::Choice(&["exactly-once", "at-least-once"]),
    default: Default::Depends("exactly-once inside the embedded engine, at-least-once to everything else"),
    about: "What is asked for. The embedded engine never gives less than exactly-once; asking for it rules out what cannot, and has DynamoDB write in transactions.",
};
pub(crate) static LIMITS: Key = Key {
    name: "limits",
    kind: Kind::Section(&LIMITS_SECTION),
    default: Default::Nothing,
    about: "What the plugin may use per call.",
};
pub(crate) static INSTANCES: Key = Key {
    name: "instances",
    kind: Kind::Choice(&["fresh", "reuse"]),
    default: Default::Value("fresh"),
    about: "A new instance of the plugin for every batch, or one kept between batches.",
};
pub(crate) static MAX_INVOCATIONS: Key = Key {
    name: "max_invocations",
    kind: Kind::Integer { min: 1, max: 1_000_000_000 },
    default: Default::Value("10000"),
    about: "With instances = \"reuse\": calls after which an instance is replaced.",
};
pub(crate) static MEMORY_HIGH_WATER: Key = Key {
    name: "memory_high_water",
    kind: Kind::Size { min: "64KiB", max: "4GiB" },
    default: Default::Depends("half of limits.memory"),
    about: "With instances = \"reuse\": memory after a call at which an instance is replaced.",
};
pub(crate) static ENABLED: Key = Key {
    name: "enabled",
    kind: Kind::Boolean,
    default: Default::Value("true"),
    about: "false: loaded and checked, but not started.",
};
pub(crate) static CONFIG: Key = Key {
    name: "config",
    kind: Kind::Object,
    default: Default::Value("{}"),
    about: "Handed to the plugin as JSON, and checked against its schema.",
};

/// `[[route]]`.
pub(crate) static SECTION: Section = Section {
    name: "route",
    about: "Which plugin handles the events of which source.",
    keys: &[
        &NAME,
        &SOURCE,
        &FILTER,
        &PLUGIN,
        &SHA256,
        &TABLES,
        &OBJECTS,
        &OUTPUTS,
        &BATCH_SIZE,
        &BATCH_BYTES,
        &BATCH_WINDOW,
        &CONCURRENCY,
        &MAXIMUM_CONCURRENCY,
        &PARALLELIZATION_FACTOR,
        &IN_FLIGHT,
        &MAX_RETRY_ATTEMPTS,
        &MAX_RECORD_AGE,
        &BISECT,
        &RETRY_BACKOFF,
        &ON_FAILURE,
        &DELIVERY,
        &LIMITS,
        &INSTANCES,
        &MAX_INVOCATIONS,
        &MEMORY_HIGH_WATER,
        &ENABLED,
        &CONFIG,
    ],
    foreign: &[
        ("maximum_batching_window_in_seconds", "write batch_window = \"5s\""),
        ("maximum_retry_attempts", "write max_retry_attempts = N"),
        ("maximum_record_age_in_seconds", "write max_record_age = \"60s\""),
        ("max_batching_window", "write batch_window = \"5s\""),
        ("batching_window", "write batch_window = \"5s\""),
        ("retry_attempts", "write max_retry_attempts = N"),
        ("scaling_config", "write maximum_concurrency = N"),
        ("max_concurrency", "write concurrency = N"),
        ("filters", "write filter = { data = { … } }, or a list of such tables"),
        ("event_source", "write source = \"NAME\", and describe it under [source.NAME]"),
        ("on_failure_destination", "write on_failure = \"OUTPUT\""),
        ("dead_letter_queue", "write on_failure = \"OUTPUT\""),
        ("function_arn", "write plugin = \"PATH.wasm\""),
        ("function", "write plugin = \"PATH.wasm\""),
        ("report_batch_item_failures", "leave it out: a plugin always reports each event's outcome"),
        ("bisect_on_error", "write bisect_batch_on_function_error = true"),
        ("filter_criteria", "write filter = { data = { … } }, or a list of such tables"),
        ("destination_config", "write on_failure = \"OUTPUT\""),
        ("function_name", "write plugin = \"PATH.wasm\""),
        ("event_source_arn", "write source = \"NAME\", and describe it under [source.NAME]"),
        ("function_response_types", "leave it out: a plugin always reports each event's outcome"),
        ("starting_position", "it is a key of the source"),
        ("starting_position_timestamp", "it is a key of the source"),
        ("provisioned_poller_config", "write concurrency = N"),
        ("tumbling_window_in_seconds", "windows are not in this version"),
        ("memory", "write limits = { memory = \"64MiB\" }"),
        ("time", "write limits = { time = \"10s\" }"),
        ("timeout", "write limits = { time = \"10s\" }"),
    ],
};

pub(crate) static BASE: Key = Key {
    name: "base",
    kind: Kind::Duration { min: "1ms", max: "1h", endless: false },
    default: Default::Value("200ms"),
    about: "The first wait, at most.",
};
pub(crate) static MAX: Key = Key {
    name: "max",
    kind: Kind::Duration { min: "1ms", max: "12h", endless: false },
    default: Default::Value("30s"),
    about: "No wait is longer.",
};
pub(crate) static BACKOFF_SECTION: Section =
    Section { name: "retry_backoff", about: "Waits between tries.", keys: &[&BASE, &MAX], foreign: &[] };

pub(crate) static MEMORY: Key = Key {
    name: "memory",
    kind: Kind::Size { min: "1MiB", max: "4GiB" },
    default: Default::Value("64MiB"),
    about: "All memories and tables together.",
};
pub(crate) static TIME: Key = Key {
    name: "time",
    kind: Kind::Duration { min: "1ms", max: "15m", endless: false },
    default: Default::Value("10s"),
    about: "Time, computing and waiting.",
};
pub(crate) static EFFECTS: Key = Key {
    name: "effects",
    kind: Kind::Integer { min: 1, max: 10_000_000 },
    default: Default::Value("100000"),
    about: "Effects that it may return.",
};
pub(crate) static OUTPUT: Key = Key {
    name: "output",
    kind: Kind::Size { min: "1KiB", max: "1GiB" },
    default: Default::Value("32MiB"),
    about: "Bytes that it may return.",
};
pub(crate) static LOGS: Key = Key {
    name: "logs",
    kind: Kind::Size { min: "0B", max: "64MiB" },
    default: Default::Value("64KiB"),
    about: "Bytes that it may log.",
};
pub(crate) static LIMITS_SECTION: Section = Section {
    name: "limits",
    about: "What the plugin may use per call.",
    keys: &[&MEMORY, &TIME, &EFFECTS, &OUTPUT, &LOGS],
    foreign: &[("timeout", "write time = \"10s\"")],
};
