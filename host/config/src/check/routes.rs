//! The list of routes.

use super::paths::Paths;
use super::route::route;
use super::{World, exclusive};
use crate::codes::Code;
use crate::plan::RouteSpec;
use crate::report::Finding;
use crate::shape::{root, route as shape};
use crate::syntax::reader::Reader;
use crate::syntax::tree::Value;
use std::collections::BTreeMap;

/// Every route, in the order of the file.
pub fn all(root: &Reader<'_>, world: &World, paths: &Paths<'_>) -> Vec<RouteSpec> {
    let Some(entry) = root.entry(&root::ROUTE) else { return Vec::new() };
    let list = match &entry.node.value {
        Value::List(list) => list,
        Value::Broken => return Vec::new(),
        _ => {
            let finding = Finding::error(Code::WRONG_TYPE, entry.key_span.clone(), "routes are a list");
            root.findings.add(finding.help("write [[route]] with two brackets"));
            return Vec::new();
        }
    };
    let mut seen = BTreeMap::new();
    let (mut routes, mut sources) = (Vec::new(), Vec::new());
    for node in list {
        let Some(table) = node.table() else {
            let finding = Finding::error(Code::WRONG_TYPE, node.span.clone(), "a route is a table");
            root.findings.add(finding.help("write [[route]]"));
            continue;
        };
        let reader = Reader::open(root.findings, &shape::SECTION, node.span.clone(), table, &[]);
        let route = route(&reader, world, paths);
        let place = reader.place(&shape::NAME);
        if let Some(first) = seen.insert(route.name.clone(), place.clone()).filter(|_| !route.name.is_empty()) {
            let message = format!("there are two routes \"{}\"", route.name);
            let finding = Finding::error(Code::ROUTE_DUPLICATE, place, message).related(first, "the other one");
            root.findings.add(finding.help("a route's name keeps its place in the source; give each its own"));
        }
        sources.push(reader.place(&shape::SOURCE));
        routes.push(route);
    }
    exclusive::check(world, &routes, &sources, &world.home, root.findings);
    routes
}
