//! House rules on modules and names: no two modules of a crate import each other, few types share their name, and the rooms
//! in ARCHITECTURE.md are those on disk.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use syn::visit::Visit;

type Module = Vec<String>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Our crates, by their folder.
fn crates() -> Vec<String> {
    let mut crates = Vec::new();
    for group in ["host", "plugins"] {
        for entry in std::fs::read_dir(root().join(group)).unwrap() {
            let path = entry.unwrap().path();
            if path.join("src").is_dir() {
                crates.push(path.strip_prefix(root()).unwrap().display().to_string());
            }
        }
    }
    crates.sort();
    assert!(crates.len() > 12, "found {crates:?}");
    crates
}

/// The production files of a crate, parsed, by module; without what a test generates.
fn files(name: &str) -> BTreeMap<Module, syn::File> {
    let source = root().join(name).join("src");
    let (mut files, mut folders) = (BTreeMap::new(), vec![source.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let relative = path.strip_prefix(&source).unwrap().with_extension("");
            let mut module: Module = relative.iter().map(|step| step.to_string_lossy().into_owned()).collect();
            let generated = module.iter().any(|step| step == "bindings");
            if path.extension().is_none_or(|end| end != "rs") || generated || module.iter().any(|step| step == "tests")
            {
                continue;
            }
            if matches!(module[..], [ref only] if only == "lib" || only == "main") {
                module.clear();
            }
            let file = syn::parse_file(&std::fs::read_to_string(&path).unwrap()).unwrap();
            files.entry(module).or_insert(file);
        }
    }
    files
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
    })
}

/// The paths and the types of a module.
#[derive(Default)]
struct Found {
    /// Paths that it names, from `crate`, `self` or `super` on, or as `use` has them.
    paths: Vec<Vec<String>>,
    /// What its `use` brings in, by name.
    names: BTreeMap<String, Vec<String>>,
    types: Vec<String>,
}

impl Found {
    fn tree(&mut self, tree: &syn::UseTree, before: &[String]) {
        let mut path = before.to_vec();
        match tree {
            syn::UseTree::Path(step) => {
                path.push(step.ident.to_string());
                self.tree(&step.tree, &path);
            }
            syn::UseTree::Name(name) if name.ident == "self" => self.name(before.last().cloned(), path),
            syn::UseTree::Name(name) => {
                path.push(name.ident.to_string());
                self.name(Some(name.ident.to_string()), path);
            }
            syn::UseTree::Rename(renamed) => {
                path.push(renamed.ident.to_string());
                self.name(Some(renamed.rename.to_string()), path);
            }
            syn::UseTree::Glob(_) => self.paths.push(path),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(tree, before)),
        }
    }

    fn name(&mut self, name: Option<String>, path: Vec<String>) {
        self.names.extend(name.map(|name| (name, path.clone())));
        self.paths.push(path);
    }
}

impl<'ast> Visit<'ast> for Found {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let (attributes, named) = match item {
            syn::Item::Mod(item) => (&item.attrs, None),
            syn::Item::Fn(item) => (&item.attrs, None),
            syn::Item::Impl(item) => (&item.attrs, None),
            syn::Item::Use(item) => (&item.attrs, None),
            syn::Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Type(item) => (&item.attrs, Some(&item.ident)),
            _ => return syn::visit::visit_item(self, item),
        };
        if !is_for_tests(attributes) {
            self.types.extend(named.map(ToString::to_string));
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let steps: Vec<String> = path.segments.iter().map(|step| step.ident.to_string()).collect();
        if steps.first().is_some_and(|first| matches!(first.as_str(), "crate" | "self" | "super")) {
            self.paths.push(steps);
        }
        syn::visit::visit_path(self, path);
    }
}

fn found(name: &str) -> BTreeMap<Module, Found> {
    let mut all = BTreeMap::new();
    for (module, file) in files(name) {
        let mut found = Found::default();
        found.visit_file(&file);
        all.insert(module, found);
    }
    all
}

