//! The key of the cache: it proves that a file in the cache was written by a router that has this key.
//!
//! The key lies beside the cache and not in it: an account that may only write to the cache cannot make a
//! file that is taken.

use super::foreign;
use rustix::fs::{Mode, OFlags, open};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a key: a block of SHA-256.
const KEY: usize = 64;

/// A key. Not shown.
pub(super) struct Key(pub [u8; KEY]);

/// The key of the cache in `dir`: beside it, in `NAME.key`.
pub(super) fn path(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".key");
    dir.with_file_name(name)
}

impl Key {
    /// The key in a file, which is made if it is missing.
    ///
    /// # Errors
    /// The file cannot be read or made, or others may read or change it.
    pub(super) fn of(path: &Path) -> io::Result<Key> {
        match read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make(path)?;
                read(path)
            }
            read => read,
        }
    }
}

fn read(path: &Path) -> io::Result<Key> {
    let file =
        File::from(open(path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?);
    let about = file.metadata()?;
    let why = if about.is_file() { foreign(&about, 0o077) } else { Some("it is no file") };
    let mut bytes = Vec::new();
    file.take(KEY as u64 + 1).read_to_end(&mut bytes)?;
    match (why, bytes.try_into()) {
        (None, Ok(key)) => Ok(Key(key)),
        (why, _) => {
            let why = why.unwrap_or("it is not one");
            Err(io::Error::other(format!(
                "the key {} is not used: {why}; delete it, and another one is made",
                path.display()
            )))
        }
    }
}

/// Makes a key under another name, and gives it its own only when it is whole; if another process was faster, its key stays.
fn make(path: &Path) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
    let aside = path.with_file_name(name);
    let mut key = [0; KEY];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    // What an earlier process of this number left.
    let _ = fs::remove_file(&aside);
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside).and_then(|mut file| {
        file.write_all(&key)?;
        file.sync_all()?;
        match fs::hard_link(&aside, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    });
    let _ = fs::remove_file(&aside);
    written
}
