//! Places of a file after it has been read, for problems that are found later, mostly by a plugin.

use crate::codes::Code;
use crate::report::{Diagnostic, Finding, SourceText};
use crate::syntax::toml_tree::{TomlNode, TomlValue};
use esclusa_flow::secrets::Secrets;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// A place of routes.toml.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigPlace<'a> {
    /// A route, by name.
    Route(&'a str),
    /// A key of a route; the route's name if the key is missing.
    RouteKey(&'a str, &'a str),
    /// A place in a route's `config`, an RFC 6901 pointer; `""` is the whole config. If the pointer leads to nothing,
    /// the place of its longest prefix that exists.
    Config(&'a str, &'a str),
    /// The key of such a place, not its value.
    ConfigKey(&'a str, &'a str),
    /// A source, by name.
    Source(&'a str),
    /// A table, by name.
    Table(&'a str),
    /// A store of objects, by name.
    Objects(&'a str),
    /// An output, by name.
    Output(&'a str),
    /// A key by its path from the top, such as `["admin", "listen"]`; the longest part of the path that exists.
    Key(&'a [&'a str]),
}

/// Finds places of a file.
#[derive(Debug, Clone)]
pub struct Locator {
    inner: Arc<ParsedFile>,
}

#[derive(Debug)]
struct ParsedFile {
    source: Arc<SourceText>,
    root: TomlNode,
    /// The values that were put into its texts.
    secrets: Secrets,
    /// Index of each route in the list of routes.
    routes: BTreeMap<String, usize>,
}

impl Locator {
    pub(crate) fn new(source: Arc<SourceText>, root: TomlNode, secrets: Secrets) -> Self {
        let names =
            routes(&root).iter().enumerate().filter_map(|(at, route)| match &route.table()?.get("name")?.value {
                TomlValue::Text(name) => Some((name.text.clone(), at)),
                _ => None,
            });
        let routes = names.collect();
        Locator { inner: Arc::new(ParsedFile { source, root, secrets, routes }) }
    }

    /// An error at a place, or at the top of the file if the place does not exist.
    #[must_use]
    pub fn diagnostic(&self, place: ConfigPlace<'_>, code: Code, message: &str, help: Option<&str>) -> Diagnostic {
        let finding = Finding::error(code, self.span(place), message).help_maybe(help.map(str::to_owned));
        Diagnostic::new(finding, &self.inner.source, &self.inner.secrets)
    }

    /// A warning at a place, or at the top of the file if the place does not exist.
    #[must_use]
    pub fn warning(&self, place: ConfigPlace<'_>, code: Code, message: &str, help: Option<&str>) -> Diagnostic {
        let finding = Finding::warning(code, self.span(place), message).help_maybe(help.map(str::to_owned));
        Diagnostic::new(finding, &self.inner.source, &self.inner.secrets)
    }

    /// The value of a key of the output of that name.
    pub(crate) fn output(&self, name: &str, key: &str) -> Option<&TomlNode> {
        self.inner.root.table()?.get("output")?.table()?.get(name)?.table()?.get(key)
    }

    /// The value of a key of the route at that place of the list.
    pub(crate) fn route_key(&self, at: usize, key: &str) -> Option<&TomlNode> {
        routes(&self.inner.root).get(at)?.table()?.get(key)
    }

    /// The values that were put into the texts of the file.
    pub(crate) fn secrets(&self) -> &Secrets {
        &self.inner.secrets
    }

    fn span(&self, place: ConfigPlace<'_>) -> Range<usize> {
        let root = &self.inner.root;
        let named = |section: &str, name: &str| {
            let entry = root.table().and_then(|root| root.get(section)).and_then(|node| node.table()?.entry(name));
            entry.map(|entry| entry.key_span.clone())
        };
        let span = match place {
            ConfigPlace::Source(name) => named("source", name),
            ConfigPlace::Table(name) => named("table", name),
            ConfigPlace::Objects(name) => named("objects", name),
            ConfigPlace::Output(name) => named("output", name),
            ConfigPlace::Route(name) => self.route(name).map(|route| route.value_span("name")),
            ConfigPlace::RouteKey(name, key) => self.route(name).map(|route| route.value_span(key)),
            ConfigPlace::Key(path) => Some(key(root, path)),
            ConfigPlace::Config(name, pointer) => self.route(name).map(|route| config(route, pointer)),
            ConfigPlace::ConfigKey(name, pointer) => self.route(name).map(|route| config_key(route, pointer)),
        };
        span.unwrap_or_default()
    }

    fn route(&self, name: &str) -> Option<&TomlNode> {
        self.inner.routes.get(name).and_then(|at| routes(&self.inner.root).get(*at))
    }
}

/// The value of a key, or the name of the innermost section on its path that exists; nothing if there is none.
fn key(root: &TomlNode, path: &[&str]) -> Range<usize> {
    let (mut here, mut span) = (root, Range::default());
    for name in path {
        let Some(entry) = here.table().and_then(|table| table.entry(name)) else { break };
        here = &entry.node;
        span = if here.table().is_some() { entry.key_span.clone() } else { here.span.clone() };
    }
    span
}

fn config(route: &TomlNode, pointer: &str) -> Range<usize> {
    match route.table().and_then(|route| route.entry("config")) {
        Some(config) if pointer.is_empty() => config.key_span.clone(),
        Some(config) => match config.node.at_pointer(pointer) {
            // The pointer leads to nothing inside, so the key stands for the whole config.
            span if span == config.node.span => config.key_span.clone(),
            span => span,
        },
        None => route.value_span("name"),
    }
}

/// The key at the end of a pointer into a route's `config`; if there is none, the place of the pointer.
fn config_key(route: &TomlNode, pointer: &str) -> Range<usize> {
    let key = || {
        let (parent, name) = pointer.rsplit_once('/')?;
        let mut here = route.table()?.get("config")?;
        for step in parent.split('/').skip(1) {
            here = here.child(step)?;
        }
        let name = name.replace("~1", "/").replace("~0", "~");
        here.table()?.entry(&name).map(|entry| entry.key_span.clone())
    };
    key().unwrap_or_else(|| config(route, pointer))
}

fn routes(root: &TomlNode) -> &[TomlNode] {
    match root.table().and_then(|root| root.get("route")).map(|node| &node.value) {
        Some(TomlValue::List(routes)) => routes,
        _ => &[],
    }
}
