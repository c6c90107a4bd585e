//! Conflicts between declarations: two sections that name one stream or queue, a file that is read and written, a resource
//! that only one route can use (a lease table, a consumer of enhanced fan-out, requests that wait for a reply) or only one
//! source: a queue of SQS, whose messages the routes of that source share.

use super::declared::Declaration;
use super::{ComparedPath, Declarations};
use crate::codes::Code;
use crate::plan::{AdminListener, Objects, Output, RouteSpec, ServiceLocation, Source, TableSpec};
use crate::report::{Finding, Findings};
use crate::syntax::toml_tree::TomlNode;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

/// The settings of a stream that a section gave, with their places.
#[derive(Default)]
struct StreamSettings {
    partitions: Option<(u32, Range<usize>)>,
    retention: Option<(Duration, Range<usize>)>,
}

/// Reports sources and outputs that name one stream with different settings. A section that leaves a setting out takes
/// it from the others.
pub(super) fn streams(world: &mut Declarations, findings: &Findings) {
    let mut streams: BTreeMap<String, StreamSettings> = BTreeMap::new();
    for (_, declaration) in world.sources.iter() {
        if let Source::Stream { stream, partitions, retention, .. } = &declaration.value {
            let said = streams.entry(stream.clone()).or_default();
            agree(findings, stream, "partitions", &declaration.node, *partitions, &mut said.partitions);
            agree(findings, stream, "retention", &declaration.node, *retention, &mut said.retention);
        }
    }
    for (_, declaration) in world.outputs.iter() {
        if let Output::Stream { stream, partitions } = &declaration.value {
            let said = streams.entry(stream.clone()).or_default();
            agree(findings, stream, "partitions", &declaration.node, *partitions, &mut said.partitions);
        }
    }
    // All are compared before any is filled in: a section may stand before the one that gives the setting.
    for (_, declaration) in world.sources.iter_mut() {
        if let Source::Stream { stream, partitions, retention, .. } = &mut declaration.value {
            let said = streams.get(stream);
            *partitions = said.and_then(|said| said.partitions.as_ref()).map_or(*partitions, |(said, _)| *said);
            *retention = said.and_then(|said| said.retention.as_ref()).map_or(*retention, |(said, _)| *said);
        }
    }
    for (_, declaration) in world.outputs.iter_mut() {
        if let Output::Stream { stream, partitions } = &mut declaration.value {
            let said = streams.get(stream);
            *partitions = said.and_then(|said| said.partitions.as_ref()).map_or(*partitions, |(said, _)| *said);
        }
    }
}

/// Compares a section's setting of a stream with the first one that was given, or remembers it as the first.
fn agree<T: PartialEq>(
    findings: &Findings,
    stream: &str,
    key: &str,
    node: &TomlNode,
    value: T,
    said: &mut Option<(T, Range<usize>)>,
) {
    let Some(entry) = node.table().and_then(|table| table.entry(key)) else { return };
    match said {
        Some((other, place)) if *other != value => {
            let message = format!("another section sets {key} of the stream \"{stream}\" to another value");
            let finding = Finding::error(Code::SOURCE_STREAM_CONFLICT, entry.node.span.clone(), message);
            findings
                .add(finding.related(place.clone(), "here").help(format!("give {key} once, or the same everywhere")));
        }
        Some(_) => {}
        None => *said = Some((value, entry.node.span.clone())),
    }
}

/// Reports sources that consume one queue: an error if their settings differ, else a warning.
pub(super) fn queues(world: &Declarations, findings: &Findings) {
    let mut queues = BTreeMap::new();
    for (name, declaration) in world.sources.iter() {
        let Source::Queue { queue, .. } = &declaration.value else { continue };
        let Some((first, other)) = queues.insert(queue, (name, declaration)) else { continue };
        let finding = if other.value == declaration.value {
            let message = format!("\"{first}\" and \"{name}\" compete for the messages of queue \"{queue}\"");
            Finding::warning(Code::SOURCE_QUEUE_SHARED, declaration.span.clone(), message)
                .help("each message goes to one of them; for both, give two routes the same source")
        } else {
            let message = format!("\"{first}\" and \"{name}\" have different settings for queue \"{queue}\"");
            Finding::error(Code::SOURCE_QUEUE_CONFLICT, declaration.span.clone(), message)
                .help("give both the same visibility_timeout and max_receive_count, or use one source")
        };
        findings.add(finding.related(other.span.clone(), "the other one"));
    }
}

