//! The listeners of a router, as its reloads see them.

use super::Runtime;
use crate::refusal::{Refusal, not_bound};
use esclusa_config::plan::Plan;
use esclusa_config::{Code, ConfigPlace, Diagnostic, LoadedConfig, Locator};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

/// Why a router that stops takes no other configuration.
pub(crate) const STOPPING: &str =
    "the router is stopping and takes no other configuration: its next start reads routes.toml";

/// Puts prepared listeners in force, by the plan that they were prepared for.
pub(crate) type PreparedListeners = Box<dyn FnOnce(&Plan) + Send>;

/// Why a listener cannot serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotListening {
    /// Its address cannot be bound.
    #[error("[listener.{name}] cannot listen on {address}: {why}")]
    Address {
        /// The listener.
        name: String,
        /// Its address.
        address: SocketAddr,
        /// Why.
        why: std::io::Error,
    },
    /// Its certificate or key cannot be used.
    #[error("[listener.{name}]: {why}")]
    Tls {
        /// The listener.
        name: String,
        /// Why.
        why: String,
    },
}

impl NotListening {
    /// The problem at its place in routes.toml.
    #[must_use]
    pub(crate) fn problem(&self, locator: &Locator) -> Diagnostic {
        match self {
            NotListening::Address { name, address, why } => {
                not_bound(locator, &["listener", name], Code::LISTENER_NOT_BOUND, *address, why)
            }
            NotListening::Tls { name, .. } => {
                let help = "write certificate and key as PEM files that belong together and that the router may read";
                let place = ConfigPlace::Key(&["listener", name, "tls"]);
                locator.diagnostic(place, Code::LISTENER_BAD_TLS, &self.to_string(), Some(help))
            }
        }
    }
}

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
    /// True once the router stops: prepared listeners have no effect then.
    fn stopping(&self) -> bool;

    /// Checks the listeners of a plan as far as that takes no address: a reload that waits for its plugins must not hold one that a
    /// newer reload needs.
    ///
    /// # Errors
    /// [`NotListening`].
    fn check(&self, plan: &Plan) -> Result<(), NotListening>;

    /// Prepares the listeners of a plan: everything that may fail. They hold their addresses from then on, so one reload at a time may
    /// prepare them, right before it puts them in force.
    ///
    /// # Errors
    /// [`NotListening`]; nothing has changed then.
    fn prepare(self: Arc<Self>, plan: &Plan) -> Result<PreparedListeners, NotListening>;

    /// The listeners at this moment, by name.
    fn status(&self) -> Vec<ListenerStatus>;
}

impl Runtime {
    /// Reloads change these listeners from now on.
    pub(crate) fn listen_with(&self, listeners: &Arc<dyn Listening>) {
        // Set once, at the start.
        let _ = self.listeners.set(Arc::downgrade(listeners));
    }

    pub(super) fn check_listeners(&self, new: &LoadedConfig) -> Result<(), Refusal> {
        let checked = self.changeable_listeners()?.map_or(Ok(()), |listeners| listeners.check(&new.plan));
        checked.map_err(|why| why.problem(&new.locator).into())
    }

    pub(super) fn prepare_listeners(&self, new: &LoadedConfig) -> Result<PreparedListeners, Refusal> {
        match self.changeable_listeners()? {
            Some(listeners) => listeners.prepare(&new.plan).map_err(|why| why.problem(&new.locator).into()),
            None => Ok(Box::new(|_| ())),
        }
    }

    pub(super) fn listener_status(&self) -> Vec<ListenerStatus> {
        self.listening().map_or_else(Vec::new, |listeners| listeners.status())
    }

    /// The listeners, for a reload to change.
    fn changeable_listeners(&self) -> Result<Option<Arc<dyn Listening>>, Refusal> {
        let listeners = self.listening();
        if listeners.as_ref().is_some_and(|listeners| listeners.stopping()) {
            return Err(STOPPING.to_owned().into());
        }
        Ok(listeners)
    }

    fn listening(&self) -> Option<Arc<dyn Listening>> {
        self.listeners.get().and_then(Weak::upgrade)
    }
}
