//! Paths of objects in directories: those of every store, but for the names that the store itself uses.

use super::STAGING;
use esclusa_flow::object_path;

/// Refuses a path that can never work.
///
/// # Errors
/// Why.
pub(super) fn check(path: &str) -> Result<(), String> {
    if path.split('/').any(|segment| segment == STAGING) {
        return Err(format!("{STAGING:?} is used by the store"));
    }
    object_path::check(path)
}
