//! Strings as JSON writes them, for documents that are put together by hand. Reading JSON is left to `serde_json`, and to the
//! scanners of filters and of the SDK, which do not copy a payload.

use std::fmt::Write;

/// Appends a text as a JSON string, in quotes.
pub fn write_text(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    // Most texts have nothing to escape: they are appended as a whole.
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, ..b' ' | b'"' | b'\\')) {
        out.push_str(rest.get(..at).unwrap_or_default());
        match rest.as_bytes().get(at) {
            Some(b'"') => out.push_str("\\\""),
            Some(b'\\') => out.push_str("\\\\"),
            Some(b'\n') => out.push_str("\\n"),
            Some(b'\r') => out.push_str("\\r"),
            Some(b'\t') => out.push_str("\\t"),
            Some(control) => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{control:04x}");
            }
            None => {}
        }
        rest = rest.get(at + 1..).unwrap_or_default();
    }
    out.push_str(rest);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_must_be_escaped_is_escaped() {
        let mut out = String::from("[");
        write_text("a\"b\\c\n\r\t\u{0}\u{1f}/\u{7f}é", &mut out);
        assert_eq!(out, "[\"a\\\"b\\\\c\\n\\r\\t\\u0000\\u001f/\u{7f}é\"");
    }

    proptest! {
        #[test]
        fn serde_json_reads_back_what_is_written(text in prop_oneof![any::<String>(), "[\\x00-\\x7f]{0,20}"]) {
            let mut out = String::new();
            write_text(&text, &mut out);
            prop_assert_eq!(serde_json::from_str::<String>(&out).ok(), Some(text));
        }
    }
}
