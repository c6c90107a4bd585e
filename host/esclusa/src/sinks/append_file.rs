//! Appends messages to a file, a line each. They are on disk before they count as sent.

use super::line;
use esclusa_flow::BoxFuture;
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::engine::{SendError, Sink};
use esclusa_flow::fault::Fault;
use std::io::Write;
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
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    let before = file.metadata()?.len();
    let result = file.write_all(text).and_then(|()| file.sync_data());
    if result.is_err() {
        // Removes half a line. If that fails, too, the first error is the one to report.
        let _ = file.set_len(before);
    }
    result
}
