//! `[source.NAME]`, each by itself. Conflicts of sources with outputs, tables and routes are in `conflict`.

use super::declared::{Declared, check_name};
use super::{PathResolver, aws_resource, kafka, listener};
use crate::codes::Code;
use crate::plan::{DynamodbStreamName, ServiceLocation, ShardCoordination, Source, Start};
use crate::report::{Finding, Findings, lower_case};
use crate::shape::source::aws as aws_shape;
use crate::shape::{KeySpec, root, source as shape};
use crate::syntax::section_reader::SectionReader;
use crate::syntax::toml_tree::{TomlNode, TomlValue, json};
use croner::Cron;
use esclusa_flow::event_template::{EventTemplatePart, parts};
use serde_json::Value as Json;
use std::ops::Range;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A schedule must have a time after this one: 2026-01-01 in milliseconds since the Unix epoch. Not the time of the
/// check, so that a file is valid on every day or on none.
const NOT_BEFORE: i64 = 1_767_225_600_000;

/// Extensions of compressed files.
const COMPRESSED: [&str; 8] = ["gz", "tgz", "zst", "zstd", "bz2", "xz", "lz4", "zip"];

/// Reads every source.
pub(super) fn sources(root: &SectionReader<'_>, paths: &PathResolver<'_>, home: &ServiceLocation) -> Declared<Source> {
    let fallback = || Source::File { path: Default::default(), follow: false };
    Declared::read(root, &root::SOURCE, &shape::FAMILY, |name, reader| source(name, reader, paths, home), fallback)
}

fn source(name: &str, reader: &SectionReader<'_>, paths: &PathResolver<'_>, home: &ServiceLocation) -> Source {
    match reader.section.name {
        "stream" => Source::Stream {
            stream: engine_name(name, reader, &shape::STREAM),
            partitions: partitions(reader),
            retention: reader.duration(&shape::RETENTION),
            start: start(reader),
        },
        "queue" => Source::Queue {
            queue: engine_name(name, reader, &shape::QUEUE),
            visibility_timeout: reader.duration(&shape::VISIBILITY_TIMEOUT),
            max_receive_count: reader.integer(&shape::MAX_RECEIVE_COUNT),
        },
        "table-changes" => Source::TableChanges {
            table: reader.text_or_default(&shape::CHANGED_TABLE),
            start: start_without_time(reader),
        },
        "http" => http(reader),
        "generate" => generate(reader),
        "schedule" => schedule(reader),
        "kinesis" => kinesis(name, reader, home),
        "dynamodb-stream" => dynamodb_stream(name, reader, home),
        "sqs" => sqs(name, reader, home),
        "kafka" => kafka::source(name, reader, paths, start(reader)),
        _ => file(reader, paths),
    }
}

fn file(reader: &SectionReader<'_>, paths: &PathResolver<'_>) -> Source {
    let path = paths.read(reader, &shape::PATH);
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if COMPRESSED.iter().any(|known| known.eq_ignore_ascii_case(extension)) {
        let message = "this file is compressed, and a source reads lines of text";
        let finding = Finding::error(Code::SOURCE_COMPRESSED, reader.value_span(&shape::PATH), message);
        reader.findings.add(finding.help("decompress it first, or send its lines: `zcat FILE | esclusa send STREAM`"));
    }
    Source::File { path, follow: reader.boolean(&shape::FOLLOW) }
}

/// The name of a stream or queue of the embedded engine; by default the name of its section.
pub(super) fn engine_name(section: &str, reader: &SectionReader<'_>, key: &KeySpec) -> String {
    let Some(given) = reader.text(key) else { return section.to_owned() };
    check_name(reader.findings, key.name, &given, &reader.value_span(key));
    given
}

/// The partitions of a stream as this section gives them; `conflict` compares them with those of other sections.
pub(super) fn partitions(reader: &SectionReader<'_>) -> u32 {
    let given = reader.given_integer(&shape::PARTITIONS);
    given.and_then(|number| u32::try_from(number).ok()).unwrap_or(shape::PARTITIONS_DEFAULT)
}

fn http(reader: &SectionReader<'_>) -> Source {
    let reply = reader.boolean(&shape::REPLY);
    // A request that waits for its reply is stored nowhere; one that is stored waits for no reply.
    let idle = if reply { &shape::HTTP_PARTITIONS } else { &shape::TIMEOUT };
    if let Some(entry) = reader.entry(idle) {
        let message = format!("`{}` has no effect with reply = {reply}", idle.name);
        reader.findings.add(Finding::warning(Code::NO_EFFECT, entry.key_span.clone(), message));
    }
    Source::Http {
        on: listener::of_source(reader).map(Box::new),
        reply,
        max_body: reader.size(&shape::MAX_BODY),
        timeout: reader.duration(&shape::TIMEOUT),
        partitions: reader.integer(&shape::HTTP_PARTITIONS),
    }
}

