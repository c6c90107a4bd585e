//! Loads routes without running them: for commands that redrive dead letters or invoke plugins while no router runs.

use crate::plugins;
use crate::redrive::NotRedriven;
use crate::wiring::Wiring;
use crate::wiring::aws::Cloud;
use esclusa_config::plan::Plan;
use esclusa_embedded::Store;
use esclusa_pipeline::meter::Meter;
use esclusa_pipeline::route::Route;
use esclusa_sandbox::{Sandbox, SandboxConfig};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Why a route cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RouteUnavailable {
    /// There is no route of that name.
    #[error("there is no route {0:?}")]
    Route(String),
    /// Its plugin cannot be used.
    #[error("route {route}: {why}")]
    Plugin {
        /// The route.
        route: String,
        /// Why.
        why: plugins::PluginRefusal,
    },
}

/// The message for a dead letter: its route existed once.
impl From<RouteUnavailable> for NotRedriven {
    fn from(missing: RouteUnavailable) -> Self {
        match missing {
            RouteUnavailable::Route(route) => NotRedriven::Routeless(route),
            RouteUnavailable::Plugin { .. } => NotRedriven::Host(missing.to_string()),
        }
    }
}

/// Loads routes on first use and keeps them.
pub(crate) struct RouteLoader {
    store: Store,
    plan: Plan,
    sandbox: Sandbox,
    ready: tokio::sync::Mutex<BTreeMap<Arc<str>, Arc<Route>>>,
}

impl RouteLoader {
    /// A loader for the routes of a plan; nothing is loaded yet.
    #[must_use]
    pub(crate) fn new(store: Store, plan: Plan, sandbox: Sandbox) -> Self {
        RouteLoader { store, plan, sandbox, ready: tokio::sync::Mutex::default() }
    }

    /// The store that the routes work on.
    #[must_use]
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The plan of the routes.
    #[must_use]
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// A route with its plugin loaded.
    ///
    /// # Errors
    /// [`RouteUnavailable`].
    pub(crate) async fn route(&self, name: &str) -> Result<Arc<Route>, RouteUnavailable> {
        let mut ready = self.ready.lock().await;
        if let Some(route) = ready.get(name) {
            return Ok(route.clone());
        }
        let missing = || RouteUnavailable::Route(name.to_owned());
        let spec = self.plan.routes.iter().find(|route| &*route.name == name).ok_or_else(missing)?;
        let plugin = plugins::load(&self.sandbox, spec).await;
        let plugin = plugin.map_err(|why| RouteUnavailable::Plugin { route: name.to_owned(), why })?;
        let cloud = Cloud::of(&self.plan).await;
        let wiring = Wiring { store: &self.store, cloud: cloud.as_ref(), plan: &self.plan };
        let (route, _) = wiring.route(spec, plugin, Meter::default()).ok_or_else(missing)?;
        ready.insert(spec.name.clone(), route.clone());
        Ok(route)
    }
}

/// A sandbox for a command. Compiled plugins are cached in the directory of the engine, if it exists: a command does
/// not create it.
///
/// # Errors
/// The sandbox cannot be made.
pub(crate) fn sandbox(engine: &Path) -> Result<Sandbox, esclusa_sandbox::SandboxError> {
    let cache_dir = engine.is_dir().then(|| engine.join("cache"));
    Sandbox::new(SandboxConfig { cache_dir, compiler: plugins::compiler(), ..SandboxConfig::default() })
}
