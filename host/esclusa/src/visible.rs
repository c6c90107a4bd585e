//! A writer for what people read, on a terminal or in a log: characters that could fool them are escaped on the way.

use esclusa_flow::hidden_text::escape_hidden;
use std::io::{self, Write};

/// Writes text on, with hidden characters beyond ASCII as JSON escapes them. JSON and line breaks stay as they are.
pub(crate) struct VisibleWriter<W: Write> {
    out: W,
    /// The beginning of a character whose end has not come yet.
    begun: Vec<u8>,
}

impl<W: Write> VisibleWriter<W> {
    /// Writes to `out`.
    pub(crate) fn new(out: W) -> Self {
        VisibleWriter { out, begun: Vec::new() }
    }
}

impl<W: Write> Write for VisibleWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.out.write_all(escape_hidden(chunk.valid()).as_bytes())?;
            let half = std::str::from_utf8(chunk.invalid()).is_err_and(|error| error.error_len().is_none());
            if half && chunks.peek().is_none() {
                self.begun = chunk.invalid().to_vec();
            } else {
                self.out.write_all(chunk.invalid())?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&std::mem::take(&mut self.begun))?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_wherever_it_is_cut() {
        let text = "{\"a\":\"\u{9b}31m ü \u{202e}\u{1f600}\u{e0041}\"}\n".as_bytes();
        for cut in 0..=text.len() {
            let mut out = Vec::new();
            let mut writer = VisibleWriter::new(&mut out);
            let (first, second) = text.split_at(cut);
            writer.write_all(first).unwrap();
            writer.write_all(second).unwrap();
            writer.flush().unwrap();
            let expected = "{\"a\":\"\\u009b31m ü \\u202e\u{1f600}\\udb40\\udc41\"}\n";
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{cut}");
        }
        let mut out = Vec::new();
        let mut writer = VisibleWriter::new(&mut out);
        writer.write_all(b"a\xff\xe2\x80b\xe2").unwrap();
        writer.flush().unwrap();
        assert_eq!(out, b"a\xff\xe2\x80b\xe2", "what is no text stays");
    }
}
