//! What only one route can have: a lease table, a consumer of enhanced fan-out, requests that wait for a reply. And what only
//! one source can: a queue of SQS, whose messages the routes of that source share.

use super::World;
use crate::codes::Code;
use crate::plan::{RouteSpec, ServiceLocation, Source};
use crate::report::{Finding, Findings};
use std::collections::BTreeMap;
use std::ops::Range;

/// Something that two routes would take from each other.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Thing<'a> {
    what: What<'a>,
    place: &'a ServiceLocation,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What<'a> {
    LeaseTable(String),
    Consumer(&'a str, &'a str),
    Queue(&'a str),
    Requests(&'a str),
}

impl What<'_> {
    /// The message, and what to do.
    fn problem(&self) -> (String, &'static str) {
        match self {
            What::LeaseTable(table) => (
                format!("two routes would keep their positions in the lease table \"{table}\""),
                "leave lease_table out: each route then has \"esclusa-ROUTE\"; or give each route a source of its own",
            ),
            What::Consumer(stream, consumer) => (
                format!("two routes would subscribe to \"{stream}\" as the consumer \"{consumer}\""),
                "give each route a source with a consumer of its own, or leave consumer out",
            ),
            What::Queue(queue) => (
                format!(
                    "two sources would receive from the queue \"{queue}\", so each message would reach one of them"
                ),
                "give both routes the same source: each of its routes gets every message",
            ),
            What::Requests(source) => (
                format!("two routes would take the requests of \"{source}\", which one plugin has to answer"),
                "give each route a source of its own, at its own /ingest/NAME; or leave reply out, and every route gets every event",
            ),
        }
    }
}

/// Reports everything that two routes would share; `spans` are the places of the routes' sources, in their order.
pub fn check(world: &World, routes: &[RouteSpec], spans: &[Range<usize>], home: &ServiceLocation, findings: &Findings) {
    let mut taken: BTreeMap<Thing<'_>, (&RouteSpec, &Range<usize>)> = BTreeMap::new();
    for (route, span) in routes.iter().zip(spans) {
        let Some(source) = world.sources.get(&route.source) else { continue };
        for thing in things(route, &source.value, home) {
            let (message, help) = thing.what.problem();
            let shared = matches!(thing.what, What::Queue(_));
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

fn things<'a>(route: &'a RouteSpec, source: &'a Source, home: &'a ServiceLocation) -> Vec<Thing<'a>> {
    let lease_table = source.coordination().and_then(|coordination| coordination.lease_table(&route.name));
    let mut things: Vec<_> =
        lease_table.map(|table| Thing { what: What::LeaseTable(table), place: home }).into_iter().collect();
    match source {
        Source::Kinesis { stream, consumer: Some(consumer), place, .. } => {
            things.push(Thing { what: What::Consumer(stream, consumer), place });
        }
        Source::Sqs { queue, place, .. } => things.push(Thing { what: What::Queue(queue), place }),
        Source::Http { reply: true, .. } => things.push(Thing { what: What::Requests(&route.source), place: home }),
        _ => {}
    }
    things
}
