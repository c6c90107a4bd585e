//! `[[route]]`. Options of Lambda's event source mappings keep their names, in snake case.

use super::{Default, KeySpec, Section, ValueKind};

pub(crate) static NAME: KeySpec = KeySpec {
    name: "name",
    kind: ValueKind::Text,
    default: Default::Required,
    about: "The route's name; no two routes have the same.",
};
pub(crate) static SOURCE: KeySpec = KeySpec {
    name: "source",
    kind: ValueKind::Text,
    default: Default::Required,
    about: "The NAME of a [source.NAME].",
};
pub(crate) static CONSUMER_GROUP_ID: KeySpec = KeySpec {
    name: "consumer_group_id",
    kind: ValueKind::Text,
    default: Default::Depends("`esclusa-ROUTE`"),
    about: "The consumer group of a route from Kafka. Processes with the same group share the partitions; two routes never have the same.",
};
pub(crate) static FILTER: KeySpec = KeySpec {
    name: "filter",
    kind: ValueKind::Patterns,
    default: Default::Depends("every event"),
    about: "An event pattern, or a list of patterns of which one must match.",
};
pub(crate) static PLUGIN: KeySpec =
    KeySpec { name: "plugin", kind: ValueKind::Path, default: Default::Required, about: "The plugin's .wasm file." };
