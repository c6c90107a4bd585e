//! The bindings in `src/guest/bindings/` are what wit-bindgen makes of the contract. They are committed, because the generator
//! and what it needs take longer to compile than a plugin.
//!
//! `ESCLUSA_BLESS=1 cargo test -p esclusa-plugin --test bindings` makes them anew.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator};
use wit_bindgen_rust::Opts;

/// What wit-bindgen makes of a file or a directory of WIT.
fn generate(wit: &Path, world: &str, opts: Opts) -> String {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut files = Files::default();
    opts.build().generate(&mut resolve, world, &mut files).unwrap();
    let (_, source) = files.iter().next().unwrap();
    String::from_utf8(source.to_vec()).unwrap()
}

fn same(file: &str, about: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guest/bindings").join(file);
    let allowed = "#![allow(missing_docs, unreachable_pub, unsafe_code, unused, clippy::all, clippy::allow_attributes, clippy::allow_attributes_without_reason)]";
    let text = format!("//! {about} Made by `tests/bindings.rs`.\n{allowed}\n\n{generated}");
    if std::env::var_os("ESCLUSA_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == text, "{file} is not what the contract gives: run this test with ESCLUSA_BLESS=1");
}

#[test]
fn the_bindings_are_those_of_the_contract() {
    let opts = Opts {
        format: true,
        skip: ["handle", "init", "describe"].map(str::to_owned).to_vec(),
        pub_export_macro: true,
        default_bindings_module: Some("esclusa_plugin::guest".to_owned()),
        ..Opts::default()
    };
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let about = "What a plugin imports, and the description of its type: the contract in `wit/`.";
    same("contract.rs", about, &generate(&wit, "plugin", opts));
}

#[test]
fn the_bindings_of_standard_error_are_those_of_wasi() {
    let opts = Opts { format: true, generate_all: true, ..Opts::default() };
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("wit/stderr.wit");
    same("stderr.rs", "Standard error alone: `wit/stderr.wit`.", &generate(&wit, "log", opts));
}

/// The lines of a directory of WIT by file, without comments and blanks.
fn declarations(directory: &Path) -> BTreeMap<String, Vec<String>> {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "wit"));
    files
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let lines = text.lines().map(|line| line.split("//").next().unwrap().trim().to_owned());
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, lines.filter(|line| !line.is_empty()).collect())
        })
        .collect()
}

#[test]
fn the_contract_does_not_change_any_more() {
    // What comes later is a new interface beside these, so that components that are built stay good until 1.0.
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let frozen = declarations(&wit.join("frozen/0.2.0"));
    assert!(frozen.len() >= 10, "{frozen:?}");
    let now = declarations(&wit);
    for (file, lines) in &frozen {
        if file == "world.wit" {
            // A world may import more; a component that does not know of it does not import it.
            assert!(
                lines.iter().all(|line| now.get(file).is_some_and(|now| now.contains(line))),
                "{file} lacks a line"
            );
        } else {
            assert_eq!(now.get(file), Some(lines), "{file} differs from wit/frozen/0.2.0");
        }
    }
}
