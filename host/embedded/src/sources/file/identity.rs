//! Identity of a file: how many files the path led to before, a digest of the file's first bytes when it was read,
//! and its inode, which distinguishes files that begin alike.

use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Result};
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt};
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

    /// The identity of a file of which nothing was read yet, known by its inode alone.
    pub(crate) fn unread(generation: u64, file: &File) -> Result<Self> {
        Ok(FileIdentity { inode: file.metadata()?.ino(), ..Self::any(generation) })
    }

    /// The same, in another file: the copy that was made before the file was truncated.
    pub(crate) fn within(&self, file: &File) -> Result<Self> {
        Ok(FileIdentity { inode: file.metadata()?.ino(), ..self.clone() })
    }

    /// The file that was read, if it was renamed within the directory of `path`, or its copy there, if it was copied and
    /// truncated; it holds at least `length` bytes. The file with its inode comes first, then names of rotation
    /// (`events.jsonl.1`), then the newest one.
    pub(crate) fn rest(&self, path: &Path, length: u64, last: &LastBytes) -> Option<PathBuf> {
        let candidate = |other: Sibling| {
            let file = super::lines::open(&other.path).ok()?;
            let about = file.metadata().ok()?;
            let same_inode = self.inode != 0 && about.ino() == self.inode;
            // Every file begins with nothing: then only the inode tells, and only under a name of rotation, because a
            // deleted file's inode is given to another one.
            let known = self.length > 0 || (same_inode && other.rotated);
            let it = known && about.len() >= length && self.matches(&file).ok()? && last.lie_in(&file).ok()?;
            it.then(|| (same_inode, other.rotated, about.modified().ok(), other.path))
        };
        siblings(path, self.inode).into_iter().filter_map(candidate).max().map(|(.., other)| other)
    }

    /// True if `file`, which `path` leads to, is another file that begins alike, and the one that was read lies
    /// beside it.
    pub(crate) fn lies_beside(&self, path: &Path, file: &File) -> bool {
        let inode = |file: &Path| std::fs::metadata(file).map(|about| about.ino()).ok();
        let elsewhere = self.inode != 0 && file.metadata().is_ok_and(|about| about.ino() != self.inode);
        elsewhere && siblings(path, self.inode).iter().any(|other| inode(&other.path) == Some(self.inode))
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

/// A file beside a path.
struct Sibling {
    path: PathBuf,
    /// Its name is that of the path with a number or a date behind it.
    rotated: bool,
}

/// Files beside `path` whose names rotation may have given (`events.jsonl.1`, `events.2026-11-28.jsonl`), and the one
/// with the inode, whatever its name.
fn siblings(path: &Path, inode: u64) -> Vec<Sibling> {
    let bytes = |name: Option<&'_ OsStr>| name.map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default();
    let (name, stem) = (bytes(path.file_name()), bytes(path.file_stem()));
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let others = std::fs::read_dir(directory).into_iter().flatten().flatten().filter_map(|entry| {
        let other = entry.file_name();
        let other = other.as_encoded_bytes();
        let alike = other != name && other.starts_with(&stem);
        let renamed = other != name && inode != 0 && entry.ino() == inode;
        let rotated = other.strip_prefix(&*name).is_some_and(is_number_or_date);
        (alike || renamed).then(|| Sibling { path: entry.path(), rotated })
    });
    others.collect()
}

/// True for what rotation puts behind a name: `.1`, `-20261128`, `.2026-11-28_13`.
fn is_number_or_date(suffix: &[u8]) -> bool {
    suffix.iter().any(u8::is_ascii_digit) && suffix.iter().all(|byte| byte.is_ascii_digit() || b".-_T:+".contains(byte))
}

/// Files that rotation has put between one file and the next under the same path.
#[derive(Debug, Default)]
pub(crate) struct BetweenFiles {
    /// Those with names of rotation, the oldest first.
    pub rotated: Vec<PathBuf>,
    /// The others with similar names: maybe compressed, maybe no events at all.
    pub others: Vec<PathBuf>,
}

impl BetweenFiles {
    /// If the file that was read is gone, nobody knows which of the rotated ones beside `path` came after it: none of them is read.
    pub(crate) fn of_unknown(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let rotated = |other: &PathBuf| {
            let other = other.file_name().unwrap_or_default().as_encoded_bytes();
            other.strip_prefix(name).is_some_and(|rest| rest.iter().any(u8::is_ascii_digit))
        };
        let mut others: Vec<_> = siblings(path, 0).into_iter().map(|other| other.path).filter(rotated).collect();
        others.sort();
        BetweenFiles { rotated: Vec::new(), others }
    }
}

impl FileIdentity {
    /// The files beside `path` that were written after `since`, without `read`, which was read to its end, and without
    /// copies of it.
    pub(crate) fn files_between(&self, path: &Path, read: &File, since: SystemTime) -> BetweenFiles {
        let mut found = Vec::new();
        let inodes = [read.metadata().ok(), std::fs::metadata(path).ok()].map(|about| about.map(|about| about.ino()));
        for sibling in siblings(path, 0) {
            let Ok(file) = super::lines::open(&sibling.path) else { continue };
            let Ok(about) = file.metadata() else { continue };
            let Ok(modified) = about.modified() else { continue };
            let copy = self.length > 0 && self.matches(&file).unwrap_or(false);
            if modified > since && !inodes.contains(&Some(about.ino())) && !copy {
                found.push((modified, sibling));
            }
        }
        found.sort_by(|(a, one), (b, other)| (a, &one.path).cmp(&(b, &other.path)));
        let (rotated, others): (Vec<_>, Vec<_>) =
            found.into_iter().map(|(_, sibling)| sibling).partition(|sibling| sibling.rotated);
        let paths = |files: Vec<Sibling>| files.into_iter().map(|sibling| sibling.path).collect();
        BetweenFiles { rotated: paths(rotated), others: paths(others) }
    }
}

/// The last bytes that were read of a file, and where they end.
#[derive(Debug, Default)]
pub(crate) struct LastBytes {
    end: u64,
    bytes: Vec<u8>,
}

impl LastBytes {
    /// How many are kept.
    const MOST: u64 = 64;

    /// Those in front of `end`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn before(file: &File, end: u64) -> Result<Self> {
        let count = end.min(Self::MOST);
        Ok(LastBytes { end, bytes: read(file, end - count, count)? })
    }

    /// True if the file holds them at their place.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn lie_in(&self, file: &File) -> Result<bool> {
        let count = self.bytes.len() as u64;
        Ok(read(file, self.end.saturating_sub(count), count)? == self.bytes)
    }
}

fn digest(head: &[u8]) -> [u8; 32] {
    Sha256::digest(head).into()
}

/// The first bytes of a file, so many or fewer, wherever it is being read.
fn head(file: &File, length: u64) -> Result<Vec<u8>> {
    read(file, 0, length)
}

/// Bytes of a file, so many or fewer.
fn read(file: &File, start: u64, length: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length as usize];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, start + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
