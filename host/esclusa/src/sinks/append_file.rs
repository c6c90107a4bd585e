//! Appends messages to a file, a line each. They are on disk before they count as sent.

use super::line;
use esclusa_flow::BoxFuture;
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::engine::{SendError, Sink};
use esclusa_flow::fault::Fault;
use rustix::fs::{OFlags, fcntl_setfl};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Mutex;

/// A file that grows.
pub(crate) struct FileSink {
    path: PathBuf,
    /// One append at a time, so that lines of several lanes do not mix. The lock is held by the append itself, even if
    /// the send was cancelled: a disk that hangs blocks one thread.
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

/// Appends whole lines, or nothing: after a failed append the file is cut to its old length.
fn append(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let mut file = open(path, directory)?;
    let before = file.metadata()?.len();
    let result = file.write_all(text).and_then(|()| file.sync_data());
    if result.is_err() {
        // Removes half a line. If that fails, too, the first error is the one to report.
        let _ = file.set_len(before);
    }
    result
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
    fn a_pipe_without_a_reader_is_an_error_and_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(append(&pipe, b"a\n").is_err());
    }
}
