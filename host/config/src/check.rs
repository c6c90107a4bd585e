//! From the tree to the plan: names resolve, numbers are in range, nothing contradicts anything. Checking goes on after
//! each problem; after an error the plan is thrown away, so a placeholder in it harms nobody.

mod aws;
mod conflict;
mod declared;
mod exclusive;
mod filter;
mod name;
mod output;
mod paths;
mod position;
mod route;
mod routes;
mod source;
mod store;
mod top;
mod unused;

use crate::plan::{Plan, ServiceLocation};
use crate::report::Findings;
use crate::shape::root;
use crate::syntax::reader::Reader;
use crate::syntax::tree::Node;
use declared::Declared;
use paths::Paths;
use std::path::Path;

/// What the sections of a file declare, by name, with their places.
struct World {
    sources: Declared<crate::plan::Source>,
    tables: Declared<crate::plan::Table>,
    objects: Declared<crate::plan::Objects>,
    outputs: Declared<crate::plan::Output>,
    /// Where things in AWS are that do not say otherwise, and tables of progress.
    home: ServiceLocation,
}

/// The plan of a file. `None`: the file is of another version, so that nothing can be said about it.
pub fn check(root: &Node, base: &Path, findings: &Findings) -> Option<Plan> {
    let table = root.table()?;
    if !top::version(table, findings) {
        return None;
    }
    let reader = Reader::open(findings, &root::SECTION, 0..0, table, &[]);
    let paths = Paths::new(base);
    let admin = top::admin(&reader);
    let engine = top::engine(&reader, &paths);
    let aws = aws::section(&reader);
    let mut world = World {
        sources: source::all(&reader, &paths, &aws.place),
        tables: store::tables(&reader, &aws.place),
        objects: store::objects(&reader, &paths, &aws.place),
        outputs: output::all(&reader, &paths, &aws.place),
        home: aws.place.clone(),
    };
    conflict::streams(&mut world, findings);
    conflict::queues(&world, findings);
    conflict::files(&world, findings);
    conflict::objects(&world, &engine, &paths.base(), findings);
    conflict::table_changes(&world, findings);
    conflict::listener(&world, reader.entry(&root::ADMIN).is_some(), findings);
    let routes = routes::all(&reader, &world, &paths);
    unused::warn(&world, &routes, findings);
    Some(Plan {
        admin,
        engine,
        aws,
        sources: world.sources.into_values().map(|(name, source)| (name.into(), source)).collect(),
        tables: world.tables.into_values().collect(),
        objects: world.objects.into_values().collect(),
        outputs: world.outputs.into_values().collect(),
        routes,
    })
}