pub(crate) static SHA256: KeySpec = KeySpec {
    name: "sha256",
    kind: ValueKind::Text,
    default: Default::Nothing,
    about: "SHA-256 digest that the plugin's file must have, 64 hexadecimal digits.",
};
pub(crate) static TABLES: KeySpec = KeySpec {
    name: "tables",
    kind: ValueKind::Names,
    default: Default::Nothing,
    about: "Tables that the plugin may read and write.",
};
pub(crate) static OBJECTS: KeySpec = KeySpec {
    name: "objects",
    kind: ValueKind::Names,
    default: Default::Nothing,
    about: "Object stores that the plugin may write to.",
};
pub(crate) static READ_OBJECTS: KeySpec = KeySpec {
    name: "read_objects",
    kind: ValueKind::Names,
    default: Default::Nothing,
    about: "Object stores that the plugin may read and list.",
};
pub(crate) static OUTPUTS: KeySpec = KeySpec {
    name: "outputs",
    kind: ValueKind::Names,
    default: Default::Nothing,
    about: "Outputs that the plugin may send to.",
};
pub(crate) static BATCH_SIZE: KeySpec = KeySpec {
    name: "batch_size",
    kind: ValueKind::Integer { min: 1, max: 10_000 },
    default: Default::Depends("100; 10 for a queue, also of SQS"),
    about: "Most events of a batch.",
};
pub(crate) static BATCH_BYTES: KeySpec = KeySpec {
    name: "batch_bytes",
    kind: ValueKind::Size { min: "1KiB", max: "1GiB" },
    default: Default::Value("6MB"),
    about: "Most bytes of a batch; a larger event is a batch alone.",
};
pub(crate) static BATCH_WINDOW: KeySpec = KeySpec {
    name: "batch_window",
    kind: ValueKind::Duration { min: "0s", max: "300s", endless: false },
    default: Default::Value("0s"),
    about: "How long the lane waits for a full batch.",
};
pub(crate) static CONCURRENCY: KeySpec = KeySpec {
    name: "concurrency",
    kind: ValueKind::Integer { min: 1, max: 1_000 },
    default: Default::Value("4"),
    about: "Most batches in work at the same time, each from another lane.",
};
pub(crate) static MAXIMUM_CONCURRENCY: KeySpec = KeySpec {
    name: "maximum_concurrency",
    kind: ValueKind::Integer { min: 2, max: 1_000 },
    default: Default::Nothing,
    about: "Lambda's word for concurrency, for sources of kind sqs.",
};
pub(crate) static PARALLELIZATION_FACTOR: KeySpec = KeySpec {
    name: "parallelization_factor",
    kind: ValueKind::Integer { min: 1, max: 10 },
    default: Default::Value("1"),
    about: "Most calls for one lane at the same time, of batch_size events each; a key is never in two of them.",
};
pub(crate) static IN_FLIGHT: KeySpec = KeySpec {
    name: "in_flight",
    kind: ValueKind::Size { min: "1KiB", max: "64GiB" },
    default: Default::Value("64MiB"),
    about: "Most bytes of events in flight; the source is not read past this. From SQS, shards in AWS and Kafka about as much again is read ahead: at least 64KiB a partition and a page a shard.",
};
pub(crate) static MAX_RETRY_ATTEMPTS: KeySpec = KeySpec {
    name: "max_retry_attempts",
    kind: ValueKind::Integer { min: -1, max: 10_000 },
    default: Default::Depends("10; for a queue (of SQS, too) its max_receive_count or redrive policy decides"),
    about: "Most retries of an event after its first failure; -1: no limit. Also of a message that an output does not take; unless it is given, 10 (see outbox.send).",
};
pub(crate) static MAX_RECORD_AGE: KeySpec = KeySpec {
    name: "max_record_age",
    kind: ValueKind::Duration { min: "1s", max: "7d", endless: true },
    default: Default::Value("-1"),
    about: "Events older than this are given up without a call; -1: never.",
};
pub(crate) static BISECT: KeySpec = KeySpec {
    name: "bisect_batch_on_function_error",
    kind: ValueKind::Boolean,
    default: Default::Value("true"),
    about: "Halve a failing batch until the failing event stands alone; this uses up no retries. (Lambda's default is false.)",
};
pub(crate) static RETRY_BACKOFF: KeySpec = KeySpec {
    name: "retry_backoff",
    kind: ValueKind::Section(&BACKOFF_SECTION),
    default: Default::Nothing,
    about: "Waits between tries, of events and of messages to outputs: exponential, with jitter.",
};
pub(crate) static BREAKER: KeySpec = KeySpec {
    name: "breaker",
    kind: ValueKind::Duration { min: "0s", max: "7d", endless: false },
    default: Default::Value("60s"),
    about: "After the plugin's calls have failed for so long, hardly any event is tried or given up until a probe succeeds; 0s: never.",
};
pub(crate) static MAX_HOPS: KeySpec = KeySpec {
    name: "max_hops",
    kind: ValueKind::Integer { min: 0, max: 65_535 },
    default: Default::Value("16"),
    about: "An event that has come by so many routes, each time as an effect of the event before, is given up; 0: never.",
};
pub(crate) static ON_FAILURE: KeySpec = KeySpec {
    name: "on_failure",
    kind: ValueKind::Text,
    default: Default::Depends("the embedded dead letters"),
    about: "An output that given-up events go to.",
};
pub(crate) static DELIVERY: KeySpec = KeySpec {
    name: "delivery",
    kind: ValueKind::Choice(&["exactly-once", "at-least-once"]),
    default: Default::Depends("exactly-once inside the embedded engine, at-least-once to everything else"),
    about: "The guarantee that the route needs. With exactly-once, targets that cannot give it are refused, and DynamoDB is written in transactions. The embedded engine gives exactly-once if the progress is in it, too; `esclusa routes` prints what holds.",
};
pub(crate) static LIMITS: KeySpec = KeySpec {
    name: "limits",
    kind: ValueKind::Section(&LIMITS_SECTION),
    default: Default::Nothing,
    about: "Limits of one call of the plugin.",
};
pub(crate) static INSTANCES: KeySpec = KeySpec {
    name: "instances",
    kind: ValueKind::Choice(&["fresh", "reuse"]),
    default: Default::Value("fresh"),
    about: "fresh: a new instance of the plugin for every batch; reuse: instances are kept between batches.",
};
pub(crate) static MAX_INVOCATIONS: KeySpec = KeySpec {
    name: "max_invocations",
    kind: ValueKind::Integer { min: 1, max: 1_000_000_000 },
    default: Default::Value("10000"),
    about: "With instances = \"reuse\": an instance is replaced after this many calls.",
};
pub(crate) static MEMORY_HIGH_WATER: KeySpec = KeySpec {
    name: "memory_high_water",
    kind: ValueKind::Size { min: "64KiB", max: "4GiB" },
    default: Default::Depends("half of limits.memory"),
    about: "With instances = \"reuse\": an instance that holds more memory than this after a call is replaced.",
};
pub(crate) static ENABLED: KeySpec = KeySpec {
    name: "enabled",
    kind: ValueKind::Boolean,
    default: Default::Value("true"),
    about: "false: the route is loaded and checked, and not started.",
};
pub(crate) static CONFIG: KeySpec = KeySpec {
    name: "config",
    kind: ValueKind::Object,
    default: Default::Value("{}"),
    about: "The plugin's configuration: the plugin gets it as JSON, and it is checked with the plugin's schema.",
};

