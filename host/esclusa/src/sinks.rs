//! Sinks outside of the engine and AWS: standard output, files, webhooks and mail. All are at-least-once: after a
//! crash between a send and its confirmation the message is sent again, with the same message id.

pub(crate) mod append_file;
pub(crate) mod console;
pub(crate) mod smtp;
pub(crate) mod webhook;

use esclusa_flow::hidden_text::{escape_hidden, is_hidden};

/// A message as one line of text: JSON stays JSON, text that is one printable line stays as it is, everything else
/// becomes a JSON string. Control characters of a guest never reach a terminal.
#[must_use]
pub(crate) fn line(data: &[u8]) -> String {
    let text = String::from_utf8_lossy(data);
    if !text.chars().any(is_hidden) {
        return text.into_owned();
    }
    if serde_json::from_slice::<&serde_json::value::RawValue>(data).is_ok() {
        // Raw control characters in valid JSON are white space between tokens.
        return escape(&text.replace(['\n', '\r', '\t'], " "));
    }
    escape(&serde_json::to_string(&text).unwrap_or_default())
}

/// JSON on one line, with its hidden characters escaped.
fn escape(json: &str) -> String {
    // JSON allows this one in its strings, as it is.
    escape_hidden(json).replace('\u{7f}', "\\u007f")
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
        assert_eq!(line("a\u{9b}31m\u{200b}\u{7f}b".as_bytes()), "\"a\\u009b31m\\u200b\\u007fb\"");
        assert_eq!(
            line("{\"a\":\r\n\t\"\u{85}\u{e0041}\u{7f}\"}".as_bytes()),
            "{\"a\":   \"\\u0085\\udb40\\udc41\\u007f\"}"
        );
    }
}
