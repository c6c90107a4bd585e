//! Of several reloads of one file only the newest counts: it stops the others while they still load, and its result is
//! theirs.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tokio::sync::{oneshot, watch};

/// What came of a reload: what was done, or why nothing was.
type ReloadOutcome = Result<String, String>;

/// The result of a reload, once there is one.
#[derive(Debug, Clone)]
pub(super) struct PendingOutcome(watch::Receiver<Option<ReloadOutcome>>);

impl PendingOutcome {
    /// Waits for it.
    ///
    /// # Errors
    /// Those of the reload.
    pub(super) async fn outcome(mut self) -> ReloadOutcome {
        let done = self.0.wait_for(Option::is_some).await;
        done.ok().and_then(|done| done.clone()).unwrap_or_else(|| Err("the router is stopping".to_owned()))
    }
}

/// Why a reload was not put in force.
#[derive(Debug)]
pub(super) enum ReloadError {
    /// A newer one has begun.
    Newer(PendingOutcome),
    /// It failed.
    Failed(String),
}

impl From<String> for ReloadError {
    fn from(why: String) -> Self {
        ReloadError::Failed(why)
    }
}

/// The newest reload of each file.
#[derive(Debug, Default)]
pub(super) struct NewestReloads(Mutex<BTreeMap<PathBuf, oneshot::Sender<PendingOutcome>>>);

impl NewestReloads {
    /// Begins a reload of a file, and ends those before it.
    pub(super) fn begin(&self, file: &Path) -> ReloadAttempt {
        let (done, pending) = watch::channel(None);
        let (tell, newer) = oneshot::channel();
        let before = self.0.lock().insert(file.to_owned(), tell);
        if let Some(before) = before {
            // One that is through does not listen.
            let _ = before.send(PendingOutcome(pending));
        }
        ReloadAttempt { newer, done }
    }
}

/// A reload that loads.
#[derive(Debug)]
pub(super) struct ReloadAttempt {
    newer: oneshot::Receiver<PendingOutcome>,
    done: watch::Sender<Option<ReloadOutcome>>,
}

impl ReloadAttempt {
    /// Loads, unless a newer reload begins meanwhile; the load is dropped then.
    ///
    /// # Errors
    /// [`ReloadError`].
    pub(super) async fn load<T>(&mut self, load: impl Future<Output = Result<T, String>>) -> Result<T, ReloadError> {
        tokio::select! {
            biased;
            Ok(newer) = &mut self.newer => Err(ReloadError::Newer(newer)),
            loaded = load => loaded.map_err(ReloadError::Failed),
        }
    }

    /// Goes on only if there is no newer reload.
    ///
    /// # Errors
    /// [`ReloadError::Newer`].
    pub(super) fn still_newest(&mut self) -> Result<(), ReloadError> {
        self.newer.try_recv().map_or(Ok(()), |newer| Err(ReloadError::Newer(newer)))
    }

    /// Tells the reloads that this one has ended.
    pub(super) fn finish(&self, outcome: &ReloadOutcome) {
        self.done.send_replace(Some(outcome.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::{NewestReloads, ReloadError};
    use std::future::pending;
    use std::path::Path;

    #[tokio::test]
    async fn a_newer_reload_ends_the_load_of_an_older_one_of_the_same_file_and_gives_it_its_result() {
        let newest = NewestReloads::default();
        let (mut old, mut other) = (newest.begin(Path::new("a")), newest.begin(Path::new("b")));
        old.still_newest().unwrap();
        let mut new = newest.begin(Path::new("a"));
        let undone = old.load(pending::<Result<(), String>>()).await.unwrap_err();
        let ReloadError::Newer(newer) = undone else { panic!("{undone:?}") };
        new.still_newest().unwrap();
        other.still_newest().unwrap();
        assert_eq!(new.load(async { Ok(7) }).await.unwrap(), 7);
        new.finish(&Ok("done".to_owned()));
        assert_eq!(newer.outcome().await, Ok("done".to_owned()));
    }

    #[tokio::test]
    async fn a_load_that_came_too_late_is_not_put_in_force() {
        let newest = NewestReloads::default();
        let mut old = newest.begin(Path::new("a"));
        let new = newest.begin(Path::new("a"));
        let Err(ReloadError::Newer(newer)) = old.still_newest() else { panic!("it is not the newest") };
        // Nobody is left to finish it.
        drop(new);
        newer.outcome().await.unwrap_err();
    }
}