/// Reports files that a source reads and an output writes: the router would read its own messages for ever.
pub(super) fn files(world: &Declarations, findings: &Findings) {
    let outputs = world.outputs.iter().filter_map(|(_, declaration)| match &declaration.value {
        Output::File { path } => Some((ComparedPath::new(path), declaration.node.value_span("path"))),
        _ => None,
    });
    let (mut written, mut resolved) = (BTreeMap::new(), BTreeMap::new());
    for (path, place) in outputs {
        written.insert(path.written, place.clone());
        resolved.insert(path.resolved, place);
    }
    for (_, declaration) in world.sources.iter() {
        let Source::File { path, .. } = &declaration.value else { continue };
        let path = ComparedPath::new(path);
        if let Some(place) = written.get(&path.written).or_else(|| resolved.get(&path.resolved)) {
            let message = "this file is read here and written by an output";
            let finding = Finding::error(Code::SOURCE_FILE_LOOP, declaration.node.value_span("path"), message);
            findings.add(finding.related(place.clone(), "written here").help("use a stream between the two"));
        }
    }
}

/// Reports directories of objects that contain the engine's files or this configuration: plugins choose the paths of
/// objects, and could write over them.
pub(super) fn objects(world: &Declarations, engine: &Path, base: &Path, findings: &Findings) {
    // Only these two: other directories inside the engine's, such as data/lake, are permitted.
    let inside = ["db", "cache"].map(|own| ComparedPath::new(&engine.join(own)));
    let held = [(engine, "the engine's directory"), (base, "the directory of this file")];
    let held = held.map(|(path, what)| (ComparedPath::new(path), what));
    for (name, declaration) in world.objects.iter() {
        let Objects::Directory { path } = &declaration.value else { continue };
        if declaration.node.table().and_then(|table| table.get("path")).is_none() {
            // The placeholder of a section that could not be read.
            continue;
        }
        let path = ComparedPath::new(path);
        let what = held.iter().find(|(other, _)| other.within(&path)).map(|(_, what)| *what);
        let what =
            what.or_else(|| inside.iter().any(|own| path.within(own)).then_some("part of the engine's directory"));
        if let Some(what) = what {
            let message = format!("plugins could overwrite {what} through \"{name}\"");
            let finding = Finding::error(Code::OBJECTS_EXPOSED, declaration.node.value_span("path"), message);
            findings.add(finding.help("give the objects a directory of their own, such as \"data/lake\""));
        }
    }
}

/// Reports sources that read the changes of a table without changes.
pub(super) fn table_changes(world: &Declarations, findings: &Findings) {
    for (_, declaration) in world.sources.iter() {
        let Source::TableChanges { table, .. } = &declaration.value else { continue };
        let Some(span) = declaration.node.table().and_then(|node| node.get("table")).map(|node| node.span.clone())
        else {
            continue;
        };
        match world.tables.resolve(findings, Code::SOURCE_UNKNOWN_TABLE, table, &span) {
            Some(found) if matches!(found.value, TableSpec::Dynamodb { .. }) => {
                let message = format!("the table \"{table}\" is in DynamoDB");
                let finding = Finding::error(Code::SOURCE_NO_CHANGES, span, message);
                let help = "write kind = \"dynamodb-stream\": it reads the stream of the table";
                findings.add(finding.related(found.span.clone(), "this table").help(help));
            }
            Some(found) if matches!(&found.value, TableSpec::Embedded(layout) if !layout.changes) => {
                let finding =
                    Finding::error(Code::SOURCE_NO_CHANGES, span, format!("the table \"{table}\" keeps no changes"));
                let help = format!("add `changes = true` to [table.{table}]");
                findings.add(finding.related(found.span.clone(), "this table").help(help));
            }
            _ => {}
        }
    }
}

/// Reports sources of kind http without a listener if `/ingest` does not serve them: there is no `[admin]`, or other
/// machines can reach it.
pub(super) fn ingest(world: &Declarations, admin: Option<&AdminListener>, findings: &Findings) {
    let without = |declaration: &Declaration<Source>| matches!(declaration.value, Source::Http { on: None, .. });
    for (name, declaration) in world.sources.iter().filter(|(_, declaration)| without(declaration)) {
        let add = "add listener = \"NAME\" and endpoints, and [listener.NAME] with listen = \"0.0.0.0:8443\"";
        let finding = match admin {
            None => {
                let message = format!("\"{name}\" receives requests, and nothing listens for them");
                let finding = Finding::error(Code::SOURCE_HTTP_WITHOUT_ADMIN, declaration.span.clone(), message);
                finding.help(format!("{add}; or add [admin]: it serves /ingest/NAME on loopback"))
            }
            Some(admin) if !admin.listen.ip().is_loopback() => {
                let message = format!("\"{name}\" has no listener, and /ingest is served on loopback only");
                let finding = Finding::error(Code::SOURCE_INGEST_REMOTE, declaration.span.clone(), message);
                finding.help(add)
            }
            Some(_) => continue,
        };
        findings.add(finding);
    }
}

