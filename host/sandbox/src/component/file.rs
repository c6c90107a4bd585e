//! Reads a plugin's file: a file, no larger than a plugin may be. Its size is asked before a byte is read.

use super::{LoadError, MAX_FILE};
use std::fs::{File, FileType, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// The bytes of a plugin's file. Blocks as long as the disk does, and on nothing else.
///
/// # Errors
/// [`LoadError::Read`], [`LoadError::NoFile`] or [`LoadError::TooLarge`].
pub fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let unreadable = |source: io::Error| LoadError::Read { path: path.to_owned(), source };
    // Before it is opened: to open a pipe waits for its writer.
    sound(path, &std::fs::metadata(path).map_err(unreadable)?)?;
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_FILE { Err(LoadError::TooLarge) } else { Ok(bytes) }
}

fn sound(path: &Path, meta: &Metadata) -> Result<(), LoadError> {
    if let Some(what) = other(meta.file_type()) {
        return Err(LoadError::NoFile { path: path.to_owned(), what });
    }
    if meta.len() > MAX_FILE as u64 { Err(LoadError::TooLarge) } else { Ok(()) }
}

/// What it is, if it is no file.
fn other(kind: FileType) -> Option<&'static str> {
    match kind {
        kind if kind.is_file() => None,
        kind if kind.is_dir() => Some("a directory"),
        kind if kind.is_fifo() => Some("a named pipe"),
        kind if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    }
}
