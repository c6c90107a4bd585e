//! `[source.NAME]`, each by itself. What sources and outputs say of each other is in `conflict`.

mod aws;
mod template;

use super::declared::Declared;
use super::paths::Paths;
use super::{name, position};
use crate::codes::Code;
use crate::plan::{ServiceLocation, Source};
use crate::report::{Finding, lower_case};
use crate::shape::{Key, root, source as shape};
use crate::syntax::json::json;
use crate::syntax::reader::Reader;
use croner::Cron;
use serde_json::Value as Json;
use std::str::FromStr;

/// A schedule that has no time after this one is none: 2026-01-01, before this program was written. Milliseconds since
/// the Unix epoch; the clock is not asked, so that a file means the same every day.
const NOT_BEFORE: i64 = 1_767_225_600_000;

/// Every source.
pub fn all(root: &Reader<'_>, paths: &Paths<'_>, home: &ServiceLocation) -> Declared<Source> {
    let fallback = || Source::File { path: Default::default(), follow: false };
    Declared::read(root, &root::SOURCE, &shape::FAMILY, |name, reader| source(name, reader, paths, home), fallback)
}

fn source(name: &str, reader: &Reader<'_>, paths: &Paths<'_>, home: &ServiceLocation) -> Source {
    match reader.section.name {
        "stream" => Source::Stream {
            stream: engine_name(name, reader, &shape::STREAM),
            partitions: partitions(reader),
            retention: reader.duration(&shape::RETENTION),
            start: position::start(reader),
        },
        "queue" => Source::Queue {
            queue: engine_name(name, reader, &shape::QUEUE),
            visibility_timeout: reader.duration(&shape::VISIBILITY_TIMEOUT),
            max_receive_count: reader.integer(&shape::MAX_RECEIVE_COUNT),
        },
        "table-changes" => Source::TableChanges {
            table: reader.text_or_default(&shape::CHANGED_TABLE),
            start: position::without_time(reader),
        },
        "http" => http(reader),
        "generate" => generate(reader),
        "schedule" => schedule(reader),
        "kinesis" => aws::kinesis(name, reader, home),
        "dynamodb-stream" => aws::dynamodb_stream(name, reader, home),
        "sqs" => aws::sqs(name, reader, home),
        _ => Source::File { path: paths.read(reader, &shape::PATH), follow: reader.boolean(&shape::FOLLOW) },
    }
}

/// The name of a stream or queue of the engine, by default that of its section.
pub fn engine_name(section: &str, reader: &Reader<'_>, key: &Key) -> String {
    let Some(given) = reader.text(key) else { return section.to_owned() };
    name::check(reader.findings, key.name, &given, &reader.place(key));
    given
}

/// What is said here of a stream's partitions; `conflict` compares it with what others say.
pub fn partitions(reader: &Reader<'_>) -> u32 {
    let given = reader.given_integer(&shape::PARTITIONS);
    given.and_then(|number| u32::try_from(number).ok()).unwrap_or(shape::PARTITIONS_DEFAULT)
}

fn http(reader: &Reader<'_>) -> Source {
    let reply = reader.boolean(&shape::REPLY);
    let idle = if reply { &shape::HTTP_PARTITIONS } else { &shape::TIMEOUT };
    if let Some(entry) = reader.entry(idle) {
        let message = format!("`{}` has no effect with reply = {reply}", idle.name);
        reader.findings.add(Finding::warning(Code::NO_EFFECT, entry.key_span.clone(), message));
    }
    Source::Http {
        reply,
        max_body: reader.size(&shape::MAX_BODY),
        timeout: reader.duration(&shape::TIMEOUT),
        partitions: reader.integer(&shape::HTTP_PARTITIONS),
    }
}

fn generate(reader: &Reader<'_>) -> Source {
    let templates =
        [&shape::SAMPLE, &shape::SAMPLES, &shape::SAMPLE_KEY].into_iter().filter_map(|key| reader.node(key));
    templates.for_each(|node| template::check(reader.findings, node));
    Source::Generate {
        interval: reader.duration(&shape::INTERVAL),
        per_tick: reader.integer(&shape::PER_TICK),
        count: reader.given_integer(&shape::COUNT).and_then(|count| u64::try_from(count).ok()),
        events: samples(reader),
        key: reader.text_or_default(&shape::SAMPLE_KEY),
    }
}

fn samples(reader: &Reader<'_>) -> Vec<Json> {
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
                .related(reader.key_place(&shape::SAMPLE), "here")
        }
        (None, None, _) => Finding::error(Code::MISSING_KEY, reader.span.clone(), "there is nothing to generate"),
    };
    reader.findings.add(problem.help("add event = { … }, or events = [{ … }, { … }]"));
    Vec::new()
}

fn schedule(reader: &Reader<'_>) -> Source {
    let cron = reader.text_or_default(&shape::CRON);
    if let (Some(_), Some(problem)) = (reader.text(&shape::CRON), bad_cron(&cron)) {
        let finding = Finding::error(Code::SOURCE_BAD_CRON, reader.place(&shape::CRON), problem);
        reader
            .findings
            .add(finding.help("minute, hour, day of the month, month, day of the week: \"0 8 * * MON-FRI\""));
    }
    let event = reader.node(&shape::SCHEDULED).map_or_else(|| Json::Object(serde_json::Map::new()), json);
    Source::Schedule { cron, event }
}

/// What is wrong with a cron expression.
fn bad_cron(expression: &str) -> Option<String> {
    let cron = match Cron::from_str(expression) {
        Ok(cron) => cron,
        Err(error) => return Some(format!("this cron expression cannot be read: {}", lower_case(&error.to_string()))),
    };
    let since = chrono::DateTime::from_timestamp_millis(NOT_BEFORE)?;
    cron.find_next_occurrence(&since, false).err().map(|_| "this time never comes".to_owned())
}
