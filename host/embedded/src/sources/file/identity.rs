//! Which file it is: how often the path has led to another one, and a digest of what this one began with when it was read.

use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{ErrorKind, Result};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes that are remembered, at most.
const HEAD: u64 = 4096;

/// The first bytes of a file as a digest: of all that was read of it, up to 4 KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// How many files were read under this path before.
    pub generation: u64,
    length: u64,
    digest: [u8; 32],
}

impl Identity {
    /// A file of which nothing was read yet: it may be any.
    pub fn any(generation: u64) -> Self {
        Identity { generation, length: 0, digest: digest(&[]) }
    }

    /// True where the file still begins so.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn matches(&self, file: &File) -> Result<bool> {
        let head = head(file, self.length)?;
        Ok(head.len() as u64 == self.length && digest(&head) == self.digest)
    }

    /// What is to be remembered when the file was read up to `end`; `None` where that is remembered already.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn widened(&self, file: &File, end: u64) -> Result<Option<Self>> {
        if self.length >= end.min(HEAD) {
            return Ok(None);
        }
        let head = head(file, end.min(HEAD))?;
        Ok(Some(Identity { generation: self.generation, length: head.len() as u64, digest: digest(&head) }))
    }

    /// Where the file that `path` led to is now, if it was renamed to a longer name in the same directory, as rotation does
    /// (`events.jsonl.1`), and holds at least `length` bytes.
    pub fn renamed(&self, path: &Path, length: u64) -> Option<PathBuf> {
        let name = path.file_name()?.as_encoded_bytes();
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let others = std::fs::read_dir(directory).ok()?.flatten().filter(|entry| {
            let other = entry.file_name();
            other.len() > name.len() && other.as_encoded_bytes().starts_with(name)
        });
        let is_it = |other: &PathBuf| {
            let file = super::lines::open(other).ok()?;
            Some(file.metadata().ok()?.len() >= length && self.matches(&file).ok()?)
        };
        others.map(|entry| entry.path()).find(|other| is_it(other) == Some(true))
    }

    /// As bytes.
    pub fn write(&self) -> Vec<u8> {
        [&self.generation.to_be_bytes()[..], &self.length.to_be_bytes(), &self.digest].concat()
    }

    /// The identity that [`Self::write`] wrote.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (generation, rest) = bytes.split_first_chunk::<8>()?;
        let (length, digest) = rest.split_first_chunk::<8>()?;
        let (generation, length) = (u64::from_be_bytes(*generation), u64::from_be_bytes(*length));
        Some(Identity { generation, length, digest: digest.try_into().ok()? })
    }
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
