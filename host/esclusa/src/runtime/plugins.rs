//! Loads plugins for routes: reads, pins, compiles, checks the configuration against the plugin's schema, and
//! configures. Nothing that fails here takes traffic.

pub mod check;
mod cost;

use esclusa_config::granted_names::Ungranted;
use esclusa_config::plan;
use esclusa_pipeline::meter::epoch_millis;
use esclusa_pipeline::route::LoadedPlugin;
use esclusa_sandbox::child::ChildError;
use esclusa_sandbox::{CompiledPlugin, LoadError, RouteSettings, Sandbox};
use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Why a version of a plugin does not serve a route.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It cannot be loaded.
    #[error("{0}")]
    Load(Arc<LoadError>),
    /// Its digest is not the pinned one.
    #[error("sha256 is {found}, but the route pins {pinned}")]
    Pin {
        /// The digest of the file.
        found: String,
        /// The digest of the route.
        pinned: String,
    },
    /// Its schema is no JSON Schema.
    #[error("the plugin's config schema is not a JSON Schema: {0}")]
    Schema(String),
    /// The route's configuration could not be checked with the plugin's schema.
    #[error(
        "the route's config cannot be checked with the plugin's schema: {0}; make the schema simpler, with fewer choices in each other (oneOf, anyOf, not, if) and fewer references and repetitions"
    )]
    Check(ChildError),
    /// The route's configuration does not fit the plugin's schema: JSON pointer and reason, each.
    #[error("the route's config does not fit the plugin: {}", .0.iter().map(misfit).collect::<Vec<_>>().join("; "))]
    Config(Vec<(String, String)>),
    /// The route's configuration names what the route does not grant.
    #[error("the route does not grant {}", .0.iter().map(|u| format!("{:?} ({})", u.name, u.grant)).collect::<Vec<_>>().join(", "))]
    Grants(Vec<Ungranted>),
    /// The plugin relies on order, and the route's source has none.
    #[error("the plugin relies on events in order, and the source {0:?} has none")]
    Order(Arc<str>),
    /// `init` refused the configuration.
    #[error("{0}")]
    Init(String),
}

/// What does not fit, after its place; the pointer to the config as a whole is empty.
fn misfit((at, why): &(String, String)) -> String {
    if at.is_empty() { why.clone() } else { format!("{at}: {why}") }
}

/// Loads the plugins of routes, each file once and all at the same time; all of them, or every reason, in the order of the
/// routes.
///
/// # Errors
/// Route and reason, each.
pub async fn load_all<'a>(
    sandbox: &Sandbox,
    routes: impl Iterator<Item = &'a plan::RouteSpec>,
) -> Result<Vec<LoadedPlugin>, Vec<(Arc<str>, Refused)>> {
    let routes: Vec<&plan::RouteSpec> = routes.collect();
    let files: BTreeSet<&Path> = routes.iter().map(|route| &*route.plugin).collect();
    let load = |file| async move { (file, sandbox.load(file).await.map_err(Arc::new)) };
    let loaded: BTreeMap<&Path, _> = join_all(files.into_iter().map(load)).await.into_iter().collect();
    let configured = join_all(routes.iter().map(|route| async {
        match loaded.get(&*route.plugin)? {
            Ok(loaded) => Some(configure(loaded, route).await),
            Err(error) => Some(Err(Refused::Load(error.clone()))),
        }
    }));
    let (mut versions, mut refused) = (Vec::new(), Vec::new());
    for (route, result) in routes.iter().zip(configured.await) {
        match result {
            Some(Ok(version)) => versions.push(version),
            Some(Err(why)) => refused.push((route.name.clone(), why)),
            None => {}
        }
    }
    if refused.is_empty() { Ok(versions) } else { Err(refused) }
}

/// Loads the plugin of a route.
///
/// # Errors
/// [`Refused`]; the route keeps what it has.
pub async fn load(sandbox: &Sandbox, route: &plan::RouteSpec) -> Result<LoadedPlugin, Refused> {
    let loaded = sandbox.load(&route.plugin).await.map_err(|error| Refused::Load(Arc::new(error)))?;
    configure(&loaded, route).await
}

/// Configures a loaded plugin for a route.
///
/// # Errors
/// [`Refused`].
pub async fn configure(loaded: &CompiledPlugin, route: &plan::RouteSpec) -> Result<LoadedPlugin, Refused> {
    if let Some(pinned) = &route.sha256
        && **pinned != *loaded.digest
    {
        return Err(Refused::Pin { found: loaded.digest.to_string(), pinned: pinned.clone() });
    }
    let info = &loaded.info;
    if let Some(schema) = &info.config_schema {
        check::check(schema, route).await?;
    }
    let settings = RouteSettings {
        route: route.name.clone(),
        config: route.config.to_string(),
        limits: route.limits,
        instances: route.instances,
    };
    let plugin = loaded.configure(settings).await.map_err(|error| Refused::Init(error.to_string()))?;
    Ok(LoadedPlugin {
        plugin: Arc::new(plugin),
        name: info.name.clone(),
        version: info.version.clone(),
        since: epoch_millis(),
        reads: AtomicBool::new(false),
    })
}
