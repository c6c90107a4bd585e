//! Of several reloads of one file only the newest counts: it stops older ones that are still loading, and they return
//! its outcome.

use crate::refusal::Refusal;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::sync::watch;

/// The outcome of a reload: a summary of the changes, or the reason why there are none.
type ReloadOutcome = Result<String, Refusal>;

/// The outcome of a reload that may still be running.
#[derive(Debug, Clone)]
pub(super) struct PendingOutcome(watch::Receiver<Option<ReloadOutcome>>);

impl PendingOutcome {
    /// Waits for the outcome.
    ///
    /// # Errors
    /// Those of the reload.
    pub(super) async fn outcome(mut self) -> ReloadOutcome {
        let done = self.0.wait_for(Option::is_some).await;
        done.ok().and_then(|done| done.clone()).unwrap_or_else(|| Err("the router is stopping".to_owned().into()))
    }
}

/// Why a reload did not happen.
#[derive(Debug)]
pub(super) enum ReloadError {
    /// A newer reload of the file has begun.
    Newer(PendingOutcome),
    /// It failed, for these reasons.
    Failed(Refusal),
}

impl<R: Into<Refusal>> From<R> for ReloadError {
    fn from(why: R) -> Self {
        ReloadError::Failed(why.into())
    }
}

/// The newest reload of each file.
#[derive(Debug, Default)]
pub(super) struct NewestReloads(Mutex<BTreeMap<PathBuf, oneshot::Sender<PendingOutcome>>>);

impl NewestReloads {
    /// Begins a reload of a file, and stops an older one that is still loading.
    pub(super) fn begin(&self, file: &Path) -> ReloadAttempt {
        let (done, pending) = watch::channel(None);
        let (stop, newer) = oneshot::channel();
        let mut newest = self.0.lock();
        if let Some(before) = newest.insert(file.to_owned(), stop) {
            // Fails if the older reload has ended. With the lock held: see `if_newest`.
            let _ = before.send(PendingOutcome(pending));
        }
        ReloadAttempt { newer, done }
    }

    /// Does something, unless a newer reload of the file has begun; none begins meanwhile.
    pub(super) fn if_newest(&self, reload: &mut ReloadAttempt, then: impl FnOnce()) {
        let _none_begins = self.0.lock();
        if matches!(reload.newer.try_recv(), Err(TryRecvError::Empty)) {
            then();
        }
    }
}

/// A reload that is loading.
#[derive(Debug)]
pub(super) struct ReloadAttempt {
    newer: oneshot::Receiver<PendingOutcome>,
    done: watch::Sender<Option<ReloadOutcome>>,
}

impl ReloadAttempt {
    /// Waits for a load. If a newer reload begins meanwhile, the load is dropped.
    ///
    /// # Errors
    /// [`ReloadError`].
    pub(super) async fn load<T>(&mut self, load: impl Future<Output = Result<T, Refusal>>) -> Result<T, ReloadError> {
        tokio::select! {
            biased;
            Ok(newer) = &mut self.newer => Err(ReloadError::Newer(newer)),
            loaded = load => loaded.map_err(ReloadError::Failed),
        }
    }

    /// Fails if a newer reload has begun.
    ///
    /// # Errors
    /// [`ReloadError::Newer`].
    pub(super) fn still_newest(&mut self) -> Result<(), ReloadError> {
        self.newer.try_recv().map_or(Ok(()), |newer| Err(ReloadError::Newer(newer)))
    }

    /// Passes the outcome to the older reloads that this one has stopped.
    pub(super) fn finish(&self, outcome: &ReloadOutcome) {
        self.done.send_replace(Some(outcome.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::{NewestReloads, Refusal, ReloadError};
    use std::future::pending;
    use std::path::Path;

    #[tokio::test]
    async fn a_newer_reload_ends_the_load_of_an_older_one_of_the_same_file_and_gives_it_its_result() {
        let newest = NewestReloads::default();
        let (mut old, mut other) = (newest.begin(Path::new("a")), newest.begin(Path::new("b")));
        old.still_newest().unwrap();
        let mut new = newest.begin(Path::new("a"));
        let undone = old.load(pending::<Result<(), Refusal>>()).await.unwrap_err();
        let ReloadError::Newer(newer) = undone else { panic!("{undone:?}") };
        new.still_newest().unwrap();
        other.still_newest().unwrap();
        assert_eq!(new.load(async { Ok(7) }).await.unwrap(), 7);
        new.finish(&Ok("done".to_owned()));
        assert_eq!(newer.outcome().await, Ok("done".to_owned()));
    }

    #[tokio::test]
    async fn what_an_older_reload_says_of_a_file_does_not_count() {
        let newest = NewestReloads::default();
        let (mut old, mut said) = (newest.begin(Path::new("a")), Vec::new());
        newest.if_newest(&mut old, || said.push("old"));
        let mut new = newest.begin(Path::new("a"));
        for _ in 0..2 {
            newest.if_newest(&mut old, || said.push("too late"));
        }
        newest.if_newest(&mut new, || said.push("new"));
        assert_eq!(said, ["old", "new"]);
    }

    #[tokio::test]
    async fn a_load_that_came_too_late_is_not_put_in_force() {
        let newest = NewestReloads::default();
        let mut old = newest.begin(Path::new("a"));
        let new = newest.begin(Path::new("a"));
        let Err(ReloadError::Newer(newer)) = old.still_newest() else { panic!("it is not the newest") };
        // The newer reload ends without an outcome.
        drop(new);
        newer.outcome().await.unwrap_err();
    }
}