fn generate(reader: &SectionReader<'_>) -> Source {
    let templates =
        [&shape::SAMPLE, &shape::SAMPLES, &shape::SAMPLE_KEY].into_iter().filter_map(|key| reader.node(key));
    templates.for_each(|node| check_template(reader.findings, node));
    Source::Generate {
        interval: reader.duration(&shape::INTERVAL),
        per_tick: reader.integer(&shape::PER_TICK),
        count: reader.given_integer(&shape::COUNT).and_then(|count| u64::try_from(count).ok()),
        events: samples(reader),
        key: reader.text_or_default(&shape::SAMPLE_KEY),
    }
}

fn samples(reader: &SectionReader<'_>) -> Vec<Json> {
    let one = reader.node(&shape::SAMPLE);
    let several = reader.list(&shape::SAMPLES);
    let problem = match (one, reader.entry(&shape::SAMPLES), several) {
        (Some(event), None, _) => return vec![json(event)],
        (None, Some(_), Some(events)) if !events.is_empty() => return events.iter().map(json).collect(),
        (None, Some(entry), Some(_)) => Finding::error(Code::BAD_VALUE, entry.node.span.clone(), "`events` is empty"),
        (None, Some(_), None) => return Vec::new(),
        (Some(_), Some(entry), _) => {
            let message = "`event` and `events` exclude each other";
            Finding::error(Code::BAD_VALUE, entry.key_span.clone(), message)
                .related(reader.key_span(&shape::SAMPLE), "here")
        }
        (None, None, _) => Finding::error(Code::MISSING_KEY, reader.span.clone(), "there is nothing to generate"),
    };
    reader.findings.add(problem.help("add event = { … }, or events = [{ … }, { … }]"));
    Vec::new()
}

fn schedule(reader: &SectionReader<'_>) -> Source {
    let cron = reader.text_or_default(&shape::CRON);
    if let (Some(_), Some(problem)) = (reader.text(&shape::CRON), bad_cron(&cron)) {
        let finding = Finding::error(Code::SOURCE_BAD_CRON, reader.value_span(&shape::CRON), problem);
        reader
            .findings
            .add(finding.help("minute, hour, day of the month, month, day of the week: \"0 8 * * MON-FRI\""));
    }
    let event = reader.node(&shape::SCHEDULED).map_or_else(|| Json::Object(serde_json::Map::new()), json);
    Source::Schedule { cron, event }
}

/// The problem of a cron expression, if it has one.
fn bad_cron(expression: &str) -> Option<String> {
    let cron = match Cron::from_str(expression) {
        Ok(cron) => cron,
        Err(error) => return Some(format!("this cron expression cannot be read: {}", lower_case(&error.to_string()))),
    };
    let since = chrono::DateTime::from_timestamp_millis(NOT_BEFORE)?;
    cron.find_next_occurrence(&since, false).err().map(|_| "this schedule has no time to come".to_owned())
}

/// `starting_position` of a source whose events cannot be found by time.
fn start_without_time(reader: &SectionReader<'_>) -> Start {
    if reader.choice(&shape::CHANGES_POSITION) == "LATEST" { Start::Latest } else { Start::TrimHorizon }
}

/// `starting_position` of a stream, with its timestamp.
fn start(reader: &SectionReader<'_>) -> Start {
    let word = reader.choice(&shape::STARTING_POSITION);
    let time = reader.timestamp(&shape::STARTING_POSITION_TIMESTAMP);
    let given = reader.entry(&shape::STARTING_POSITION_TIMESTAMP);
    match (word, given) {
        ("AT_TIMESTAMP", Some(_)) => {
            let time = time.unwrap_or_default();
            if UNIX_EPOCH + Duration::from_millis(time) > SystemTime::now() {
                let place = reader.value_span(&shape::STARTING_POSITION_TIMESTAMP);
                let finding = Finding::error(Code::BAD_VALUE, place, "this time is in the future");
                reader
                    .findings
                    .add(finding.help("events of the past are read from a time on; LATEST waits for new ones"));
            }
            return Start::AtTimestamp(time);
        }
        ("AT_TIMESTAMP", None) => {
            let finding = Finding::error(
                Code::MISSING_KEY,
                reader.value_span(&shape::STARTING_POSITION),
                "AT_TIMESTAMP needs a time",
            );
            reader.findings.add(finding.help("add starting_position_timestamp = \"2026-01-31T12:00:00Z\""));
        }
        (_, Some(entry)) => {
            let message = "this has no effect without starting_position = \"AT_TIMESTAMP\"";
            reader.findings.add(Finding::warning(Code::NO_EFFECT, entry.key_span.clone(), message));
        }
        (_, None) => {}
    }
    if word == "LATEST" { Start::Latest } else { Start::TrimHorizon }
}

