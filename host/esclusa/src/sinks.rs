//! Sinks outside of the engine and AWS: standard output, files, webhooks and mail. All are at-least-once: after a
//! crash between a send and its confirmation the message is sent again, with the same message id.

pub(crate) mod append_file;
pub(crate) mod console;
pub(crate) mod smtp;
pub(crate) mod webhook;

/// A message as one line of text: JSON stays JSON, text that is one printable line stays as it is, everything else
/// becomes a JSON string. Control characters of a guest never reach a terminal.
#[must_use]
pub(crate) fn line(data: &[u8]) -> String {
    let text = String::from_utf8_lossy(data);
    if !text.chars().any(|c| c.is_control() || is_bidi(c)) {
        return text.into_owned();
    }
    if serde_json::from_slice::<&serde_json::value::RawValue>(data).is_ok() {
        // Raw control characters in valid JSON are white space between tokens.
        return text.chars().map(|c| if c.is_control() { ' ' } else { c }).flat_map(escape).collect();
    }
    let quoted = serde_json::to_string(&text).unwrap_or_default();
    quoted.chars().flat_map(escape).collect()
}

fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escape(c: char) -> Vec<char> {
    if c.is_control() || is_bidi(c) { format!("\\u{:04x}", c as u32).chars().collect() } else { vec![c] }
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_message_is_one_line_without_control_characters() {
        assert_eq!(line(b"plain"), "plain");
        assert_eq!(line(b"{\n \"a\": 1\n}"), "{  \"a\": 1 }");
        assert_eq!(line(b"two\nlines"), "\"two\\nlines\"");
        assert_eq!(line("\u{1b}[31mred".as_bytes()), "\"\\u001b[31mred\"");
        assert_eq!(line("\"a\u{202e}b\"".as_bytes()), "\"a\\u202eb\"");
    }
}