/// `[[route]]`.
pub(crate) static SECTION: Section = Section {
    name: "route",
    about: "A route: one source, one plugin, and the rules of delivery between them.",
    keys: &[
        &NAME,
        &SOURCE,
        &CONSUMER_GROUP_ID,
        &FILTER,
        &PLUGIN,
        &SHA256,
        &TABLES,
        &OBJECTS,
        &READ_OBJECTS,
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
        &BREAKER,
        &MAX_HOPS,
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
        ("group_id", "write consumer_group_id = \"NAME\""),
        ("consumer_group", "write consumer_group_id = \"NAME\""),
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
        ("circuit_breaker", "write breaker = \"60s\""),
        ("function_arn", "write plugin = \"PATH.wasm\""),
        ("function", "write plugin = \"PATH.wasm\""),
        ("report_batch_item_failures", "leave it out: a plugin always reports each event's outcome"),
        ("bisect_on_error", "write bisect_batch_on_function_error = true"),
        ("filter_criteria", "write filter = { data = { … } }, or a list of such tables"),
        ("destination_config", "write on_failure = \"OUTPUT\""),
        ("function_name", "write plugin = \"PATH.wasm\""),
        ("event_source_arn", "write source = \"NAME\", and describe it under [source.NAME]"),
        ("function_response_types", "leave it out: a plugin always reports each event's outcome"),
        ("starting_position", "this is a key of the source"),
        ("starting_position_timestamp", "this is a key of the source"),
        ("provisioned_poller_config", "write concurrency = N"),
        ("tumbling_window_in_seconds", "this version has no windows"),
        ("memory", "write limits = { memory = \"64MiB\" }"),
        ("time", "write limits = { time = \"10s\" }"),
        ("timeout", "write limits = { time = \"10s\" }"),
    ],
};

pub(crate) static BASE: KeySpec = KeySpec {
    name: "base",
    kind: ValueKind::Duration { min: "1ms", max: "1h", endless: false },
    default: Default::Value("200ms"),
    about: "The longest first wait.",
};
pub(crate) static MAX: KeySpec = KeySpec {
    name: "max",
    kind: ValueKind::Duration { min: "1ms", max: "12h", endless: false },
    default: Default::Value("30s"),
    about: "The longest wait.",
};
pub(crate) static BACKOFF_SECTION: Section =
    Section { name: "retry_backoff", about: "Waits between tries.", keys: &[&BASE, &MAX], foreign: &[] };

pub(crate) static MEMORY: KeySpec = KeySpec {
    name: "memory",
    kind: ValueKind::Size { min: "1MiB", max: "4GiB" },
    default: Default::Value("64MiB"),
    about: "All memories and tables together.",
};
pub(crate) static TIME: KeySpec = KeySpec {
    name: "time",
    kind: ValueKind::Duration { min: "1ms", max: "15m", endless: false },
    default: Default::Value("10s"),
    about: "Time for computing and waiting.",
};
pub(crate) static EFFECTS: KeySpec = KeySpec {
    name: "effects",
    kind: ValueKind::Integer { min: 1, max: 10_000_000 },
    default: Default::Value("100000"),
    about: "Most effects that the call may return.",
};
pub(crate) static OUTPUT: KeySpec = KeySpec {
    name: "output",
    kind: ValueKind::Size { min: "1KiB", max: "1GiB" },
    default: Default::Value("32MiB"),
    about: "Most bytes that the call may return.",
};
pub(crate) static LOGS: KeySpec = KeySpec {
    name: "logs",
    kind: ValueKind::Size { min: "0B", max: "64MiB" },
    default: Default::Value("64KiB"),
    about: "Most bytes that the call may log.",
};
pub(crate) static LIMITS_SECTION: Section = Section {
    name: "limits",
    about: "Limits of one call of the plugin.",
    keys: &[&MEMORY, &TIME, &EFFECTS, &OUTPUT, &LOGS],
    foreign: &[("timeout", "write time = \"10s\"")],
};
