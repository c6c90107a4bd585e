//! One `[[route]]`.

mod delivery;
mod plugin;

use super::paths::Paths;
use super::{World, filter, name};
use crate::codes::Code;
use crate::plan::{RouteSpec, Source};
use crate::report::Finding;
use crate::shape::route as shape;
use crate::syntax::reader::Reader;
use esclusa_flow::grants::Grants;

/// Events of a batch where the route does not say, as Lambda has it for streams and for queues.
const BATCH_SIZE: usize = 100;
const BATCH_SIZE_OF_QUEUE: usize = 10;

/// A route.
pub fn route(reader: &Reader<'_>, world: &World, paths: &Paths<'_>) -> RouteSpec {
    let name = reader.text_or_default(&shape::NAME);
    if reader.text(&shape::NAME).is_some() {
        name::check(reader.findings, "route", &name, &reader.place(&shape::NAME));
    }
    let source = source(reader, world);
    let grants = grants(reader, world);
    let (batch_bytes, in_flight_bytes) = bytes(reader);
    let limits = plugin::limits(reader);
    let on_failure = delivery::on_failure(reader, world, source);
    let queue = matches!(source, Some(Source::Queue { .. } | Source::Sqs { .. }));
    RouteSpec {
        filter: filter::filter(reader, source),
        plugin: paths.read(reader, &shape::PLUGIN),
        sha256: plugin::digest(reader),
        batch_size: match reader.given_integer(&shape::BATCH_SIZE).and_then(|size| usize::try_from(size).ok()) {
            Some(size) => size,
            None => {
                if queue {
                    BATCH_SIZE_OF_QUEUE
                } else {
                    BATCH_SIZE
                }
            }
        },
        parallelization_factor: parallelization_factor(reader, source),
        batch_bytes,
        batch_window: reader.duration(&shape::BATCH_WINDOW),
        concurrency: concurrency(reader, source),
        in_flight_bytes,
        policy: delivery::policy(reader, source),
        delivery: delivery::delivery(reader, world, source, &grants, on_failure.as_deref()),
        on_failure,
        // A source that is not known has been reported.
        ordered: source.is_some_and(Source::ordered),
        instances: plugin::instances(reader, limits.memory),
        limits,
        enabled: reader.boolean(&shape::ENABLED),
        config: plugin::config(reader),
        name: name.into(),
        source: reader.text_or_default(&shape::SOURCE).into(),
        grants,
    }
}

fn source<'a>(reader: &Reader<'_>, world: &'a World) -> Option<&'a Source> {
    let name = reader.text(&shape::SOURCE)?;
    let place = reader.place(&shape::SOURCE);
    world.sources.resolve(reader.findings, Code::ROUTE_UNKNOWN_SOURCE, &name, &place).map(|found| &found.value)
}

fn grants(reader: &Reader<'_>, world: &World) -> Grants {
    let (findings, mut grants) = (reader.findings, Grants::default());
    for (name, node) in reader.names(&shape::TABLES) {
        world.tables.resolve(findings, Code::ROUTE_UNKNOWN_TABLE, &name, &node.span);
        grants.tables.insert(name);
    }
    for (name, node) in reader.names(&shape::OBJECTS) {
        world.objects.resolve(findings, Code::ROUTE_UNKNOWN_OBJECTS, &name, &node.span);
        grants.objects.insert(name);
    }
    for (name, node) in reader.names(&shape::OUTPUTS) {
        world.outputs.resolve(findings, Code::ROUTE_UNKNOWN_OUTPUT, &name, &node.span);
        grants.outputs.insert(name);
    }
    grants
}

/// The bytes of a batch, and those in flight: a full batch must fit.
fn bytes(reader: &Reader<'_>) -> (usize, usize) {
    let (batch, in_flight) = (reader.size(&shape::BATCH_BYTES), reader.size(&shape::IN_FLIGHT));
    if in_flight < batch {
        let key = if reader.entry(&shape::IN_FLIGHT).is_some() { &shape::IN_FLIGHT } else { &shape::BATCH_BYTES };
        let message = "a full batch (batch_bytes) does not fit into in_flight";
        let finding = Finding::error(Code::ROUTE_LIMITS_CONFLICT, reader.place(key), message);
        reader
            .findings
            .add(finding.help("make in_flight at least batch_bytes; some multiple of it lets batches overlap"));
    }
    (batch, in_flight)
}

/// Batches in work at the same time: `concurrency`, or Lambda's word for queues of SQS.
fn concurrency(reader: &Reader<'_>, source: Option<&Source>) -> usize {
    let Some(entry) = reader.entry(&shape::MAXIMUM_CONCURRENCY) else { return reader.integer(&shape::CONCURRENCY) };
    let problem = if !matches!(source, Some(Source::Sqs { .. }) | None) {
        let message = "maximum_concurrency is an option of sources of kind sqs";
        Some(Finding::error(Code::BAD_VALUE, entry.key_span.clone(), message).help("write concurrency = N"))
    } else if reader.entry(&shape::CONCURRENCY).is_some() {
        let message = "maximum_concurrency and concurrency say the same thing";
        let finding = Finding::error(Code::ROUTE_LIMITS_CONFLICT, entry.key_span.clone(), message);
        Some(finding.related(reader.key_place(&shape::CONCURRENCY), "here, too").help("keep one of them"))
    } else {
        None
    };
    problem.into_iter().for_each(|problem| reader.findings.add(problem));
    reader.integer(&shape::MAXIMUM_CONCURRENCY)
}

fn parallelization_factor(reader: &Reader<'_>, source: Option<&Source>) -> usize {
    let key = &shape::PARALLELIZATION_FACTOR;
    let factor = reader.integer(key);
    if factor > 1 && source.is_some_and(|source| !source.ordered_by_key()) {
        let message = "a parallelization_factor above 1 is for sources that keep the order of each key";
        let finding = Finding::error(Code::BAD_VALUE, reader.place(key), message);
        let kinds =
            "these are stream, table-changes, kinesis and dynamodb-stream; leave it out, concurrency is for the others";
        reader.findings.add(finding.help(kinds));
    }
    factor
}