/// A resource that only one route or source can use.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ExclusiveResource<'a> {
    what: ExclusiveKind<'a>,
    place: &'a ServiceLocation,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ExclusiveKind<'a> {
    LeaseTable(String),
    Consumer(&'a str, &'a str),
    Queue(&'a str),
    Requests(&'a str),
    ConsumerGroup(&'a str),
}

impl ExclusiveKind<'_> {
    /// The message for two users of the resource, and its help.
    fn problem(&self) -> (String, &'static str) {
        match self {
            ExclusiveKind::LeaseTable(table) => (
                format!("two routes would keep their positions in the lease table \"{table}\""),
                "leave lease_table out: each route then has \"esclusa-ROUTE\"; or give each route a source of its own",
            ),
            ExclusiveKind::Consumer(stream, consumer) => (
                format!("two routes would subscribe to \"{stream}\" as the consumer \"{consumer}\""),
                "give each route a source with a consumer of its own, or leave consumer out",
            ),
            ExclusiveKind::Queue(queue) => (
                format!(
                    "two sources would receive from the queue \"{queue}\", so each message would reach one of them"
                ),
                "give both routes the same source: each of its routes gets every message",
            ),
            ExclusiveKind::ConsumerGroup(group) => (
                format!(
                    "two routes would share the partitions as members of the consumer group \"{group}\", so each event would reach one of them"
                ),
                "leave consumer_group_id out: each route then has \"esclusa-ROUTE\"; or give each route its own",
            ),
            ExclusiveKind::Requests(source) => (
                format!("two routes would take the requests of \"{source}\", which one plugin has to answer"),
                "give each route a source of its own, at its own /ingest/NAME; or leave reply out, and every route gets every event",
            ),
        }
    }
}

/// Reports every exclusive resource that two routes use; `spans` are the places of the routes' sources, in the order of the
/// routes.
pub(super) fn exclusive(
    world: &Declarations,
    routes: &[RouteSpec],
    spans: &[Range<usize>],
    home: &ServiceLocation,
    findings: &Findings,
) {
    let mut taken: BTreeMap<ExclusiveResource<'_>, (&RouteSpec, &Range<usize>)> = BTreeMap::new();
    for (route, span) in routes.iter().zip(spans) {
        let Some(source) = world.sources.get(&route.source) else { continue };
        for thing in things(route, &source.value, home) {
            let (message, help) = thing.what.problem();
            let shared = matches!(thing.what, ExclusiveKind::Queue(_));
            match taken.insert(thing, (route, span)) {
                // Two routes of one name are reported as that.
                Some((other, first)) if other.name != route.name && !(shared && other.source == route.source) => {
                    let finding = Finding::error(Code::ROUTE_NOT_SHARED, span.clone(), message);
                    findings.add(finding.related(first.clone(), "the other route").help(help));
                }
                _ => {}
            }
        }
    }
}

fn things<'a>(route: &'a RouteSpec, source: &'a Source, home: &'a ServiceLocation) -> Vec<ExclusiveResource<'a>> {
    let lease_table = source.coordination().and_then(|coordination| coordination.lease_table(&route.name));
    let mut things: Vec<_> = lease_table
        .map(|table| ExclusiveResource { what: ExclusiveKind::LeaseTable(table), place: home })
        .into_iter()
        .collect();
    let group = route.consumer_group.as_deref();
    things.extend(group.map(|group| ExclusiveResource { what: ExclusiveKind::ConsumerGroup(group), place: home }));
    match source {
        Source::Kinesis { stream, consumer: Some(consumer), place, .. } => {
            things.push(ExclusiveResource { what: ExclusiveKind::Consumer(stream, consumer), place });
        }
        Source::Sqs { queue, place, .. } => things.push(ExclusiveResource { what: ExclusiveKind::Queue(queue), place }),
        Source::Http { reply: true, .. } => {
            things.push(ExclusiveResource { what: ExclusiveKind::Requests(&route.source), place: home })
        }
        _ => {}
    }
    things
}
