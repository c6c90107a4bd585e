//! The house rules that a machine can check: who may depend on whom, how long files and functions may be, and
//! that every file says what it is.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use syn::spanned::Spanned;
use syn::visit::Visit;

/// Most lines of a file, its tests cut off.
const FILE: usize = 400;
/// Most lines of a function.
const FUNCTION: usize = 60;
/// Files or functions that may be longer, each with its reason.
const LONGER: &[(&str, &str)] = &[("host/aws/src/iam.rs::grants", "a table: the actions of each use")];

/// Files that a test generates and compares: no rule of style holds for them.
const GENERATED: &str = "plugins/sdk/src/guest/bindings/";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut folders = ["host", "plugins", "examples"].map(|folder| root().join(folder)).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let relative = path.strip_prefix(root()).unwrap().display().to_string();
                if relative.starts_with(GENERATED) {
                    continue;
                }
                files.push((relative, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

fn excused(what: &str) -> bool {
    LONGER.iter().any(|(name, reason)| *name == what && !reason.is_empty())
}

#[test]
fn crates_depend_only_downwards() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("data", &[][..]),
        ("flow", &["esclusa-data"]),
        ("pipeline", &["esclusa-flow"]),
        ("config", &["esclusa-flow"]),
        ("sandbox", &["esclusa-flow"]),
        ("embedded", &["esclusa-data", "esclusa-flow"]),
        ("aws", &["esclusa-flow"]),
        ("kafka", &["esclusa-flow"]),
        ("http", &["esclusa-flow", "esclusa-pipeline"]),
        ("testkit", &["esclusa-flow"]),
        (
            "esclusa",
            &[
                "esclusa-flow",
                "esclusa-pipeline",
                "esclusa-config",
                "esclusa-sandbox",
                "esclusa-embedded",
                "esclusa-aws",
                "esclusa-kafka",
                "esclusa-http",
            ],
        ),
    ]);
    for (name, may) in allowed {
        let path = root().join("host").join(name).join("Cargo.toml");
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let manifest: toml::Table = text.parse().unwrap();
        let dependencies = manifest.get("dependencies").and_then(|d| d.as_table()).cloned().unwrap_or_default();
        for dependency in dependencies.keys() {
            if dependency.starts_with("esclusa") {
                assert!(may.contains(&dependency.as_str()), "host/{name} must not depend on {dependency}");
            }
            let owner = match dependency.as_str() {
                d if d.starts_with("wasmtime") => "sandbox",
                d if d.starts_with("aws-") => "aws",
                "rdkafka" => "kafka",
                "fjall" => "embedded",
                "tokio" if ["data", "flow", "config"].contains(&name) => "the crates that run",
                _ => continue,
            };
            assert_eq!(owner, name, "only {owner} may depend on {dependency}");
        }
    }
}

