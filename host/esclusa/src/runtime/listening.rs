//! The listeners of a router, as its reloads see them.

use super::Runtime;
use esclusa_config::plan::Plan;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Puts prepared listeners in force, by the plan that they were prepared for.
pub(crate) type PreparedListeners = Box<dyn FnOnce(&Plan) + Send>;

/// A listener at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// The address that it listens on, with the port that the system chose.
    pub address: String,
    /// True if it serves HTTPS.
    pub tls: bool,
    /// Connections that are open.
    pub connections: usize,
    /// Most of them.
    pub max_connections: usize,
    /// Answers since it was started, by the first digit of their status: `2xx` and so on.
    pub answers: BTreeMap<String, u64>,
}

/// Listeners of sources of kind `http`.
pub(crate) trait Listening: Send + Sync {
    /// Prepares the listeners of a plan: everything that may fail.
    ///
    /// # Errors
    /// The reason, for people; nothing has changed then.
    fn prepare(self: Arc<Self>, plan: &Plan) -> Result<PreparedListeners, String>;

    /// The listeners at this moment, by name.
    fn status(&self) -> Vec<ListenerStatus>;

    /// Reads the certificates again. If one cannot be used, the old one stays.
    fn read_certificates(&self);
}

impl Runtime {
    /// Reloads change these listeners from now on.
    pub(crate) fn listen_with(&self, listeners: &Arc<dyn Listening>) {
        // Set once, at the start.
        let _ = self.listeners.set(Arc::downgrade(listeners));
    }

    pub(super) fn prepare_listeners(&self, plan: &Plan) -> Result<PreparedListeners, String> {
        match self.listeners.get().and_then(std::sync::Weak::upgrade) {
            Some(listeners) => listeners.prepare(plan),
            None => Ok(Box::new(|_| ())),
        }
    }

    pub(super) fn listener_status(&self) -> Vec<ListenerStatus> {
        let listeners = self.listeners.get().and_then(std::sync::Weak::upgrade);
        listeners.map_or_else(Vec::new, |listeners| listeners.status())
    }

    /// Reads the certificates of listeners again.
    pub(crate) fn read_certificates(&self) {
        if let Some(listeners) = self.listeners.get().and_then(std::sync::Weak::upgrade) {
            listeners.read_certificates();
        }
    }
}
