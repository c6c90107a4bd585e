//! Escapes text of a guest, so that it can be shown in a terminal, a log and a web page's source.

use esclusa_flow::hidden_text::is_hidden;
use esclusa_flow::verdict::CUT;

/// At most `limit` bytes of `line` as one line of visible text; [`CUT`] marks a cut. Bytes that are not UTF-8,
/// control characters (the escape of ANSI sequences among them) and characters that reorder or hide text are
/// written as escapes.
#[must_use]
pub(crate) fn escape(line: &[u8], limit: usize) -> String {
    let shown = line.get(..limit).unwrap_or(line);
    let mut text = String::with_capacity(shown.len());
    for chunk in shown.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\t' || !is_hidden(c) { text.push(c) } else { text.extend(c.escape_default()) }
        }
        // Half a character at the end is left out if the cut made it.
        if shown.len() == line.len() || !chunk.invalid().is_empty() && !ends_with(shown, chunk.invalid()) {
            text.extend(chunk.invalid().iter().flat_map(|b| b.escape_ascii()).map(char::from));
        }
    }
    if shown.len() < line.len() {
        text.push(CUT);
    }
    text
}

fn ends_with(shown: &[u8], part: &[u8]) -> bool {
    shown.as_ptr_range().end == part.as_ptr_range().end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_stays_as_it_is() {
        assert_eq!(escape("naïve Ünïcode ✓\t\"quoted\" \\".as_bytes(), 100), "naïve Ünïcode ✓\t\"quoted\" \\");
    }

    #[test]
    fn what_could_fool_a_reader_is_escaped() {
        assert_eq!(escape(b"\x1b[2Jgone\r\nINFO forged", 100), "\\u{1b}[2Jgone\\r\\nINFO forged");
        assert_eq!(escape("a\u{202e}b\u{9b}c\u{2028}".as_bytes(), 100), "a\\u{202e}b\\u{9b}c\\u{2028}");
        assert_eq!(escape(b"\xff\xfe!", 100), "\\xff\\xfe!");
    }

    #[test]
    fn a_cut_does_not_leave_half_a_character() {
        assert_eq!(escape("äöü".as_bytes(), 3), "ä…");
        assert_eq!(escape(b"abcdef", 3), "abc…");
    }
}
