//! Places of a file after it has been read: what is found out later (by a plugin, mostly) is reported there, too.

use crate::codes::Code;
use crate::report::{Diagnostic, Finding, SourceText};
use crate::syntax::tree::{Node, Value};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// A place of routes.toml.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// A route, by name.
    Route(&'a str),
    /// A key of a route; the route where the key is not given.
    RouteKey(&'a str, &'a str),
    /// A place in a route's `config`, an RFC 6901 pointer; `""` is the config as a whole. Where nothing stands there,
    /// the longest part of the pointer that is there.
    Config(&'a str, &'a str),
    /// A source, by name.
    Source(&'a str),
    /// A table, by name.
    Table(&'a str),
    /// A store of objects, by name.
    Objects(&'a str),
    /// An output, by name.
    Output(&'a str),
}

/// Finds places of a file.
#[derive(Debug, Clone)]
pub struct Locator {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    source: Arc<SourceText>,
    root: Node,
    /// Where a route is in the list of routes.
    routes: BTreeMap<String, usize>,
}

impl Locator {
    pub(crate) fn new(source: Arc<SourceText>, root: Node) -> Self {
        let names =
            routes(&root).iter().enumerate().filter_map(|(at, route)| match &route.table()?.get("name")?.value {
                Value::Text(name) => Some((name.text.clone(), at)),
                _ => None,
            });
        let routes = names.collect();
        Locator { inner: Arc::new(Inner { source, root, routes }) }
    }

    /// An error at a place; at the top of the file where there is no such place.
    #[must_use]
    pub fn diagnostic(&self, place: Place<'_>, code: Code, message: &str, help: Option<&str>) -> Diagnostic {
        let finding = Finding::error(code, self.span(place), message).help_maybe(help.map(str::to_owned));
        Diagnostic::new(finding, &self.inner.source)
    }

    /// A warning at a place; at the top of the file where there is no such place.
    #[must_use]
    pub fn warning(&self, place: Place<'_>, code: Code, message: &str, help: Option<&str>) -> Diagnostic {
        let finding = Finding::warning(code, self.span(place), message).help_maybe(help.map(str::to_owned));
        Diagnostic::new(finding, &self.inner.source)
    }

    /// The value of a key of the output of that name.
    pub(crate) fn output(&self, name: &str, key: &str) -> Option<&Node> {
        self.inner.root.table()?.get("output")?.table()?.get(name)?.table()?.get(key)
    }

    /// The value of a key of the route at that place of the list.
    pub(crate) fn route_key(&self, at: usize, key: &str) -> Option<&Node> {
        routes(&self.inner.root).get(at)?.table()?.get(key)
    }

    fn span(&self, place: Place<'_>) -> Range<usize> {
        let root = &self.inner.root;
        let named = |section: &str, name: &str| {
            let entry = root.table().and_then(|root| root.get(section)).and_then(|node| node.table()?.entry(name));
            entry.map(|entry| entry.key_span.clone())
        };
        let span = match place {
            Place::Source(name) => named("source", name),
            Place::Table(name) => named("table", name),
            Place::Objects(name) => named("objects", name),
            Place::Output(name) => named("output", name),
            Place::Route(name) => self.route(name).map(|route| route.value_span("name")),
            Place::RouteKey(name, key) => self.route(name).map(|route| route.value_span(key)),
            Place::Config(name, pointer) => self.route(name).map(|route| config(route, pointer)),
        };
        span.unwrap_or_default()
    }

    fn route(&self, name: &str) -> Option<&Node> {
        self.inner.routes.get(name).and_then(|at| routes(&self.inner.root).get(*at))
    }
}

fn config(route: &Node, pointer: &str) -> Range<usize> {
    match route.table().and_then(|route| route.entry("config")) {
        Some(config) if pointer.is_empty() => config.key_span.clone(),
        Some(config) => match config.node.at_pointer(pointer) {
            span if span == config.node.span => config.key_span.clone(),
            span => span,
        },
        None => route.value_span("name"),
    }
}

fn routes(root: &Node) -> &[Node] {
    match root.table().and_then(|root| root.get("route")).map(|node| &node.value) {
        Some(Value::List(routes)) => routes,
        _ => &[],
    }
}
