//! The listeners of a router, as its reloads see them.

use super::Runtime;
use esclusa_config::plan::Plan;
use std::sync::Arc;

/// Puts prepared listeners in force, by the plan that they were prepared for.
pub(crate) type PreparedListeners = Box<dyn FnOnce(&Plan) + Send>;

/// Listeners of sources of kind `http`.
pub(crate) trait Listening: Send + Sync {
    /// Prepares the listeners of a plan: everything that may fail.
    ///
    /// # Errors
    /// The reason, for people; nothing has changed then.
    fn prepare(self: Arc<Self>, plan: &Plan) -> Result<PreparedListeners, String>;

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

    /// Reads the certificates of listeners again.
    pub(crate) fn read_certificates(&self) {
        if let Some(listeners) = self.listeners.get().and_then(std::sync::Weak::upgrade) {
            listeners.read_certificates();
        }
    }
}
