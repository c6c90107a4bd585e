//! Routes at hand that do not run: for replays and trials, with a router at work or without.

use super::cloud::Cloud;
use super::redrive::NotRedriven;
use super::wiring::Wiring;
use super::{Runtime, plugins};
use crate::child;
use esclusa_config::plan::Plan;
use esclusa_embedded::Store;
use esclusa_pipeline::meter::Meter;
use esclusa_pipeline::route::Route;
use esclusa_sandbox::{Sandbox, SandboxConfig};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Why a route is not at hand.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// There is none of that name.
    #[error("there is no route {0:?}")]
    Route(String),
    /// Its plugin cannot be used.
    #[error("route {route}: {why}")]
    Plugin {
        /// The route.
        route: String,
        /// Why.
        why: plugins::Refused,
    },
}

/// As it is told of a dead letter, whose route was there once.
impl From<Missing> for NotRedriven {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Route(route) => NotRedriven::Routeless(route),
            Missing::Plugin { .. } => NotRedriven::Host(missing.to_string()),
        }
    }
}

/// Routes that were made ready, by name.
pub struct Bench {
    store: Store,
    plan: Plan,
    sandbox: Sandbox,
    ready: tokio::sync::Mutex<BTreeMap<Arc<str>, Arc<Route>>>,
}

impl Bench {
    /// Nothing is loaded before it is asked for.
    #[must_use]
    pub fn new(store: Store, plan: Plan, sandbox: Sandbox) -> Self {
        Bench { store, plan, sandbox, ready: tokio::sync::Mutex::default() }
    }

    /// The store that the routes work on.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What the configuration says of them.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// A route with its plugin loaded.
    ///
    /// # Errors
    /// [`Missing`].
    pub async fn route(&self, name: &str) -> Result<Arc<Route>, Missing> {
        let mut ready = self.ready.lock().await;
        if let Some(route) = ready.get(name) {
            return Ok(route.clone());
        }
        let missing = || Missing::Route(name.to_owned());
        let spec = self.plan.routes.iter().find(|route| &*route.name == name).ok_or_else(missing)?;
        let version = plugins::load(&self.sandbox, spec).await;
        let version = version.map_err(|why| Missing::Plugin { route: name.to_owned(), why })?;
        let cloud = Cloud::of(&self.plan).await;
        let wiring = Wiring { store: &self.store, cloud: cloud.as_ref(), plan: &self.plan };
        let (route, _) = wiring.route(spec, version, Meter::default()).ok_or_else(missing)?;
        ready.insert(spec.name.clone(), route.clone());
        Ok(route)
    }
}

impl Runtime {
    /// A route that runs.
    ///
    /// # Errors
    /// [`Missing::Route`].
    pub fn route(&self, name: &str) -> Result<Arc<Route>, Missing> {
        let running = self.running();
        running.get(name).map(|running| running.route.clone()).ok_or_else(|| Missing::Route(name.to_owned()))
    }
}

/// A sandbox for a command. Compiled plugins are kept with the engine's data, and nowhere as long as there are none.
///
/// # Errors
/// The sandbox cannot be made.
pub fn sandbox(engine: &Path) -> Result<Sandbox, esclusa_sandbox::SandboxError> {
    let cache_dir = engine.is_dir().then(|| engine.join("cache"));
    Sandbox::new(SandboxConfig { cache_dir, compiler: child::compiler(), ..SandboxConfig::default() })
}
