//! Of several reloads of one file only the newest counts: it stops the others while they still load, and its result is
//! theirs.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tokio::sync::{oneshot, watch};

/// What came of a reload: what was done, or why nothing was.
type Outcome = Result<String, String>;

/// The result of a reload, once there is one.
#[derive(Debug, Clone)]
pub(super) struct Pending(watch::Receiver<Option<Outcome>>);

impl Pending {
    /// Waits for it.
    ///
    /// # Errors
    /// Those of the reload.
    pub(super) async fn outcome(mut self) -> Outcome {
        let done = self.0.wait_for(Option::is_some).await;
        done.ok().and_then(|done| done.clone()).unwrap_or_else(|| Err("the router is stopping".to_owned()))
    }
}

/// Why a reload was not put in force.
#[derive(Debug)]
pub(super) enum Undone {
    /// A newer one has begun.
    Newer(Pending),
    /// It failed.
    Failed(String),
}

impl From<String> for Undone {
    fn from(why: String) -> Self {
        Undone::Failed(why)
    }
}

/// The newest reload of each file.
#[derive(Debug, Default)]
pub(super) struct Newest(Mutex<BTreeMap<PathBuf, oneshot::Sender<Pending>>>);

impl Newest {
    /// Begins a reload of a file, and ends those before it.
    pub(super) fn begin(&self, file: &Path) -> Reload {
        let (done, pending) = watch::channel(None);
        let (tell, newer) = oneshot::channel();
        let before = self.0.lock().insert(file.to_owned(), tell);
        if let Some(before) = before {
            // One that is through does not listen.
            let _ = before.send(Pending(pending));
        }
        Reload { newer, done }
    }
}

/// A reload that loads.
#[derive(Debug)]
pub(super) struct Reload {
    newer: oneshot::Receiver<Pending>,
    done: watch::Sender<Option<Outcome>>,
}

impl Reload {
    /// Loads, unless a newer reload begins meanwhile; the load is dropped then.
    ///
    /// # Errors
    /// [`Undone`].
    pub(super) async fn load<T>(&mut self, load: impl Future<Output = Result<T, String>>) -> Result<T, Undone> {
        tokio::select! {
            biased;
            Ok(newer) = &mut self.newer => Err(Undone::Newer(newer)),
            loaded = load => loaded.map_err(Undone::Failed),
        }
    }

    /// Goes on only if there is no newer reload.
    ///
    /// # Errors
    /// [`Undone::Newer`].
    pub(super) fn still_newest(&mut self) -> Result<(), Undone> {
        self.newer.try_recv().map_or(Ok(()), |newer| Err(Undone::Newer(newer)))
    }

    /// Tells the reloads that this one has ended.
    pub(super) fn finish(&self, outcome: &Outcome) {
        self.done.send_replace(Some(outcome.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::{Newest, Undone};
    use std::future::pending;
    use std::path::Path;

    #[tokio::test]
    async fn a_newer_reload_ends_the_load_of_an_older_one_of_the_same_file_and_gives_it_its_result() {
        let newest = Newest::default();
        let (mut old, mut other) = (newest.begin(Path::new("a")), newest.begin(Path::new("b")));
        old.still_newest().unwrap();
        let mut new = newest.begin(Path::new("a"));
        let undone = old.load(pending::<Result<(), String>>()).await.unwrap_err();
        let Undone::Newer(newer) = undone else { panic!("{undone:?}") };
        new.still_newest().unwrap();
        other.still_newest().unwrap();
        assert_eq!(new.load(async { Ok(7) }).await.unwrap(), 7);
        new.finish(&Ok("done".to_owned()));
        assert_eq!(newer.outcome().await, Ok("done".to_owned()));
    }

    #[tokio::test]
    async fn a_load_that_came_too_late_is_not_put_in_force() {
        let newest = Newest::default();
        let mut old = newest.begin(Path::new("a"));
        let new = newest.begin(Path::new("a"));
        let Err(Undone::Newer(newer)) = old.still_newest() else { panic!("it is not the newest") };
        // Nobody is left to finish it.
        drop(new);
        newer.outcome().await.unwrap_err();
    }
}
