//! `[[route]]`: the list of routes, and each of them: grants, filter, limits and configuration of the plugin.

mod delivery;

use super::conflict::exclusive;
use super::declared::check_name;
use super::loops::RoutePlaces;
use super::{Declarations, PathResolver, kafka};
use crate::codes::Code;
use crate::nearest::nearest;
use crate::plan::{Instances, Limits, RouteSpec, Source};
use crate::report::Finding;
use crate::shape::{root, route as shape};
use crate::syntax::scalar;
use crate::syntax::section_reader::SectionReader;
use crate::syntax::toml_tree::{TomlNode, TomlTable, TomlValue, json, values};
use esclusa_flow::filter::Filter;
use esclusa_flow::grants::Grants;
use esclusa_flow::secrets::Secrets;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Events of a batch if the route gives no `batch_size`: the defaults of Lambda for streams and for queues.
const BATCH_SIZE: usize = 100;
const BATCH_SIZE_OF_QUEUE: usize = 10;

/// Every route, in the order of the file, with its places in the text.
pub(super) fn routes(
    root: &SectionReader<'_>,
    world: &Declarations,
    paths: &PathResolver<'_>,
) -> (Vec<RouteSpec>, Vec<RoutePlaces>) {
    let none = || (Vec::new(), Vec::new());
    let Some(entry) = root.entry(&root::ROUTE) else { return none() };
    let list = match &entry.node.value {
        TomlValue::List(list) => list,
        TomlValue::Broken => return none(),
        _ => {
            let finding = Finding::error(Code::WRONG_TYPE, entry.key_span.clone(), "routes are a list");
            root.findings.add(finding.help("write [[route]] with two brackets"));
            return none();
        }
    };
    let mut seen = BTreeMap::new();
    let (mut routes, mut places) = (Vec::new(), Vec::new());
    for node in list {
        let Some(table) = node.table() else {
            let finding = Finding::error(Code::WRONG_TYPE, node.span.clone(), "a route is a table");
            root.findings.add(finding.help("write [[route]]"));
            continue;
        };
        let reader = SectionReader::open(root.findings, &shape::SECTION, node.span.clone(), table, &[]);
        let route = route(&reader, world, paths);
        // Routes without a name are reported by their missing key.
        let place = reader.value_span(&shape::NAME);
        if let Some(first) = seen.insert(route.name.clone(), place.clone()).filter(|_| !route.name.is_empty()) {
            let message = format!("there are two routes \"{}\"", route.name);
            let finding = Finding::error(Code::ROUTE_DUPLICATE, place, message).related(first, "the other one");
            root.findings.add(finding.help("a route's name keeps its place in the source; give each its own"));
        }
        places.push(route_places(&reader));
        routes.push(route);
    }
    // After all routes: each is compared with every other.
    let sources: Vec<_> = places.iter().map(|places| places.source.clone()).collect();
    exclusive(world, &routes, &sources, &world.home, root.findings);
    (routes, places)
}

fn route_places(reader: &SectionReader<'_>) -> RoutePlaces {
    let names = |key| reader.names(key).into_iter().map(|(name, node)| (name, node.span.clone())).collect::<Vec<_>>();
    let on_failure = reader.text(&shape::ON_FAILURE).map(|name| (name, reader.value_span(&shape::ON_FAILURE)));
    RoutePlaces {
        source: reader.value_span(&shape::SOURCE),
        tables: names(&shape::TABLES),
        objects: names(&shape::OBJECTS),
        outputs: names(&shape::OUTPUTS).into_iter().chain(on_failure).collect(),
    }
}