/// The module that a path of module `at` leads to; `None`: it leads out of the crate. An item that a module passes on by `use`
/// belongs to the module that has it.
fn resolve(all: &BTreeMap<Module, Found>, at: &Module, path: &[String], depth: u8) -> Option<Module> {
    let (mut now, mut inside) = (at.clone(), false);
    for (n, step) in path.iter().enumerate() {
        match step.as_str() {
            "crate" => now = Module::new(),
            "self" => {}
            "super" => drop(now.pop()),
            _ => {
                let mut next = now.clone();
                next.push(step.clone());
                let passed_on = all.get(&now).and_then(|found| found.names.get(step)).filter(|_| inside && depth < 8);
                if all.contains_key(&next) {
                    now = next;
                } else if let Some(from) = passed_on {
                    let rest: Vec<String> = from.iter().chain(path.get(n + 1..)?).cloned().collect();
                    return resolve(all, &now, &rest, depth + 1);
                } else {
                    return inside.then_some(now);
                }
            }
        }
        inside = true;
    }
    Some(now)
}

#[test]
fn no_two_modules_of_a_crate_import_each_other() {
    let (mut pairs, mut edges) = (Vec::new(), 0);
    for name in crates() {
        let all = found(&name);
        let mut imports = BTreeSet::new();
        for (at, found) in &all {
            for module in found.paths.iter().filter_map(|path| resolve(&all, at, path, 0)) {
                let shared = at.iter().zip(&module).take_while(|(a, b)| a == b).count();
                if shared < at.len().min(module.len()) {
                    imports.insert((at[..=shared].join("::"), module[..=shared].join("::")));
                }
            }
        }
        edges += imports.len();
        let mutual = imports.iter().filter(|(a, b)| a < b && imports.contains(&(b.clone(), a.clone())));
        pairs.extend(mutual.map(|(a, b)| format!("{name}: {a} and {b}")));
    }
    assert!(edges > 300, "found {edges} imports only");
    assert!(pairs.is_empty(), "move what both need to a place that both can see: {pairs:#?}");
}

#[test]
fn type_names_can_be_told_apart_in_a_search() {
    let mut bearers: BTreeMap<String, usize> = BTreeMap::new();
    for name in crates() {
        for found in found(&name).into_values() {
            found.types.into_iter().for_each(|name| *bearers.entry(name).or_default() += 1);
        }
    }
    let all: usize = bearers.values().sum();
    bearers.retain(|_, count| *count >= 3);
    let shared: usize = bearers.values().sum();
    assert!(all > 700, "found {all} types only");
    assert!(shared * 100 <= all * 9, "{shared} of {all} types bear a name that three or more bear: {bearers:?}");
}

/// The rooms of a crate: the modules at its top.
fn rooms(name: &str) -> BTreeSet<String> {
    let modules = files(name).into_keys();
    modules.filter_map(|module| module.into_iter().next()).filter(|room| !room.starts_with("main")).collect()
}

#[test]
fn the_rooms_in_the_architecture_are_those_on_disk() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let section = text.split("\n## Rooms\n").nth(1).expect("a section Rooms").split("\n## ").next().unwrap();
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut crate_name = String::new();
    for line in section.lines() {
        if let Some(name) = line.strip_prefix("### `").and_then(|line| line.strip_suffix('`')) {
            name.clone_into(&mut crate_name);
        } else if let Some(rest) = line.strip_prefix("- `") {
            let names = rest
                .split(':')
                .next()
                .unwrap()
                .split('`')
                .filter(|part| part.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
            told.entry(crate_name.clone())
                .or_default()
                .extend(names.filter(|name| !name.is_empty()).map(str::to_owned));
        }
    }
    let disk: BTreeMap<String, BTreeSet<String>> = crates()
        .into_iter()
        .filter(|name| !name.starts_with("plugins/") || name == "plugins/sdk")
        .map(|name| (name.clone(), rooms(&name)))
        .collect();
    for (name, rooms) in disk {
        assert_eq!(told.remove(&name).unwrap_or_default(), rooms, "left: ARCHITECTURE.md, right: {name}/src");
    }
    assert!(told.is_empty(), "crates that are not there: {told:?}");
}
