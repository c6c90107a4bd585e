//! Warns of routes whose effects may come back to them: a route that feeds itself, and a ring of routes. A plugin need not use
//! what it is granted, and filters may stop what comes back, so this may be meant.

mod feeds;
mod rings;

pub(super) use feeds::{Certainty, output_feeds};

use super::Declarations;
use crate::codes::Code;
use crate::plan::{RouteSpec, Source};
use crate::report::{Finding, Findings};
use feeds::{carries_hops, objects_feed, table_feeds};
use rings::rings;
use std::collections::BTreeMap;
use std::ops::Range;

/// Rings that are reported at most: nobody reads more.
const MOST: usize = 50;
/// Routes of a ring that a message names at most.
const NAMED: usize = 8;

/// The places of a route's settings in the text.
pub(super) struct RoutePlaces {
    /// The name of its source.
    pub source: Range<usize>,
    /// Tables that it grants.
    pub tables: Vec<(String, Range<usize>)>,
    /// Object stores that it grants.
    pub objects: Vec<(String, Range<usize>)>,
    /// Outputs that it grants, and that of its dead letters.
    pub outputs: Vec<(String, Range<usize>)>,
}

/// What a route may write, and who gets it.
struct Write<'a> {
    /// The word for the target: `the output "again"`.
    target: String,
    /// The place of its name in the route.
    granted: &'a Range<usize>,
    /// The place of its declaration.
    declared: Range<usize>,
    /// The sources that read it.
    sources: Vec<&'a str>,
}

/// The kinds of source that get what is written to a kind of target, which are compared one by one.
struct Targets<'a> {
    world: &'a Declarations,
    /// The sources by kind.
    by_kind: BTreeMap<&'static str, Vec<(&'a str, &'a Source)>>,
}

impl<'a> Targets<'a> {
    fn new(world: &'a Declarations) -> Self {
        let mut by_kind: BTreeMap<&'static str, Vec<_>> = BTreeMap::new();
        for (name, source) in world.sources.iter() {
            by_kind.entry(source.value.kind()).or_default().push((name, &source.value));
        }
        Targets { world, by_kind }
    }

    fn sources(&self, kinds: &[&str], feeds: impl Fn(&str, &Source) -> bool) -> Vec<&'a str> {
        let sources = kinds.iter().filter_map(|kind| self.by_kind.get(kind)).flatten();
        sources.filter(|(name, source)| feeds(name, source)).map(|(name, _)| *name).collect()
    }

    /// The writes of a route that some source reads.
    fn writes(&self, places: &'a RoutePlaces) -> Vec<Write<'a>> {
        let mut writes = Vec::new();
        let mut add =
            |word: &str, name: &str, granted: &'a Range<usize>, declared: &Range<usize>, sources: Vec<&'a str>| {
                if !sources.is_empty() {
                    writes.push(Write {
                        target: format!("the {word} \"{name}\""),
                        granted,
                        declared: declared.clone(),
                        sources,
                    });
                }
            };
        for (name, granted) in &places.outputs {
            let Some(found) = self.world.outputs.get(name) else { continue };
            let kind = if found.value.kind() == "webhook" { "http" } else { found.value.kind() };
            let feeds =
                |source: &str, of: &Source| output_feeds(self.world, &found.value, (source, of), Certainty::Possible);
            add("output", name, granted, &found.span, self.sources(&[kind], feeds));
        }
        for (name, granted) in &places.tables {
            let Some(found) = self.world.tables.get(name) else { continue };
            let feeds = |_: &str, of: &Source| table_feeds(name, &found.value, of);
            add("table", name, granted, &found.span, self.sources(&["table-changes", "dynamodb-stream"], feeds));
        }
        for (name, granted) in &places.objects {
            let Some(found) = self.world.objects.get(name) else { continue };
            let feeds = |_: &str, of: &Source| objects_feed(&found.value, of);
            add("object store", name, granted, &found.span, self.sources(&["file"], feeds));
        }
        writes
    }
}

/// Warns of every route that feeds itself, and of rings of routes so that each route of one is named.
pub(super) fn loops(world: &Declarations, routes: &[RouteSpec], places: &[RoutePlaces], findings: &Findings) {
    // After an error the graph may be that of misspelt names.
    if findings.any_error() {
        return;
    }
    let targets = Targets::new(world);
    let writes: Vec<Vec<Write<'_>>> = places.iter().map(|places| targets.writes(places)).collect();
    for ((route, places), writes) in routes.iter().zip(places).zip(&writes) {
        for write in writes.iter().filter(|write| write.sources.contains(&&*route.source)) {
            let message =
                format!("route \"{}\" feeds itself: it may write to {}, which it reads", route.name, write.target);
            let finding = Finding::warning(Code::ROUTE_LOOP, write.granted.clone(), message);
            let finding = finding.related(write.declared.clone(), "written here");
            findings.add(finding.related(read_at(world, route, places), "read here").help(help(world, &[route])));
        }
    }
    let numbers: BTreeMap<&str, usize> =
        world.sources.iter().zip(routes.len()..).map(|((name, _), number)| (name, number)).collect();
    for ring in rings(&graph(world, routes, &writes, &numbers), MOST) {
        // Every second node is a source.
        let ring: Vec<usize> = ring.into_iter().filter(|node| *node < routes.len()).collect();
        report(world, routes, places, &writes, &ring, findings);
    }
}