/// A route.
fn route(reader: &SectionReader<'_>, world: &Declarations, paths: &PathResolver<'_>) -> RouteSpec {
    let name = reader.text_or_default(&shape::NAME);
    if reader.text(&shape::NAME).is_some() {
        check_name(reader.findings, "route", &name, &reader.value_span(&shape::NAME));
    }
    let source = source(reader, world);
    let source_name = reader.text_or_default(&shape::SOURCE);
    let grants = grants(reader, world);
    let (batch_bytes, in_flight_bytes) = bytes(reader);
    let limits = limits(reader);
    let on_failure = delivery::on_failure(reader, world, source.map(|source| (&*source_name, source)));
    let queue = matches!(source, Some(Source::Queue { .. } | Source::Sqs { .. }));
    let retries = reader.given_integer(&shape::MAX_RETRY_ATTEMPTS);
    RouteSpec {
        filter: filter(reader, source),
        plugin: paths.read(reader, &shape::PLUGIN),
        sha256: digest(reader),
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
        policy: delivery::policy(reader, source, retries),
        message_retries: delivery::message_retries(retries),
        breaker: reader.duration(&shape::BREAKER),
        max_hops: reader.integer(&shape::MAX_HOPS),
        delivery: delivery::delivery(reader, world, source, &grants, on_failure.as_deref()),
        on_failure,
        // An unknown source has been reported, so its order does not matter.
        ordered: source.is_some_and(Source::ordered),
        instances: instances(reader, limits.memory),
        limits,
        enabled: reader.boolean(&shape::ENABLED),
        config: config(reader),
        secrets: Secrets::new(reader.node(&shape::CONFIG).map(values).unwrap_or_default()),
        consumer_group: consumer_group(reader, source, &name),
        name: name.into(),
        source: source_name.into(),
        grants,
    }
}

fn source<'a>(reader: &SectionReader<'_>, world: &'a Declarations) -> Option<&'a Source> {
    let name = reader.text(&shape::SOURCE)?;
    let place = reader.value_span(&shape::SOURCE);
    world.sources.resolve(reader.findings, Code::ROUTE_UNKNOWN_SOURCE, &name, &place).map(|found| &found.value)
}

/// The consumer group of a route from Kafka: `consumer_group_id`, else one by the route's name.
fn consumer_group(reader: &SectionReader<'_>, source: Option<&Source>, route: &str) -> Option<String> {
    let key = &shape::CONSUMER_GROUP_ID;
    let given = reader.text(key);
    match (source, reader.entry(key)) {
        (Some(Source::Kafka { .. }), None) => return Some(format!("esclusa-{route}")),
        (Some(Source::Kafka { .. }), Some(_)) => {
            given.iter().for_each(|given| kafka::check_group(reader, given, key));
        }
        (Some(other), Some(entry)) => {
            let message =
                format!("consumer_group_id is an option of sources of kind kafka, and this is {}", other.kind());
            let finding = Finding::error(Code::BAD_VALUE, entry.key_span.clone(), message);
            reader.findings.add(finding.help("leave it out"));
        }
        // An undeclared source has been reported.
        (None, _) | (Some(_), None) => {}
    }
    given
}

fn grants(reader: &SectionReader<'_>, world: &Declarations) -> Grants {
    let (findings, mut grants) = (reader.findings, Grants::default());
    for (name, node) in reader.names(&shape::TABLES) {
        world.tables.resolve(findings, Code::ROUTE_UNKNOWN_TABLE, &name, &node.span);
        // Undeclared names are reported, and granted all the same: after an error the plan is thrown away.
        grants.tables.insert(name);
    }
    for (name, node) in reader.names(&shape::OBJECTS) {
        world.objects.resolve(findings, Code::ROUTE_UNKNOWN_OBJECTS, &name, &node.span);
        grants.objects.insert(name);
    }
    for (name, node) in reader.names(&shape::READ_OBJECTS) {
        world.objects.resolve(findings, Code::ROUTE_UNKNOWN_OBJECTS, &name, &node.span);
        grants.read_objects.insert(name);
    }
    for (name, node) in reader.names(&shape::OUTPUTS) {
        world.outputs.resolve(findings, Code::ROUTE_UNKNOWN_OUTPUT, &name, &node.span);
        grants.outputs.insert(name);
    }
    grants
}

