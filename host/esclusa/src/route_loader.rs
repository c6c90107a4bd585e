//! Routes at hand that do not run: for replays and trials, with a router at work or without.

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

/// Why a route is not at hand.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RouteUnavailable {
    /// There is none of that name.
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

/// As it is told of a dead letter, whose route was there once.
impl From<RouteUnavailable> for NotRedriven {
    fn from(missing: RouteUnavailable) -> Self {
        match missing {
            RouteUnavailable::Route(route) => NotRedriven::Routeless(route),
            RouteUnavailable::Plugin { .. } => NotRedriven::Host(missing.to_string()),
        }
    }
}

/// Routes that were made ready, by name.
pub(crate) struct RouteLoader {
    store: Store,
    plan: Plan,
    sandbox: Sandbox,
    ready: tokio::sync::Mutex<BTreeMap<Arc<str>, Arc<Route>>>,
}

impl RouteLoader {
    /// Nothing is loaded before it is asked for.
    #[must_use]
    pub(crate) fn new(store: Store, plan: Plan, sandbox: Sandbox) -> Self {
        RouteLoader { store, plan, sandbox, ready: tokio::sync::Mutex::default() }
    }

    /// The store that the routes work on.
    #[must_use]
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// What the configuration says of them.
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
        let version = plugins::load(&self.sandbox, spec).await;
        let version = version.map_err(|why| RouteUnavailable::Plugin { route: name.to_owned(), why })?;
        let cloud = Cloud::of(&self.plan).await;
        let wiring = Wiring { store: &self.store, cloud: cloud.as_ref(), plan: &self.plan };
        let (route, _) = wiring.route(spec, version, Meter::default()).ok_or_else(missing)?;
        ready.insert(spec.name.clone(), route.clone());
        Ok(route)
    }
}

/// A sandbox for a command. Compiled plugins are kept with the engine's data, and nowhere as long as there are none.
///
/// # Errors
/// The sandbox cannot be made.
pub(crate) fn sandbox(engine: &Path) -> Result<Sandbox, esclusa_sandbox::Error> {
    let cache_dir = engine.is_dir().then(|| engine.join("cache"));
    Sandbox::new(SandboxConfig { cache_dir, compiler: plugins::compiler(), ..SandboxConfig::default() })
}