/// Routes and sources as nodes: so the graph is not larger than the file, also if many routes read one source that many write.
fn graph(
    world: &Declarations,
    routes: &[RouteSpec],
    writes: &[Vec<Write<'_>>],
    numbers: &BTreeMap<&str, usize>,
) -> Vec<Vec<usize>> {
    let mut edges: Vec<Vec<usize>> = routes
        .iter()
        .zip(writes)
        .map(|(route, writes)| {
            let others = writes.iter().flat_map(|write| &write.sources).filter(|source| **source != &*route.source);
            others.filter_map(|source| numbers.get(source).copied()).collect()
        })
        .collect();
    let mut readers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, route) in routes.iter().enumerate() {
        readers.entry(&route.source).or_default().push(number);
    }
    edges.extend(world.sources.iter().map(|(name, _)| readers.remove(name).unwrap_or_default()));
    edges
}

fn report(
    world: &Declarations,
    routes: &[RouteSpec],
    places: &[RoutePlaces],
    writes: &[Vec<Write<'_>>],
    ring: &[usize],
    findings: &Findings,
) {
    let of_ring: Vec<&RouteSpec> = ring.iter().filter_map(|route| routes.get(*route)).collect();
    let mut names: Vec<String> = of_ring.iter().take(NAMED).map(|route| format!("\"{}\"", route.name)).collect();
    if of_ring.len() > NAMED {
        names.push(format!("{} more", of_ring.len() - NAMED));
    }
    let last = names.pop().unwrap_or_default();
    let message = format!("the routes {} and {last} feed each other: an event may go round for ever", names.join(", "));
    let next = ring.iter().cycle().skip(1);
    let mut finding: Option<Finding> = None;
    for (from, to) in ring.iter().zip(next).take(NAMED) {
        let (Some(reader), Some(reads)) = (routes.get(*to), places.get(*to)) else { continue };
        let Some(write) = writes.get(*from).and_then(|all| all.iter().find(|w| w.sources.contains(&&*reader.source)))
        else {
            continue;
        };
        let label = format!("{} feeds \"{}\"", write.target, reader.name);
        let so_far = match finding.take() {
            None => Finding::warning(Code::ROUTE_LOOP, write.granted.clone(), message.clone()),
            Some(finding) => finding.related(write.granted.clone(), label),
        };
        finding = Some(so_far.related(read_at(world, reader, reads), format!("\"{}\" reads it here", reader.name)));
    }
    if let Some(finding) = finding {
        findings.add(finding.help(help(world, &of_ring)));
    }
}

/// The place of a route's source: its declaration.
fn read_at(world: &Declarations, route: &RouteSpec, places: &RoutePlaces) -> Range<usize> {
    world.sources.get(&route.source).map_or_else(|| places.source.clone(), |source| source.span.clone())
}

fn help(world: &Declarations, ring: &[&RouteSpec]) -> String {
    let filtered: Vec<String> = ring
        .iter()
        .filter(|route| route.filter.is_some())
        .take(NAMED)
        .map(|route| format!("\"{}\"", route.name))
        .collect();
    let meant = match filtered.as_slice() {
        [] => "if this is meant, leave it so".to_owned(),
        [one] => format!("this may be meant, if the filter of {one} stops what comes back"),
        several => format!("this may be meant, if the filters of {} stop what comes back", several.join(", ")),
    };
    let sources = ring.iter().filter_map(|route| world.sources.get(&route.source));
    let forgets = sources.map(|source| &source.value).find(|source| !carries_hops(source));
    let limit = ring.iter().map(|route| route.max_hops).filter(|hops| *hops > 0).min();
    let stops = match (forgets, limit) {
        (Some(source), _) => {
            format!("nothing else stops it, since events of kind {} have no count of hops", source.kind())
        }
        (None, None) => "with max_hops = 0 nothing else stops it".to_owned(),
        (None, Some(hops)) => format!("an event that has come by {hops} routes is given up (max_hops)"),
    };
    format!("{meant}: {stops}; else write to another place")
}
