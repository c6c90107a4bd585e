//! Appends messages to a file, a line each. They are on disk before they count as sent.

use super::line;
use esclusa_flow::BoxFuture;
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::engine::{SendError, Sink};
use esclusa_flow::fault::Fault;
use rustix::fs::{OFlags, fcntl_setfl};
use std::collections::HashMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Weak};
use tokio::sync::Mutex;

/// A file that grows.
pub(crate) struct FileSink {
    path: PathBuf,
    /// One append at a time. The lock is held by the append itself, even if the send was cancelled: a disk that hangs
    /// blocks one thread of each route.
    turn: Arc<Mutex<()>>,
}

impl FileSink {
    /// Appends to the file at `path`; the first append creates it and its directory.
    #[must_use]
    pub(crate) fn new(path: PathBuf) -> Self {
        FileSink { path, turn: Arc::default() }
    }
}

impl Sink for FileSink {
    fn send<'a>(&'a self, messages: &'a [OutboxMessage]) -> BoxFuture<'a, Vec<Result<(), SendError>>> {
        Box::pin(async move {
            let text: String = messages.iter().map(|m| line(&m.send.data) + "\n").collect();
            let path = self.path.clone();
            let turn = self.turn.clone().lock_owned().await;
            let written = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                append(&path, text.as_bytes())
            });
            let result: Result<(), Fault> = match written.await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(Fault::Transient(format!("cannot append to {}: {error}", self.path.display()))),
                Err(error) => Err(Fault::Bug(error.to_string())),
            };
            vec![result.map_err(SendError::from); messages.len()]
        })
    }
}

/// A lock for each file that is appended to, by device and inode: several routes may append to one, by several names, and so may a
/// route as it was before a reload. Their lines shall not mix, and none shall cut what another one has written.
type FileLocks = parking_lot::Mutex<HashMap<(u64, u64), Weak<parking_lot::Mutex<()>>>>;

static LOCKS: LazyLock<FileLocks> = LazyLock::new(FileLocks::default);

fn lock_of(file: &File) -> std::io::Result<Arc<parking_lot::Mutex<()>>> {
    let about = file.metadata()?;
    let mut locks = LOCKS.lock();
    locks.retain(|_, lock| lock.strong_count() > 0);
    let slot = locks.entry((about.dev(), about.ino())).or_default();
    Ok(slot.upgrade().unwrap_or_else(|| {
        let lock = Arc::default();
        *slot = Arc::downgrade(&lock);
        lock
    }))
}

/// Appends whole lines, or nothing: after a failed append the file is cut to its old length.
fn append(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let mut file = open(path, directory)?;
    let lock = lock_of(&file)?;
    let _alone = lock.lock();
    let before = file.metadata()?.len();
    let result = file.write_all(text).and_then(|()| file.sync_data());
    if result.is_err() {
        // If that fails, too, the first error is the one to report.
        let _ = take_back(&file, before, text.len());
    }
    result
}

/// Removes what was written of a text of `bytes` bytes, which may be half a line. If the length says that another program has written to
/// the file or cut it, it stays as it is.
fn take_back(file: &File, before: u64, bytes: usize) -> std::io::Result<()> {
    let written = file.metadata()?.len().checked_sub(before);
    if written.is_some_and(|written| written <= bytes as u64) { file.set_len(before) } else { Ok(()) }
}

/// Opens the file, without waiting for the reader of a pipe. Accounts that may read the directory may read a new one.
fn open(path: &Path, directory: &Path) -> std::io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    options.append(true).custom_flags(flags);
    let file = match options.clone().create_new(true).open(path) {
        Ok(file) => {
            file.set_permissions(Permissions::from_mode(std::fs::metadata(directory)?.mode() & 0o666))?;
            file
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => options.create(true).open(path)?,
        Err(error) => return Err(error),
    };
    // Only opening must not wait.
    fcntl_setfl(&file, OFlags::APPEND)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_as_open_as_its_directory_and_an_old_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        for (mode, expected) in [(0o700, 0o600), (0o755, 0o644), (0o770, 0o660)] {
            let path = dir.path().join(format!("{mode:o}/out"));
            std::fs::create_dir(path.parent().unwrap()).unwrap();
            std::fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(mode)).unwrap();
            append(&path, b"a\n").unwrap();
            let found = || std::fs::metadata(&path).unwrap().mode() & 0o777;
            assert_eq!(found(), expected);
            std::fs::set_permissions(&path, Permissions::from_mode(0o604)).unwrap();
            append(&path, b"b\n").unwrap();
            assert_eq!((found(), std::fs::read(&path).unwrap()), (0o604, b"a\nb\n".to_vec()));
        }
    }

    #[test]
    fn names_of_one_file_share_a_lock_and_other_files_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link, other) = (dir.path().join("out"), dir.path().join("link"), dir.path().join("other"));
        append(&path, b"a\n").unwrap();
        append(&other, b"a\n").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let lock = |path: &Path| lock_of(&open(path, dir.path()).unwrap()).unwrap();
        let (first, by_link, of_other) = (lock(&path), lock(&link), lock(&other));
        assert!(Arc::ptr_eq(&first, &by_link) && !Arc::ptr_eq(&first, &of_other));
    }

    #[test]
    fn a_failed_append_takes_back_its_own_bytes_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        // The length when a text of 4 bytes fails that began at 3, and what is left then.
        for (found, left) in [("abcde", "abc"), ("abcdefg", "abc"), ("abcdefgh", "abcdefgh"), ("ab", "ab")] {
            std::fs::write(&path, found).unwrap();
            take_back(&OpenOptions::new().append(true).open(&path).unwrap(), 3, 4).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), left);
        }
    }

    #[test]
    fn a_pipe_without_a_reader_is_an_error_and_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(append(&pipe, b"a\n").is_err());
    }
}
