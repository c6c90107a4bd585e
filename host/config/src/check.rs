//! From the tree to the plan: every name is declared, every number is in its range, and no two settings contradict each
//! other.
//!
//! Checking goes on after a problem, so that one run reports all of them. After an error the plan is thrown away, so a value
//! that could not be read may stand in it as a placeholder.

mod aws_resource;
mod conflict;
mod declared;
mod kafka;
mod listener;
mod loops;
mod output;
mod route;
mod sections;
mod source;
mod store;

use crate::codes::Code;
use crate::plan::{AdminListener, Plan, RouteSpec, ServiceLocation, Source};
use crate::report::{Finding, Findings};
use crate::shape::{KeySpec, root};
use crate::syntax::section_reader::{self, SectionReader};
use crate::syntax::toml_tree::TomlNode;
use declared::{Declaration, Declared};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// The listeners, sources, tables, object stores and outputs of a file by name, each with its place in the text.
struct Declarations {
    listeners: Declared<crate::plan::HttpListener>,
    sources: Declared<crate::plan::Source>,
    tables: Declared<crate::plan::TableSpec>,
    objects: Declared<crate::plan::Objects>,
    outputs: Declared<crate::plan::Output>,
    /// The location that `[aws]` gives: of lease tables, and of every resource that names no other.
    home: ServiceLocation,
    /// `[admin]`, which serves `/ingest`.
    admin: Option<AdminListener>,
}

/// The plan of a file, whose paths are relative to `base`. `None`: the file has another version, whose keys this
/// program does not know.
pub(crate) fn check(root: &TomlNode, base: &Path, findings: &Findings) -> Option<Plan> {
    let table = root.table()?;
    if !sections::version(table, findings) {
        return None;
    }
    // A problem of the whole file is shown at its top.
    let reader = SectionReader::open(findings, &root::SECTION, 0..0, table, &[]);
    let paths = PathResolver::new(base);
    let admin = sections::admin(&reader);
    let (engine, limits) = sections::engine(&reader, &paths);
    let aws = aws_resource::section(&reader);
    let mut world = Declarations {
        listeners: listener::listeners(&reader, &paths),
        sources: source::sources(&reader, &paths, &aws.place),
        tables: store::tables(&reader, &aws.place),
        objects: store::objects(&reader, &paths, &aws.place),
        outputs: output::outputs(&reader, &paths, &aws.place),
        home: aws.place.clone(),
        admin,
    };
    conflict::streams(&mut world, findings);
    conflict::queues(&world, findings);
    conflict::files(&world, findings);
    conflict::objects(&world, &engine, &paths.base(), findings);
    conflict::table_changes(&world, findings);
    conflict::ingest(&world, reader.entry(&root::ADMIN).and(world.admin.as_ref()), findings);
    listener::endpoints_of_listeners(&world, findings);
    // Routes come after the conflicts: these fill in the partitions and the retention that streams share.
    let (routes, places) = route::routes(&reader, &world, &paths);
    listener::kept_answers(&world, &routes, findings);
    warn_unused(&world, &routes, findings);
    loops::loops(&world, &routes, &places, findings);
    Some(Plan {
        admin: world.admin,
        engine,
        limits,
        aws,
        listeners: world.listeners.into_values().collect(),
        sources: world.sources.into_values().map(|(name, source)| (name.into(), source)).collect(),
        tables: world.tables.into_values().collect(),
        objects: world.objects.into_values().collect(),
        outputs: world.outputs.into_values().collect(),
        routes,
    })
}

