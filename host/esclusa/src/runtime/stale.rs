//! Files whose content on disk is not what runs: refused, being loaded, or gone.

use super::Runtime;
use crate::refusal::Refusal;
use esclusa_pipeline::meter::epoch_millis;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// Files in use that are not there, and since when, in milliseconds since the Unix epoch. Shared by the watch that
/// notices them and the status that shows them.
pub(crate) type MissingFiles = Arc<Mutex<BTreeMap<PathBuf, u64>>>;

/// Why what runs is not what is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StaleState {
    /// The change is being loaded.
    Loading,
    /// The change cannot be used.
    Refused,
    /// The file is gone.
    Missing,
}

/// A file whose content on disk is not what runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StaleFile {
    /// The file.
    pub file: String,
    /// Why.
    pub state: StaleState,
    /// Since when, in milliseconds since the Unix epoch.
    pub since: u64,
    /// The reasons in one line, with what to do about them.
    pub message: String,
    /// The reasons with their places in routes.toml; empty if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostics: Option<serde_json::Value>,
}

/// The files of a router whose content on disk is not what runs.
#[derive(Debug, Default)]
pub(super) struct StaleFiles {
    changed: Mutex<BTreeMap<String, StaleFile>>,
    missing: OnceLock<MissingFiles>,
}

impl StaleFiles {
    /// A change of this file is being loaded. If another one was refused, that stays to be seen.
    pub(super) fn loads(&self, file: &str) {
        let mut changed = self.changed.lock();
        changed.entry(file.to_owned()).or_insert_with(|| StaleFile {
            file: file.to_owned(),
            state: StaleState::Loading,
            since: epoch_millis(),
            message: "it has changed and is being loaded".to_owned(),
            diagnostics: None,
        });
    }

    /// The content of this file cannot be used.
    pub(super) fn refused(&self, file: &str, why: &Refusal) {
        let mut changed = self.changed.lock();
        let since = changed.get(file).map_or_else(epoch_millis, |before| before.since);
        let (message, diagnostics) = (why.message.clone(), why.diagnostics());
        let entry = StaleFile { file: file.to_owned(), state: StaleState::Refused, since, message, diagnostics };
        changed.insert(file.to_owned(), entry);
    }

    /// What runs is the content of this file.
    pub(super) fn in_force(&self, file: &str) {
        self.changed.lock().remove(file);
    }

    /// Forgets all files but these.
    pub(super) fn keep(&self, files: &BTreeSet<String>) {
        self.changed.lock().retain(|file, _| files.contains(file));
    }

    fn list(&self) -> Vec<StaleFile> {
        let missing = self.missing.get().map(|missing| missing.lock().clone()).unwrap_or_default();
        let missing = missing.into_iter().map(|(file, since)| StaleFile {
            file: file.display().to_string(),
            state: StaleState::Missing,
            since,
            message:
                "it is gone or cannot be read; the router goes on without it, but its next start needs it: put it back"
                    .to_owned(),
            diagnostics: None,
        });
        self.changed.lock().values().cloned().chain(missing).collect()
    }
}

impl Runtime {
    /// Shows the files that a watch finds missing.
    pub(crate) fn watched_by(&self, missing: MissingFiles) {
        // Set once, at the start.
        let _ = self.stale.missing.set(missing);
    }

    /// The files whose content on disk is not what runs.
    pub(super) fn stale_files(&self) -> Vec<StaleFile> {
        self.stale.list()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_file_stays_stale_until_its_content_is_in_force() {
        let stale = StaleFiles::default();
        stale.loads("a.wasm");
        assert_eq!(stale.list()[0].state, StaleState::Loading);
        stale.refused("a.wasm", &Refusal::from("no".to_owned()));
        stale.loads("a.wasm");
        let [only] = &stale.list()[..] else { panic!("one file is stale") };
        assert_eq!(
            (only.state, only.message.as_str()),
            (StaleState::Refused, "no"),
            "seen while the next one is loaded"
        );
        stale.in_force("a.wasm");
        assert!(stale.list().is_empty());
        stale.refused("gone.wasm", &Refusal::from("no".to_owned()));
        stale.keep(&BTreeSet::from(["a.wasm".to_owned()]));
        assert!(stale.list().is_empty(), "no route uses it any more");
    }

    #[test]
    fn a_missing_file_is_shown_as_long_as_it_is_missing() {
        let (stale, missing) = (StaleFiles::default(), MissingFiles::default());
        stale.missing.set(missing.clone()).unwrap();
        missing.lock().insert("routes.toml".into(), 7);
        assert_eq!((stale.list()[0].state, stale.list()[0].since), (StaleState::Missing, 7));
        missing.lock().clear();
        assert!(stale.list().is_empty());
    }
}