/// A Kinesis data stream.
fn kinesis(name: &str, reader: &SectionReader<'_>, home: &ServiceLocation) -> Source {
    let stream = aws_resource::name(reader, &aws_shape::STREAM, &aws_resource::STREAM, name);
    let consumer = reader
        .entry(&aws_shape::CONSUMER)
        .map(|_| aws_resource::name(reader, &aws_shape::CONSUMER, &aws_resource::CONSUMER, ""));
    let place = aws_resource::location(reader, &stream, home);
    let (start, ordered, coordination) = (start(reader), ordered(reader), coordination(reader));
    Source::Kinesis { stream, start, consumer, ordered, coordination, place }
}

/// The stream of a table.
fn dynamodb_stream(name: &str, reader: &SectionReader<'_>, home: &ServiceLocation) -> Source {
    let start = start_without_time(reader);
    let (ordered, coordination) = (ordered(reader), coordination(reader));
    let Some(entry) = reader.entry(&aws_shape::STREAM_ARN) else {
        let table = aws_resource::name(reader, &aws_shape::STREAM_OF, &aws_resource::TABLE, name);
        let place = aws_resource::location(reader, "", home);
        return Source::DynamodbStream { of: DynamodbStreamName::Table(table), start, ordered, coordination, place };
    };
    if reader.entry(&aws_shape::STREAM_OF).is_some() {
        let finding =
            Finding::error(Code::BAD_VALUE, entry.key_span.clone(), "`table` and `stream_arn` exclude each other");
        reader.findings.add(
            finding
                .related(reader.key_span(&aws_shape::STREAM_OF), "here")
                .help("keep table: its current stream is found by itself"),
        );
    }
    let arn = aws_resource::name(reader, &aws_shape::STREAM_ARN, &aws_resource::TABLE_STREAM, "");
    let place = aws_resource::location(reader, &arn, home);
    Source::DynamodbStream { of: DynamodbStreamName::Arn(arn), start, ordered, coordination, place }
}

/// A queue.
fn sqs(name: &str, reader: &SectionReader<'_>, home: &ServiceLocation) -> Source {
    let receives = reader.given_integer(&aws_shape::MAX_RECEIVE_COUNT);
    Source::Sqs {
        queue: aws_resource::queue(reader, &aws_shape::QUEUE, name),
        visibility_timeout: reader.endless_duration(&aws_shape::VISIBILITY_TIMEOUT),
        max_receive_count: receives.and_then(|receives| u32::try_from(receives).ok()),
        place: aws_resource::location(reader, "", home),
    }
}

fn ordered(reader: &SectionReader<'_>) -> bool {
    reader.choice(&aws_shape::ORDERING) != "none"
}

fn coordination(reader: &SectionReader<'_>) -> ShardCoordination {
    if reader.choice(&aws_shape::COORDINATION) == "none" {
        for entry in
            [&aws_shape::LEASE_TABLE, &aws_shape::LEASE_DURATION].into_iter().filter_map(|key| reader.entry(key))
        {
            let message = format!("`{}` has no effect with coordination = \"none\"", entry.key);
            reader.findings.add(Finding::warning(Code::NO_EFFECT, entry.key_span.clone(), message));
        }
        return ShardCoordination::None;
    }
    let table = reader
        .entry(&aws_shape::LEASE_TABLE)
        .map(|_| aws_resource::name(reader, &aws_shape::LEASE_TABLE, &aws_resource::TABLE, ""));
    ShardCoordination::Leases { table, duration: reader.duration(&aws_shape::LEASE_DURATION) }
}

/// Reports every unknown placeholder in the texts of an event: it would be sent as literal text.
fn check_template(findings: &Findings, node: &TomlNode) {
    match &node.value {
        TomlValue::Text(text) => check_placeholders(findings, &text.text, &node.span),
        TomlValue::List(nodes) => nodes.iter().for_each(|node| check_template(findings, node)),
        TomlValue::Table(table) => table.entries.iter().for_each(|entry| check_template(findings, &entry.node)),
        _ => {}
    }
}

fn check_placeholders(findings: &Findings, text: &str, span: &Range<usize>) {
    let wrong = parts(text).find_map(|part| match part {
        EventTemplatePart::Unknown(text) => Some(text),
        _ => None,
    });
    if let Some(text) = wrong {
        let message = match text.ends_with('}') {
            true => format!("unknown placeholder {text}"),
            false => "a `{` without its `}`".to_owned(),
        };
        let help = "there are {seq}, {now}, {random:N} and {pick:a|b}; write {{ for a brace";
        findings.add(Finding::error(Code::BAD_VALUE, span.clone(), message).help(help));
    }
}