/// Crates with their features, as a build has them that has these kinds of dependencies.
fn features(edges: &str) -> BTreeSet<String> {
    let mut tree = Command::new(env!("CARGO"));
    tree.args([
        "tree",
        // With a target, what macros use is told from what the program uses.
        "--target",
        "host-tuple",
        "--workspace",
        "--locked",
        "--offline",
        "--prefix",
        "none",
        "--format",
        "{p} [{f}]",
        "-e",
        edges,
    ]);
    let out = tree.current_dir(root()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let lines = String::from_utf8(out.stdout).unwrap();
    let crates = lines.lines().map(|line| line.trim_end_matches(" (*)")).filter(|line| line.contains(" v"));
    crates.map(str::to_owned).collect()
}

#[test]
fn tests_and_the_program_are_built_with_the_same_features() {
    let (program, tests) = (features("no-dev"), features("all"));
    assert!(program.len() > 200, "cargo tree lists the crates");
    let twice: Vec<_> = program.difference(&tests).collect();
    assert!(twice.is_empty(), "built once for the program and again, with more features, for the tests: {twice:#?}");
}

/// The dependencies of a package, of its tests too, for every target.
fn dependencies(manifest: &Path) -> Vec<String> {
    let manifest: toml::Table = std::fs::read_to_string(manifest).unwrap().parse().unwrap();
    let targets = manifest.get("target").and_then(|targets| targets.as_table()).cloned().unwrap_or_default();
    let places = std::iter::once(&manifest).chain(targets.values().filter_map(|target| target.as_table()));
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = places.flat_map(|place| kinds.iter().filter_map(|kind| place.get(*kind)?.as_table()));
    tables.flat_map(|table| table.keys().cloned()).collect()
}

#[test]
fn plugins_know_the_sdk_alone_and_the_sdk_data_alone() {
    let folders = ["plugins", "examples"].map(|folder| std::fs::read_dir(root().join(folder)).unwrap());
    let folders = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
    let manifests = folders.flat_map(|folder| [folder.join("Cargo.toml"), folder.join("plugin/Cargo.toml")]);
    let mut plugins = 0;
    for manifest in manifests.filter(|path| path.is_file()) {
        let sdk = manifest.ends_with("plugins/sdk/Cargo.toml");
        let may = if sdk { "esclusa-data" } else { "esclusa-plugin" };
        let own: Vec<String> = dependencies(&manifest).into_iter().filter(|name| name.starts_with("esclusa")).collect();
        assert_eq!(own, [may], "of our crates {} depends on {may} alone", manifest.display());
        plugins += usize::from(!sdk);
    }
    assert!(plugins >= 8, "found {plugins} plugins, the five of plugins/ and those of the examples among them");
}

#[test]
fn what_every_plugin_carries_is_small() {
    let mut carried = dependencies(&root().join("host/data/Cargo.toml"));
    carried.retain(|name| name != "proptest");
    carried.sort();
    assert_eq!(carried, ["serde", "serde_json", "thiserror"], "host/data is part of every plugin");
}

#[test]
fn files_say_what_they_are_and_stay_short() {
    let mut long = Vec::new();
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "{path} does not begin with //!: what it is, and what it is not");
        let production = text.split("\n#[cfg(test)]").next().unwrap().lines().count();
        if production > FILE && !path.contains("/tests/") && !excused(&path) {
            long.push(format!("{path}: {production} lines, at most {FILE}"));
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn functions_stay_short() {
    struct Functions<'a>(&'a str, Vec<String>);
    impl Functions<'_> {
        fn check(&mut self, name: &syn::Ident, block: &syn::Block) {
            let lines = block.span().end().line - block.span().start().line + 1;
            if lines > FUNCTION && !excused(&format!("{}::{name}", self.0)) {
                self.1.push(format!("{}: {name} has {lines} lines, at most {FUNCTION}", self.0));
            }
        }
    }
    impl<'ast> Visit<'ast> for Functions<'_> {
        fn visit_item_fn(&mut self, f: &'ast syn::ItemFn) {
            self.check(&f.sig.ident, &f.block);
            syn::visit::visit_item_fn(self, f);
        }
        fn visit_impl_item_fn(&mut self, f: &'ast syn::ImplItemFn) {
            self.check(&f.sig.ident, &f.block);
            syn::visit::visit_impl_item_fn(self, f);
        }
    }
    let mut long = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| !path.contains("/tests/")) {
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut functions = Functions(path, Vec::new());
        functions.visit_file(&file);
        long.extend(functions.1);
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn nothing_is_ignored_or_left_to_do() {
    // Put together, so that this file does not find itself.
    let words = [
        concat!("#[", "ignore"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("FIX", "ME"),
        concat!("#[", "allow("),
    ];
    for (path, text) in sources() {
        for word in words {
            assert!(!text.contains(word), "{path} holds {word}");
        }
    }
}

#[test]
fn modules_are_named_after_nouns_of_the_domain() {
    for (path, _) in sources() {
        let stem = Path::new(&path).file_stem().unwrap().to_string_lossy().into_owned();
        for word in ["utils", "util", "common", "helpers", "misc", "manager", "imp", "core", "mod"] {
            assert_ne!(stem, word, "{path}: name it after what it holds");
        }
    }
}

#[test]
fn no_file_that_git_keeps_is_empty() {
    // A slip in a command makes such a file, and `git add` takes it. Sources that came without git have no list.
    let Ok(listed) = Command::new("git").arg("ls-files").current_dir(root()).output() else { return };
    for name in String::from_utf8(listed.stdout).unwrap().lines() {
        // Not on disk: removed, and not committed yet.
        let Ok(file) = std::fs::metadata(root().join(name)) else { continue };
        assert!(file.len() > 0, "{name} is empty");
    }
}