/// `batch_bytes` and `in_flight`; reports an `in_flight` that a full batch does not fit into.
fn bytes(reader: &SectionReader<'_>) -> (usize, usize) {
    let (batch, in_flight) = (reader.size(&shape::BATCH_BYTES), reader.size(&shape::IN_FLIGHT));
    if in_flight < batch {
        let key = if reader.entry(&shape::IN_FLIGHT).is_some() { &shape::IN_FLIGHT } else { &shape::BATCH_BYTES };
        let message = "a full batch (batch_bytes) does not fit into in_flight";
        let finding = Finding::error(Code::ROUTE_LIMITS_CONFLICT, reader.value_span(key), message);
        reader
            .findings
            .add(finding.help("make in_flight at least batch_bytes; some multiple of it lets batches overlap"));
    }
    (batch, in_flight)
}

/// Batches in work at the same time: `concurrency`, or `maximum_concurrency`, Lambda's name for it at queues of SQS.
fn concurrency(reader: &SectionReader<'_>, source: Option<&Source>) -> usize {
    let Some(entry) = reader.entry(&shape::MAXIMUM_CONCURRENCY) else { return reader.integer(&shape::CONCURRENCY) };
    // The source may be undeclared, which is reported; then the key may well be right.
    let problem = if !matches!(source, Some(Source::Sqs { .. }) | None) {
        let message = "maximum_concurrency is an option of sources of kind sqs";
        Some(Finding::error(Code::BAD_VALUE, entry.key_span.clone(), message).help("write concurrency = N"))
    } else if reader.entry(&shape::CONCURRENCY).is_some() {
        let message = "maximum_concurrency and concurrency say the same thing";
        let finding = Finding::error(Code::ROUTE_LIMITS_CONFLICT, entry.key_span.clone(), message);
        Some(finding.related(reader.key_span(&shape::CONCURRENCY), "here, too").help("keep one of them"))
    } else {
        None
    };
    problem.into_iter().for_each(|problem| reader.findings.add(problem));
    reader.integer(&shape::MAXIMUM_CONCURRENCY)
}

fn parallelization_factor(reader: &SectionReader<'_>, source: Option<&Source>) -> usize {
    let key = &shape::PARALLELIZATION_FACTOR;
    let factor = reader.integer(key);
    if factor > 1 && source.is_some_and(|source| !source.ordered_by_key()) {
        let message = "a parallelization_factor above 1 is for sources that keep the order of each key";
        let finding = Finding::error(Code::BAD_VALUE, reader.value_span(key), message);
        let kinds = "these are stream, table-changes, kinesis, dynamodb-stream and kafka; leave it out, concurrency is for the others";
        reader.findings.add(finding.help(kinds));
    }
    factor
}

/// The compiled filter of a route, if it has one. Warns of a field that no event of `source` has.
fn filter(reader: &SectionReader<'_>, source: Option<&Source>) -> Option<Filter> {
    let node = reader.node(&shape::FILTER)?;
    let patterns: Vec<&TomlNode> = match &node.value {
        TomlValue::List(list) => list.iter().collect(),
        TomlValue::Table(_) | TomlValue::Text(_) => vec![node],
        TomlValue::Broken => return None,
        _ => {
            let help = "write filter = { data = { FIELD = [\"VALUE\"] } }, or a list of such tables";
            reader.findings.add(scalar::wrong_type(&shape::FILTER, node, "a pattern", help));
            return None;
        }
    };
    let values: Vec<_> = patterns.iter().map(|node| json(node)).collect();
    let error = match Filter::compile(&values) {
        Ok(filter) => {
            if let Some(source) = source {
                unknown_field(reader, &filter, source.kind(), &patterns);
            }
            return Some(filter);
        }
        Err(error) => error,
    };
    // The place of the mistake inside the pattern; of the pattern; or of the key, if the only pattern is a table
    // without a place of its own.
    let place = match patterns.get(error.pattern) {
        Some(pattern) if !error.pointer.is_empty() => pattern.at_pointer(&error.pointer),
        _ if node.table().is_some() => reader.key_span(&shape::FILTER),
        Some(pattern) => pattern.span.clone(),
        None => node.span.clone(),
    };
    let message = format!("this filter is not valid: {}", error.message);
    let name = error.pointer.rsplit('/').next().filter(|_| error.message.starts_with("there is no operator"));
    let close = name.and_then(|name| nearest(name, Filter::OPERATORS));
    let help = close.map(|close| format!("did you mean \"{close}\"?"));
    reader.findings.add(Finding::error(Code::ROUTE_BAD_FILTER, place, message).help_maybe(help));
    None
}