/// Warns of every listener, source, object store and output that no route uses, and of a file without routes. No warning for
/// tables: one that no route uses may be there for `esclusa replay`. No warning after an error: a misspelt name would
/// be reported twice.
fn warn_unused(world: &Declarations, routes: &[RouteSpec], findings: &Findings) {
    if findings.any_error() {
        return;
    }
    if routes.is_empty() {
        let finding = Finding::warning(Code::NO_ROUTES, 0..0, "there is no route, so nothing will happen");
        return findings.add(finding.help("add [[route]] with name, source and plugin"));
    }
    let outputs = routes.iter().flat_map(|route| route.grants.outputs.iter().chain(&route.on_failure));
    let on = |source: &Declaration<Source>| match &source.value {
        Source::Http { on: Some(on), .. } => Some(on.listener.clone()),
        _ => None,
    };
    let listeners: BTreeSet<String> = world.sources.iter().filter_map(|(_, source)| on(source)).collect();
    for (name, declaration) in world.listeners.iter().filter(|(name, _)| !listeners.contains(*name)) {
        let message = format!("no source is on [listener.{name}]");
        findings.add(Finding::warning(Code::UNUSED, declaration.span.clone(), message));
    }
    unused(&world.sources, "source", &routes.iter().map(|route| &*route.source).collect(), findings);
    unused(
        &world.objects,
        "objects",
        &routes.iter().flat_map(|r| r.grants.stores()).map(String::as_str).collect(),
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

/// Resolves the paths in one file, which are relative to the directory of that file.
pub(crate) struct PathResolver<'a> {
    base: &'a Path,
}

impl<'a> PathResolver<'a> {
    /// A resolver for a file in the directory `base`.
    pub(crate) fn new(base: &'a Path) -> Self {
        PathResolver { base }
    }

    /// The directory of the file.
    pub(crate) fn base(&self) -> PathBuf {
        normalise(self.base)
    }

    /// The path of a key, or its default.
    pub(crate) fn read(&self, reader: &SectionReader<'_>, key: &KeySpec) -> PathBuf {
        let path = reader.text_or_default(key);
        if path.is_empty() && reader.text(key).is_some() {
            let message = format!("`{}` is an empty path", key.name);
            reader.findings.add(Finding::error(Code::BAD_VALUE, reader.value_span(key), message));
        }
        self.path(path)
    }

    /// The default path of a key, if the file does not have the key's section.
    pub(crate) fn default(&self, key: &KeySpec) -> PathBuf {
        self.path(section_reader::default(key))
    }

    /// A path as it is written in the file.
    pub(crate) fn path(&self, written: impl AsRef<Path>) -> PathBuf {
        normalise(&self.base.join(written))
    }
}

/// The path without `.` and without `x/..`, so that two spellings of one path are equal. Symbolic links are not followed.
pub(crate) fn normalise(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(tidied.components().next_back(), Some(Component::Normal(_))) => {
                tidied.pop();
            }
            other => tidied.push(other),
        }
    }
    if tidied.as_os_str().is_empty() { PathBuf::from(".") } else { tidied }
}

/// The path from the root of the file system, so that a relative and an absolute spelling are equal.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Most symbolic links that lead on from one path, as on Linux.
const LINKS: usize = 40;

/// The path that symbolic links lead to. What does not exist yet is taken as it is written, also if a link leads there.
fn resolved(path: &Path) -> PathBuf {
    let mut path = absolute(path);
    for _ in 0..LINKS {
        let real = |above: &Path| Some((above.canonicalize().ok()?, path.strip_prefix(above).ok()?.to_owned()));
        let Some((existing, missing)) = path.ancestors().find_map(real) else { break };
        let mut names = missing.components();
        let next = names.next().map(|name| existing.join(name));
        match next.and_then(|next| std::fs::read_link(next).ok()) {
            Some(target) => path = normalise(&existing.join(target).join(names.as_path())),
            None => return existing.join(missing),
        }
    }
    path
}

/// A path in both forms in which it may be another one: as it is written, and where symbolic links lead.
#[derive(Debug, Clone)]
struct ComparedPath {
    written: PathBuf,
    resolved: PathBuf,
}

impl ComparedPath {
    fn new(path: &Path) -> Self {
        ComparedPath { written: absolute(path), resolved: resolved(path) }
    }

    /// True if this path is the other one, or inside of it.
    fn within(&self, other: &ComparedPath) -> bool {
        self.written.starts_with(&other.written) || self.resolved.starts_with(&other.resolved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_also_to_what_does_not_exist_yet() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("real/deep")).unwrap();
        let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, root.join(name)).unwrap();
        link("real", "link");
        link("later/on", "dangling");
        link("dangling/x", "two");
        link("round", "round");
        for (path, leads_to) in [
            ("real/deep", "real/deep"),
            ("link/deep", "real/deep"),
            ("link/none/more", "real/none/more"),
            ("dangling/more", "later/on/more"),
            ("two/more", "later/on/x/more"),
            ("none", "none"),
            ("round/x", "round/x"),
        ] {
            assert_eq!(resolved(&root.join(path)), root.join(leads_to), "{path}");
        }
        let (link, real) = (ComparedPath::new(&root.join("link/deep")), ComparedPath::new(&root.join("real")));
        assert!(link.within(&real) && !real.within(&link));
    }

    #[test]
    fn spellings_of_a_path_become_equal() {
        for (untidy, tidied) in [("./a/./b", "a/b"), ("a/../b", "b"), ("../a", "../a"), ("/../a", "/../a"), ("./", ".")]
        {
            assert_eq!(normalise(Path::new(untidy)), Path::new(tidied));
        }
    }
}
