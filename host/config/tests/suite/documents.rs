//! The reference pages are made from the code.

use esclusa_config::{codes, reference};
use std::path::Path;

/// Compares a page with its expected text, or writes the page if `ESCLUSA_BLESS` is set.
fn same(page: &str, content: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(page);
    if std::env::var_os("ESCLUSA_BLESS").is_some() {
        std::fs::write(&path, content).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == content, "docs/reference/{page} is stale: ESCLUSA_BLESS=1 cargo test -p esclusa-config");
}

#[test]
fn the_configuration_page_is_current() {
    same("configuration.md", &reference());
}

#[test]
fn the_page_of_errors_is_current() {
    same("errors.md", codes::page());
}

#[test]
fn the_page_of_dead_letters_is_current() {
    same("dead-letters.md", codes::dead_letters());
}

#[test]
fn the_page_of_faults_is_current() {
    same("faults.md", codes::faults());
}

#[test]
fn the_page_of_refused_requests_is_current() {
    same("requests.md", codes::requests());
}