fn unknown_field(reader: &SectionReader<'_>, filter: &Filter, kind: &str, patterns: &[&TomlNode]) {
    let Some((pattern, field)) = filter.unknown_field(kind) else { return };
    let entry = patterns.get(pattern).and_then(|node| node.table()).and_then(|table| table.entry(field));
    let place = entry.map_or_else(|| reader.key_span(&shape::FILTER), |entry| entry.key_span.clone());
    let message = format!("no event from a source of kind {kind} has a field \"{field}\" at the top");
    let help = format!("a field of the payload lies in data: write {{ data = {{ {field} = … }} }}");
    reader.findings.add(Finding::warning(Code::ROUTE_UNKNOWN_FIELD, place, message).help(help));
}

/// The digest that the plugin's file must have.
fn digest(reader: &SectionReader<'_>) -> Option<String> {
    let digest = reader.text(&shape::SHA256)?;
    if digest.len() != 64 || !digest.chars().all(|c| c.is_ascii_hexdigit()) {
        let finding =
            Finding::error(Code::ROUTE_BAD_DIGEST, reader.value_span(&shape::SHA256), "this is not a SHA-256 digest");
        reader.findings.add(finding.help("64 hexadecimal digits, as `sha256sum` prints them"));
    }
    Some(digest.to_lowercase())
}

/// The limits of a call of the plugin.
fn limits(route: &SectionReader<'_>) -> Limits {
    let given = route.section(&shape::LIMITS, &shape::LIMITS_SECTION);
    let empty = TomlTable::default();
    let reader =
        given.unwrap_or_else(|| SectionReader::open(route.findings, &shape::LIMITS_SECTION, 0..0, &empty, &[]));
    Limits {
        memory: reader.size(&shape::MEMORY),
        time: reader.duration(&shape::TIME),
        effects: reader.integer(&shape::EFFECTS),
        output_bytes: reader.size(&shape::OUTPUT),
        log_bytes: reader.size(&shape::LOGS),
        ..Limits::default()
    }
}

/// Whether instances of the plugin are reused; a kept one is replaced at half of `memory` by default.
fn instances(reader: &SectionReader<'_>, memory: usize) -> Instances {
    let max_invocations = reader.integer(&shape::MAX_INVOCATIONS);
    let memory_high_water = reader.given_size(&shape::MEMORY_HIGH_WATER).unwrap_or(memory / 2);
    if reader.choice(&shape::INSTANCES) == "reuse" {
        if memory_high_water > memory {
            let message = "memory_high_water is above limits.memory, so it is never reached";
            let finding =
                Finding::error(Code::ROUTE_LIMITS_CONFLICT, reader.value_span(&shape::MEMORY_HIGH_WATER), message);
            reader.findings.add(finding.help("make it less than limits.memory; by default it is half of it"));
        }
        return Instances::Reuse { max_invocations, memory_high_water };
    }
    for entry in [&shape::MAX_INVOCATIONS, &shape::MEMORY_HIGH_WATER].into_iter().filter_map(|key| reader.entry(key)) {
        let message = format!("`{}` has no effect without instances = \"reuse\"", entry.key);
        reader.findings.add(Finding::warning(Code::NO_EFFECT, entry.key_span.clone(), message));
    }
    Instances::Fresh
}

/// The `config` that is given to the plugin; an empty object by default.
fn config(reader: &SectionReader<'_>) -> Json {
    let empty = || Json::Object(serde_json::Map::new());
    match reader.table(&shape::CONFIG, "write [route.config]") {
        Some(_) => reader.node(&shape::CONFIG).map_or_else(empty, json),
        None => empty(),
    }
}
