//! Paths that are one and the same only by a symbolic link.

use esclusa_config::{Code, parse};
use std::os::unix::fs::symlink;
use std::path::Path;

const ROUTE: &str = "[[route]]\nname = \"r\"\nsource = \"s\"\nplugin = \"a.wasm\"\n";

/// The errors of a text in a directory.
fn errors(dir: &Path, text: &str) -> Vec<Code> {
    match parse(text, "routes.toml", dir, &|_| None) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.0.iter().map(|problem| problem.code).collect(),
    }
}

#[test]
fn a_directory_of_objects_that_leads_to_the_engine_by_a_link_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (home, elsewhere) = (dir.path().join("home"), dir.path().join("elsewhere"));
    std::fs::create_dir_all(home.join("data/db")).unwrap();
    std::fs::create_dir_all(elsewhere.join("lake")).unwrap();
    symlink(&home, elsewhere.join("home")).unwrap();
    symlink(home.join("data"), elsewhere.join("data")).unwrap();
    symlink("home/store", dir.path().join("early")).unwrap();
    let objects = |engine: &str, path: &str| {
        let text = format!(
            "version = 1\n[engine]\npath = \"{engine}\"\n[objects.lake]\nkind = \"directory\"\npath = \"{path}\"\n\
             [source.s]\nkind = \"stream\"\n{ROUTE}objects = [\"lake\"]\n"
        );
        errors(&home, &text)
    };
    for (engine, path) in [
        ("data", "../elsewhere/data"),
        ("data", "../elsewhere/data/db/new/lake"),
        ("data", "../elsewhere/home"),
        // The engine's path has the link, or what the link leads to does not exist yet.
        ("../elsewhere/data", "data"),
        ("../early", "store/db"),
        ("store", "../early"),
    ] {
        assert_eq!(objects(engine, path), [Code::OBJECTS_EXPOSED], "{engine} {path}");
    }
    for path in ["../elsewhere/lake", "../elsewhere/data/lake", "lake"] {
        assert_eq!(objects("data", path), [], "{path}");
    }
}

#[test]
fn a_file_that_is_read_and_written_by_a_link_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("logs")).unwrap();
    symlink("logs", dir.path().join("link")).unwrap();
    let files = |from: &str, to: &str| {
        let text = format!(
            "version = 1\n[source.s]\nkind = \"file\"\npath = \"{from}\"\n[output.o]\nkind = \"file\"\npath = \"{to}\"\n{ROUTE}\
             outputs = [\"o\"]\n"
        );
        errors(dir.path(), &text).contains(&Code::SOURCE_FILE_LOOP)
    };
    assert!(files("logs/a.jsonl", "link/a.jsonl") && files("link/a.jsonl", "logs/a.jsonl"));
    assert!(!files("logs/a.jsonl", "link/b.jsonl"));
}
