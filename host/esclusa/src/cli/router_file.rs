//! `router.json` in the directory of the store: how commands find the router that has it open, and what it is doing.

use super::cannot_start::CannotStart;
use esclusa_config::Locator;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What a router is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Phase {
    /// It opens its store.
    Starting,
    /// It loads and compiles its plugins.
    Compiling,
    /// It takes events.
    Running,
    /// It finishes the events in flight, and stops.
    Draining,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Starting => "opening its store",
            Phase::Compiling => "compiling its plugins",
            Phase::Running => "running",
            Phase::Draining => "stopping",
        })
    }
}

/// A router as commands find it: the content of `router.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RouterAddress {
    /// Its process id.
    pub pid: u32,
    /// What it is doing.
    pub phase: Phase,
    /// The address of its API; `None` without `[admin]`.
    pub admin: Option<SocketAddr>,
    /// The addresses of its listeners at the start, by name; empty before it runs.
    pub listeners: BTreeMap<String, SocketAddr>,
}

impl RouterAddress {
    /// The router of a store, if one has left its file there. It may have ended by a crash.
    pub(super) fn read(engine: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path(engine)).ok()?).ok()
    }
}

fn path(engine: &Path) -> PathBuf {
    engine.join("router.json")
}

/// The file of this process; dropping it removes the file.
pub(super) struct RouterFile {
    path: PathBuf,
    address: RouterAddress,
}

impl RouterFile {
    /// Writes the file of a router that starts. Call it while the directory is locked.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn create(locator: &Locator, engine: &Path, admin: Option<SocketAddr>) -> Result<Self, CannotStart> {
        let (pid, phase, listeners) = (std::process::id(), Phase::Starting, BTreeMap::new());
        let file = RouterFile { path: path(engine), address: RouterAddress { pid, phase, admin, listeners } };
        file.write().map_err(|why| CannotStart::not_written(locator, &file.path, &why))?;
        Ok(file)
    }

    /// Tells what the router is doing from now on.
    pub(super) fn set_phase(&mut self, phase: Phase) {
        self.address.phase = phase;
        if let Err(error) = self.write() {
            tracing::warn!(file = %self.path.display(), %error, "cannot be written; other commands see an older state of this router");
        }
    }

    /// Tells the addresses of the router's listeners.
    pub(super) fn set_listeners(&mut self, listeners: BTreeMap<String, SocketAddr>) {
        self.address.listeners = listeners;
        self.set_phase(self.address.phase);
    }

    /// Renamed into place, so that a command never reads half of the file.
    fn write(&self) -> std::io::Result<()> {
        let aside = self.path.with_extension("json.new");
        std::fs::write(&aside, serde_json::to_vec(&self.address)?)?;
        std::fs::rename(&aside, &self.path)
    }
}

impl Drop for RouterFile {
    fn drop(&mut self) {
        // A file that stays does no harm: a command that reads it finds that no router answers.
        let _ = std::fs::remove_file(&self.path);
    }
}
