//! Files that routes.toml names and that are read whole: secrets, certificates and keys. What is at such a path is not known before, and
//! it may change while it is read: nothing is waited for, and no more is read than such a file may have.

use rustix::fs::OFlags;
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Most bytes of a file. A bundle of all public certificates has a fifth of them.
pub const LARGEST: u64 = 1 << 20;

/// Opens a file. Does not wait for the writer of a pipe, and does not open a device: that alone may do something.
///
/// # Errors
/// There is no such file, it may not be read, or it is none.
pub fn open(path: &Path) -> Result<File> {
    check(&std::fs::metadata(path)?)?;
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).map_err(|_| Error::from(ErrorKind::Unsupported))?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    // Another one may be there by now.
    check(&file.metadata()?)?;
    Ok(file)
}

/// Reads a file.
///
/// # Errors
/// See [`open`]; or it has more than [`LARGEST`] bytes.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::other(format!("it has more than {} KiB, expected a short text", LARGEST >> 10)));
    }
    Ok(bytes)
}

fn check(about: &Metadata) -> Result<()> {
    match other(about.file_type()) {
        None => Ok(()),
        Some(what) => Err(Error::other(format!("it is {what}, expected a file"))),
    }
}

/// The kind of a path that is no file, with its article.
fn other(kind: FileType) -> Option<&'static str> {
    match kind {
        kind if kind.is_file() => None,
        kind if kind.is_dir() => Some("a directory"),
        kind if kind.is_fifo() => Some("a named pipe"),
        kind if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    }
}

/// The kind of a path that a library would wait for when it reads it, with its article; `None` for files, for directories, and for
/// what is not there.
pub(crate) fn endless(path: &Path) -> Option<&'static str> {
    let kind = std::fs::metadata(path).ok()?.file_type();
    other(kind).filter(|_| !kind.is_dir())
}
