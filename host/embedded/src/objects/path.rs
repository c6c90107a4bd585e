//! Paths of objects: which ones there can be, and the directories that lead to them.

use super::STAGING;

/// Refuses a path that can never work.
///
/// # Errors
/// Why.
pub(super) fn check(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("it is empty".to_owned());
    }
    if path.chars().any(char::is_control) || path.contains('\\') {
        return Err("control characters and backslashes are not allowed".to_owned());
    }
    for segment in path.split('/') {
        match segment {
            "" => return Err("it has an empty segment: it is relative, and / stands between names only".to_owned()),
            "." | ".." => return Err("it has a segment \".\" or \"..\"".to_owned()),
            STAGING => return Err(format!("{STAGING:?} is used by the store")),
            _ if segment.len() > 255 => return Err("a segment is longer than 255 bytes".to_owned()),
            _ => {}
        }
    }
    Ok(())
}
