//! What is declared and never used: a warning, since the file works without it. Not of tables: one that no route uses may
//! be there for `esclusa replay`.

use super::World;
use super::declared::Declared;
use crate::codes::Code;
use crate::plan::RouteSpec;
use crate::report::{Finding, Findings};
use std::collections::BTreeSet;

/// Warns of every source, object store and output that no route uses, and of a file without routes. Silent after
/// an error: a misspelt name would be reported twice.
pub fn warn(world: &World, routes: &[RouteSpec], findings: &Findings) {
    if findings.any_error() {
        return;
    }
    if routes.is_empty() {
        let finding = Finding::warning(Code::NO_ROUTES, 0..0, "there is no route, so nothing will happen");
        return findings.add(finding.help("add [[route]] with name, source and plugin"));
    }
    let outputs = routes.iter().flat_map(|route| route.grants.outputs.iter().chain(&route.on_failure));
    unused(&world.sources, "source", &routes.iter().map(|route| &*route.source).collect(), findings);
    unused(
        &world.objects,
        "objects",
        &routes.iter().flat_map(|r| &r.grants.objects).map(String::as_str).collect(),
        findings,
    );
    unused(&world.outputs, "output", &outputs.map(String::as_str).collect(), findings);
}

fn unused<T>(declared: &Declared<T>, word: &str, used: &BTreeSet<&str>, findings: &Findings) {
    for (name, declaration) in declared.iter().filter(|(name, _)| !used.contains(name)) {
        let message = format!("no route uses [{word}.{name}]");
        findings.add(Finding::warning(Code::UNUSED, declaration.span.clone(), message));
    }
}
