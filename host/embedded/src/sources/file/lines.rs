//! Lines of a file with their positions. Empty lines are passed over, and so are byte order marks and NULs in front of a
//! line: a writer that goes on at its old offset after the file was truncated leaves NULs there.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// Longest line, bytes: far more than any event.
pub const LONGEST: usize = 64 << 20;
/// Bytes read at once.
const CHUNK: usize = 256 << 10;

/// A byte order mark: some programs begin a text with it, and it is no part of the text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The text of a line: without byte order marks and NULs in front of it.
#[must_use]
pub fn line_text(mut line: &[u8]) -> &[u8] {
    while let Some(rest) = line.strip_prefix(BYTE_ORDER_MARK).or_else(|| line.strip_prefix(b"\0")) {
        line = rest;
    }
    line
}

/// A file that is read line by line.
pub(crate) struct FileLines {
    file: File,
    /// Where `buffer` begins in the file.
    base: u64,
    buffer: Vec<u8>,
    /// How much of `buffer` was taken.
    taken: usize,
    peeked: Option<(usize, usize, usize)>,
}

/// A line.
pub(crate) struct FileLine<'a> {
    /// Its offset.
    pub start: u64,
    /// Offset of the line behind it.
    pub end: u64,
    /// It, without its end.
    pub bytes: &'a [u8],
}

/// How compressed files begin, and their names.
const COMPRESSED: [(&[u8], &str); 3] = [(b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ\0", "xz")];

/// Opens a regular file of lines. A pipe is refused: opening it would block until another process writes to it. A
/// compressed file is refused, too: each of its "lines" would be a dead letter.
pub(crate) fn open(path: &Path) -> std::io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let file = File::open(path)?;
    let mut head = [0; 6];
    let read = file.read_at(&mut head, 0)?;
    let head = head.get(..read).unwrap_or_default();
    match COMPRESSED.iter().find(|(magic, _)| head.starts_with(magic)) {
        None => Ok(file),
        Some((_, kind)) => {
            let why = format!("it is compressed ({kind}): decompress it first, or send its lines with `esclusa send`");
            Err(Error::new(ErrorKind::InvalidData, why))
        }
    }
}

impl FileLines {
    /// Reads a file from an offset on.
    pub(crate) fn new(mut file: File, position: u64) -> std::io::Result<Self> {
        file.seek(SeekFrom::Start(position))?;
        Ok(FileLines { file, base: position, buffer: Vec::new(), taken: 0, peeked: None })
    }

    /// The file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Where the next line begins.
    pub(crate) fn position(&self) -> u64 {
        self.base + self.taken as u64
    }

    /// Goes to a position that was taken since the last [`Self::peek`] that read from the file.
    pub(crate) fn rewind(&mut self, position: u64) {
        self.peeked = None;
        match position.checked_sub(self.base).and_then(|taken| usize::try_from(taken).ok()) {
            Some(taken) if taken <= self.buffer.len() => self.taken = taken,
            _ => self.read_again_from(position),
        }
    }

    fn read_again_from(&mut self, position: u64) {
        self.buffer.clear();
        self.taken = 0;
        self.base = position;
        // An error here comes again with the next read.
        let _ = self.file.seek(SeekFrom::Start(position));
    }

    /// The next line that is not empty. `last_too`: also a last line without an end of line.
    pub(crate) fn peek(&mut self, last_too: bool) -> std::io::Result<Option<FileLine<'_>>> {
        if self.peeked.is_none() {
            self.peeked = self.find(last_too)?;
        }
        let Some((start, end, next)) = self.peeked else { return Ok(None) };
        let bytes = self.buffer.get(start..end).unwrap_or_default();
        Ok(Some(FileLine { start: self.base + start as u64, end: self.base + next as u64, bytes }))
    }

    /// Takes the line that was peeked at.
    pub(crate) fn advance(&mut self) {
        if let Some((_, _, next)) = self.peeked.take() {
            self.taken = next;
        }
    }

    /// Start, end and next line of the next line that is not empty, in `buffer`.
    fn find(&mut self, last_too: bool) -> std::io::Result<Option<(usize, usize, usize)>> {
        // NULs are kept in the position until something follows them: space that was set aside for a file is filled later.
        let mut passed = self.position();
        let mut searched = self.taken;
        loop {
            let nuls = self.buffer.get(self.taken..).unwrap_or_default().iter().take_while(|byte| **byte == 0).count();
            self.taken += nuls;
            searched = searched.max(self.taken);
            let rest = self.buffer.get(searched..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', rest) {
                let (start, end) = (self.taken, searched + at);
                let line = self.buffer.get(start..end).unwrap_or_default();
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let text = line_text(line);
                if !text.is_empty() {
                    return Ok(Some((start + line.len() - text.len(), start + line.len(), end + 1)));
                }
                self.taken = end + 1;
                searched = self.taken;
                passed = self.position();
                continue;
            }
            searched = self.buffer.len();
            if searched - self.taken > LONGEST {
                let at = self.position();
                let why = format!(
                    "the line at byte {at} is longer than 64 MiB: nothing is read from there on until it is gone"
                );
                return Err(Error::new(ErrorKind::InvalidData, why));
            }
            let dropped = self.taken;
            if !self.read_more()? {
                let line = self.buffer.get(self.taken..self.last_end()).unwrap_or_default();
                let text = line_text(line);
                if last_too && !text.is_empty() {
                    return Ok(Some((self.last_end() - text.len(), self.last_end(), self.buffer.len())));
                }
                // The process that writes the file may still change half a line: it is read again.
                let at = if self.taken == self.buffer.len() { passed } else { self.position() };
                self.read_again_from(at);
                return Ok(None);
            }
            searched -= dropped - self.taken;
        }
    }

    fn last_end(&self) -> usize {
        self.buffer.len() - usize::from(self.buffer.ends_with(b"\r"))
    }

    /// Reads a chunk and drops the lines that were taken; false at the end of the file.
    fn read_more(&mut self) -> std::io::Result<bool> {
        self.buffer.drain(..self.taken);
        self.base += self.taken as u64;
        self.taken = 0;
        let before = self.buffer.len();
        self.buffer.reserve(CHUNK);
        let read = (&mut self.file).take(CHUNK as u64).read_to_end(&mut self.buffer)?;
        debug_assert_eq!(before + read, self.buffer.len());
        Ok(read > 0)
    }

    /// True if the path leads to another file now.
    pub(crate) fn replaced(&self, path: &Path) -> bool {
        let (Ok(there), Ok(here)) = (std::fs::metadata(path), self.file.metadata()) else { return false };
        (there.dev(), there.ino()) != (here.dev(), here.ino())
    }

    /// True if the file is shorter than the position: it was truncated.
    pub(crate) fn cut_off(&self) -> bool {
        self.file.metadata().is_ok_and(|here| here.len() < self.position())
    }
}
