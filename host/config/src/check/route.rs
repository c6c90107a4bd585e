//! One `[[route]]`.

mod delivery;
mod plugin;

use super::paths::Paths;
use super::{World, filter, name};
use crate::codes::Code;
use crate::plan::{Route, Source};
use crate::report::Finding;
use crate::shape::route as shape;
use crate::syntax::reader::Reader;
use esclusa_flow::grants::Grants;

/// Events of a batch where the route does not say, as Lambda has it for streams and for queues.
const BATCH_SIZE: usize = 100;
const BATCH_SIZE_OF_QUEUE: usize = 10;

/// A route.
pub fn route(reader: &Reader<'_>, world: &World, paths: &Paths<'_>) -> Route {
    let name = reader.text_or_default(&shape::NAME);
    if reader.text(&shape::NAME).is_some() {
        name::check(reader.findings, "route", &name, &reader.place(&shape::NAME));
    }
    let source = source(reader, world);
    let queue =
        if let Some(Source::Queue { max_receive_count, .. }) = source { Some(*max_receive_count) } else { None };
    let grants = grants(reader, world);
    let (batch_bytes, in_flight_bytes) = bytes(reader);
    parallelization_factor(reader);
    let limits = plugin::limits(reader);
    Route {
        filter: filter::filter(reader),
        plugin: paths.read(reader, &shape::PLUGIN),
        sha256: plugin::digest(reader),
        batch_size: match reader.given_integer(&shape::BATCH_SIZE).and_then(|size| usize::try_from(size).ok()) {
            Some(size) => size,
            None => {
                if queue.is_some() {
                    BATCH_SIZE_OF_QUEUE
                } else {
                    BATCH_SIZE
                }
            }
        },
        batch_bytes,
        batch_window: reader.duration(&shape::BATCH_WINDOW),
        concurrency: reader.integer(&shape::CONCURRENCY),
        in_flight_bytes,
        policy: delivery::policy(reader, queue),
        on_failure: delivery::on_failure(reader, world, &grants),
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

fn parallelization_factor(reader: &Reader<'_>) {
    let key = &shape::PARALLELIZATION_FACTOR;
    if reader.integer::<i64>(key) > 1 {
        let message = "a parallelization_factor above 1 is not in this version";
        let finding = Finding::error(Code::UNAVAILABLE, reader.place(key), message);
        reader.findings.add(finding.help("leave it out; more partitions of the source give more lanes"));
    }
}
