//! Paths of objects: which ones there can be, in directories and in S3 alike, so that a route can change from one to the other.
//!
//! A path that no store can take is refused with the event that caused it. A store that tried it would fail each time, and
//! the lane would stand still.

use crate::bounds::PATH_BYTES;
use crate::effect::PutObject;

/// Names of a path: each is a directory, which somebody has to make, sync and read.
pub const SEGMENTS: usize = 32;
/// Bytes of one name. Linux takes as many (`NAME_MAX`).
pub const SEGMENT_BYTES: usize = 255;
/// Bytes of a content type: twice of what RFC 6838, section 4.2, allows without parameters.
const CONTENT_TYPE_BYTES: usize = 255;

/// Refuses an object whose path or content type can never work.
///
/// # Errors
/// Names the path, and what is wrong.
pub fn check_object(object: &PutObject) -> Result<(), String> {
    check_content_type(&object.content_type)
        .and_then(|()| check(&object.path))
        .map_err(|why| format!("object path {:?} of store {:?}: {why}", abridged(&object.path), object.store))
}

/// Refuses a path that can never work.
///
/// # Errors
/// Why.
pub fn check(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("it is empty".to_owned());
    }
    if path.len() > PATH_BYTES {
        return Err(format!("it has {} bytes, at most {PATH_BYTES} are taken", path.len()));
    }
    if path.chars().any(char::is_control) || path.contains('\\') {
        return Err("control characters and backslashes are not allowed".to_owned());
    }
    let segments = path.split('/').count();
    if segments > SEGMENTS {
        return Err(format!("it has {segments} segments, at most {SEGMENTS} are taken"));
    }
    path.split('/').try_for_each(check_segment)
}

fn check_segment(segment: &str) -> Result<(), String> {
    match segment {
        "" => Err("it has an empty segment: it is relative, and / stands between names only".to_owned()),
        "." | ".." => Err("it has a segment \".\" or \"..\"".to_owned()),
        _ if segment.len() > SEGMENT_BYTES => Err(format!("a segment is longer than {SEGMENT_BYTES} bytes")),
        _ => Ok(()),
    }
}

/// A content type is the value of a header.
fn check_content_type(content_type: &str) -> Result<(), String> {
    if content_type.len() <= CONTENT_TYPE_BYTES && content_type.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Ok(());
    }
    let most = CONTENT_TYPE_BYTES;
    Err(format!("the content type {:?} is not up to {most} visible ASCII characters", abridged(content_type)))
}

/// The beginning of a text that may be any length.
fn abridged(text: &str) -> &str {
    text.get(..text.floor_char_boundary(SEGMENT_BYTES)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_store_can_take_is_taken_and_nothing_else() {
        let segments = |count: usize| vec!["a"; count].join("/");
        for good in ["a", "dt=2026-11-22/a.parquet", "…/ü", &segments(SEGMENTS), &"x".repeat(SEGMENT_BYTES)] {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
        for bad in ["", "/a", "a/", "a//b", "../a", "a/./b", "a\\b", "a\nb", "a\u{9b}b", "a\0b"] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        assert!(check(&segments(SEGMENTS + 1)).is_err());
        assert!(check(&"x".repeat(SEGMENT_BYTES + 1)).is_err());
        // Sixteen names of 63 bytes, each with its slash: the last one may have another byte.
        let names = format!("{}/", "n".repeat(63)).repeat(15);
        assert_eq!(check(&format!("{names}{}", "n".repeat(64))), Ok(()));
        assert!(check(&format!("{names}{}", "n".repeat(65))).is_err());
    }

    #[test]
    fn a_content_type_that_is_no_header_is_refused_with_a_short_message() {
        let object = |content_type: &str, path: &str| PutObject {
            store: "lake".to_owned(),
            path: path.to_owned(),
            content_type: content_type.to_owned(),
            bytes: Vec::new(),
        };
        for good in ["", "text/plain; charset=utf-8"] {
            assert_eq!(check_object(&object(good, "a")), Ok(()));
        }
        for bad in ["text/plain\r\nx-amz-acl: public-read", "text/\u{fc}", "a\tb", &"x".repeat(256)] {
            assert!(check_object(&object(bad, "a")).is_err(), "{bad:?}");
        }
        assert!(check_object(&object("\u{fc}".repeat(100_000).as_str(), "a")).unwrap_err().len() < 1_000);
        assert!(check_object(&object("", "\u{fc}/".repeat(100_000).as_str())).unwrap_err().len() < 1_000);
    }
}
