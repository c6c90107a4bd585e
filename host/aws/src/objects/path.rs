//! Paths of objects: the same rules as for directories, so that a route can change from one to the other.

/// Longest key of an object, bytes.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>, November 2026.
const KEY_LIMIT: usize = 1024;

/// Refuses a path that can never work.
///
/// # Errors
/// Why.
pub fn check(prefix: &str, path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("it is empty");
    }
    if prefix.len().saturating_add(path.len()) > KEY_LIMIT {
        return Err("with the prefix of its store it is longer than 1024 bytes");
    }
    if path.chars().any(char::is_control) || path.contains('\\') {
        return Err("control characters and backslashes are not allowed");
    }
    for segment in path.split('/') {
        match segment {
            "" => return Err("it has an empty segment: it is relative, and / stands between names only"),
            "." | ".." => return Err("it has a segment \".\" or \"..\""),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_path_stays_below_its_prefix() {
        assert_eq!(check("lake/", "dt=2026-11-22/a.parquet"), Ok(()));
        for bad in ["", "/a", "a//b", "../a", "a/./b", "a\\b", "a\nb"] {
            assert!(check("lake/", bad).is_err(), "{bad:?}");
        }
        assert!(check(&"p".repeat(1000), &"x".repeat(24)).is_ok());
        assert!(check(&"p".repeat(1000), &"x".repeat(25)).is_err());
    }
}
