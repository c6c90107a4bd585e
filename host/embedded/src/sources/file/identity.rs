//! Identity of a file: how many files the path led to before, a digest of the file's first bytes when it was read,
//! and its inode, which distinguishes files that begin alike.

use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Result};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Bytes that are remembered, at most.
const HEAD: u64 = 4096;

/// The first bytes of a file as a digest: of all that was read of it, up to 4 KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    /// How many files were read under this path before.
    pub generation: u64,
    length: u64,
    digest: [u8; 32],
    /// 0: not known.
    inode: u64,
}

impl FileIdentity {
    /// The identity of a file of which nothing was read: every file matches it.
    pub(crate) fn any(generation: u64) -> Self {
        FileIdentity { generation, length: 0, digest: digest(&[]), inode: 0 }
    }

    /// True if the file still begins with the bytes of the digest.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn matches(&self, file: &File) -> Result<bool> {
        let head = head(file, self.length)?;
        Ok(head.len() as u64 == self.length && digest(&head) == self.digest)
    }

    /// The identity to store once the file was read up to `end`; `None` if it is stored already.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn widened(&self, file: &File, end: u64) -> Result<Option<Self>> {
        if self.length >= end.min(HEAD) {
            return Ok(None);
        }
        let head = head(file, end.min(HEAD))?;
        let inode = file.metadata()?.ino();
        Ok(Some(FileIdentity { generation: self.generation, length: head.len() as u64, digest: digest(&head), inode }))
    }

    /// The file that `path` led to, if it was renamed within its directory and holds at least `length` bytes: the
    /// file with its inode, otherwise the newest one with the same beginning.
    pub(crate) fn renamed(&self, path: &Path, length: u64) -> Option<PathBuf> {
        let candidate = |other: PathBuf| {
            let file = super::lines::open(&other).ok()?;
            let about = file.metadata().ok()?;
            let it = about.len() >= length && self.matches(&file).ok()?;
            it.then(|| (about.ino() == self.inode, about.modified().ok(), other))
        };
        siblings(path).into_iter().filter_map(candidate).max().map(|(_, _, other)| other)
    }

    /// True if `file`, which `path` leads to, is another file that begins alike, and the one that was read lies
    /// beside it.
    pub(crate) fn lies_beside(&self, path: &Path, file: &File) -> bool {
        let inode = |file: &Path| std::fs::metadata(file).map(|about| about.ino()).ok();
        let elsewhere = self.inode != 0 && file.metadata().is_ok_and(|about| about.ino() != self.inode);
        elsewhere && siblings(path).iter().any(|other| inode(other) == Some(self.inode))
    }

    /// As bytes.
    pub(crate) fn write(&self) -> Vec<u8> {
        [&self.generation.to_be_bytes()[..], &self.length.to_be_bytes(), &self.inode.to_be_bytes(), &self.digest]
            .concat()
    }

    /// The identity that [`Self::write`] wrote.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (generation, rest) = bytes.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let (inode, digest) = rest.split_first_chunk::<8>()?;
        let [generation, length, inode] = [generation, length, inode].map(|bytes| u64::from_be_bytes(*bytes));
        Some(FileIdentity { generation, length, digest: digest.try_into().ok()?, inode })
    }
}

/// Files beside `path` with longer names, as rotation gives them (`events.jsonl.1`).
fn siblings(path: &Path) -> Vec<PathBuf> {
    let Some(name) = path.file_name().map(OsStr::as_encoded_bytes) else { return Vec::new() };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let others = std::fs::read_dir(directory).into_iter().flatten().flatten().filter(|entry| {
        let other = entry.file_name();
        other.len() > name.len() && other.as_encoded_bytes().starts_with(name)
    });
    others.map(|entry| entry.path()).collect()
}

/// Files beside `path` that were written to after `file`: rotation may have put them between the two.
pub(crate) fn newer(path: &Path, file: &File) -> Vec<PathBuf> {
    let modified = |file: &Path| -> Option<SystemTime> { std::fs::metadata(file).ok()?.modified().ok() };
    let Some(last) = file.metadata().ok().and_then(|about| about.modified().ok()) else { return Vec::new() };
    siblings(path).into_iter().filter(|other| modified(other).is_some_and(|time| time > last)).collect()
}

fn digest(head: &[u8]) -> [u8; 32] {
    Sha256::digest(head).into()
}

/// The first bytes of a file, so many or fewer, wherever it is being read.
fn head(file: &File, length: u64) -> Result<Vec<u8>> {
    let mut head = vec![0; length as usize];
    let mut filled = 0;
    while let Some(rest) = head.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    head.truncate(filled);
    Ok(head)
}
