//! Which file it is: a digest of what it begins with.

use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes that are remembered, at most.
const HEAD: u64 = 4096;

/// The first bytes of a file as a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    length: u64,
    digest: [u8; 32],
}

impl Identity {
    /// What the file begins with now.
    pub fn of(path: &Path) -> std::io::Result<Self> {
        Identity::of_first(path, HEAD)
    }

    fn of_first(path: &Path, length: u64) -> std::io::Result<Self> {
        let mut head = Vec::new();
        File::open(path)?.take(length).read_to_end(&mut head)?;
        Ok(Identity { length: head.len() as u64, digest: Sha256::digest(&head).into() })
    }

    /// True where the file still begins so.
    pub fn matches(&self, path: &Path) -> std::io::Result<bool> {
        Ok(Identity::of_first(path, self.length)? == *self)
    }

    /// As bytes.
    pub fn write(&self) -> Vec<u8> {
        [&self.length.to_be_bytes()[..], &self.digest].concat()
    }

    /// The identity that [`Self::write`] wrote.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (length, digest) = bytes.split_first_chunk::<8>()?;
        Some(Identity { length: u64::from_be_bytes(*length), digest: digest.try_into().ok()? })
    }
}
