//! Loads plugins for routes: reads a file, compares its digest with the pinned one, compiles it, checks the route's
//! configuration against the plugin's schema, and configures it. Compiling and expensive checks run in child
//! processes, which can be killed.

pub(crate) mod config_check;
mod schema_cost;

use config_check::ConfigMisfit;
use esclusa_config::granted_names::Ungranted;
use esclusa_config::plan;
use esclusa_pipeline::meter::epoch_millis;
use esclusa_pipeline::route::LoadedPlugin;
use esclusa_sandbox::child::{ChildCommand, ChildError};
use esclusa_sandbox::{CompiledPlugin, Compiler, LoadError, PluginFile, RouteSettings, Sandbox, compile_plugin};
use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The hidden command with which the program starts itself to compile a plugin.
const COMPILE: &str = "compile-plugin";
/// The hidden command with which the program starts itself to check a configuration against the schema of a plugin.
const CHECK: &str = "check-config";

/// Why a plugin cannot serve a route.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PluginRefusal {
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
    /// Its schema is not a JSON Schema.
    #[error("the plugin's config schema is not a JSON Schema: {0}")]
    Schema(String),
    /// The check of the route's configuration against the plugin's schema took too much time or memory, or crashed.
    #[error(
        "the route's config cannot be checked with the plugin's schema: {0}; make the schema simpler, with fewer choices in each other (oneOf, anyOf, not, if) and fewer references and repetitions"
    )]
    Check(ChildError),
    /// The route's configuration does not follow the plugin's schema: each mistake.
    #[error("the route's config does not fit the plugin: {}", .0.iter().map(misfit).collect::<Vec<_>>().join("; "))]
    Config(Vec<ConfigMisfit>),
    /// The route's configuration names tables, object stores or outputs that the route does not grant.
    #[error("the route does not grant {}", .0.iter().map(|u| format!("{:?} ({})", u.name, u.grant)).collect::<Vec<_>>().join(", "))]
    Grants(Vec<Ungranted>),
    /// The plugin relies on order, and the route's source has none.
    #[error("the plugin relies on events in order, and the source {0:?} has none")]
    Order(Arc<str>),
    /// `init` refused the configuration.
    #[error("{0}")]
    Init(String),
}

/// A mistake as text.
fn misfit(ConfigMisfit { pointer, reason, .. }: &ConfigMisfit) -> String {
    if pointer.is_empty() { reason.clone() } else { format!("{pointer}: {reason}") }
}

/// Loads the plugins of routes, each file once and all at the same time. Gives all plugins in the order of the routes,
/// or all reasons.
///
/// # Errors
/// The route and the reason of each plugin that cannot be used.
pub(crate) async fn load_all<'a>(
    sandbox: &Sandbox,
    routes: impl Iterator<Item = &'a plan::RouteSpec>,
) -> Result<Vec<LoadedPlugin>, Vec<(Arc<str>, PluginRefusal)>> {
    let routes: Vec<&plan::RouteSpec> = routes.collect();
    // Routes may share a file: it is read and compiled once.
    let files: BTreeSet<&Path> = routes.iter().map(|route| &*route.plugin).collect();
    let load = |file: &'a Path| {
        let users = routes.iter().copied().filter(move |route| *route.plugin == *file);
        async move { (file, load_file(sandbox, file, users).await) }
    };
    let loaded: BTreeMap<&Path, _> = join_all(files.into_iter().map(load)).await.into_iter().collect();
    let configured = join_all(routes.iter().map(|route| async {
        match loaded.get(&*route.plugin)? {
            Ok(loaded) => Some(configure(loaded, route).await),
            Err(refused) => Some(Err(refused.clone().of(route))),
        }
    }));
    let (mut loaded_plugins, mut refused) = (Vec::new(), Vec::new());
    for (route, result) in routes.iter().zip(configured.await) {
        match result {
            Some(Ok(plugin)) => loaded_plugins.push(plugin),
            Some(Err(why)) => refused.push((route.name.clone(), why)),
            None => {}
        }
    }
    if refused.is_empty() { Ok(loaded_plugins) } else { Err(refused) }
}

/// Loads the plugin of a route.
///
/// # Errors
/// [`PluginRefusal`]; the route keeps its plugin.
pub(crate) async fn load(sandbox: &Sandbox, route: &plan::RouteSpec) -> Result<LoadedPlugin, PluginRefusal> {
    let loaded = load_file(sandbox, &route.plugin, std::iter::once(route)).await;
    configure(&loaded.map_err(|refused| refused.of(route))?, route).await
}

/// Why a file is of no use to any of its routes.
#[derive(Clone)]
enum FileRefusal {
    /// It cannot be loaded.
    Load(Arc<LoadError>),
    /// Every route pins another digest than this one.
    Unwanted(Arc<str>),
}

impl FileRefusal {
    /// The refusal for one of the routes.
    fn of(self, route: &plan::RouteSpec) -> PluginRefusal {
        match self {
            FileRefusal::Load(why) => PluginRefusal::Load(why),
            FileRefusal::Unwanted(found) => pin_refusal(&found, route),
        }
    }
}

/// Loads the plugin of a file for routes. Nothing of a file that all of them refuse by its digest is compiled, let alone run.
async fn load_file(
    sandbox: &Sandbox,
    path: &Path,
    mut routes: impl Iterator<Item = &plan::RouteSpec>,
) -> Result<CompiledPlugin, FileRefusal> {
    let refused = |why| FileRefusal::Load(Arc::new(why));
    let file = PluginFile::read(path).await.map_err(refused)?;
    if !routes.any(|route| takes(route, &file.digest)) {
        return Err(FileRefusal::Unwanted(file.digest));
    }
    sandbox.load(file).await.map_err(refused)
}

/// True if a route takes a file with this digest.
fn takes(route: &plan::RouteSpec, digest: &str) -> bool {
    route.sha256.as_deref().is_none_or(|pinned| pinned == digest)
}

fn pin_refusal(found: &str, route: &plan::RouteSpec) -> PluginRefusal {
    PluginRefusal::Pin { found: found.to_owned(), pinned: route.sha256.clone().unwrap_or_default() }
}

/// Configures a plugin for a route, which may share the file with routes that pin another one.
async fn configure(loaded: &CompiledPlugin, route: &plan::RouteSpec) -> Result<LoadedPlugin, PluginRefusal> {
    if !takes(route, &loaded.digest) {
        return Err(pin_refusal(&loaded.digest, route));
    }
    let info = &loaded.info;
    if let Some(schema) = &info.config_schema {
        config_check::check(schema, route).await?;
    }
    let settings = RouteSettings {
        route: route.name.clone(),
        config: route.config.to_string(),
        limits: route.limits,
        instances: route.instances,
        secrets: route.secrets.clone(),
    };
    let plugin = loaded.configure(settings).await.map_err(|error| PluginRefusal::Init(error.to_string()))?;
    Ok(LoadedPlugin {
        plugin: Arc::new(plugin),
        name: info.name.clone(),
        version: info.version.clone(),
        since: epoch_millis(),
        reads: AtomicBool::new(false),
    })
}

/// Runs the hidden command of a child process; `None`: the command line has none. Call it before anything else: a
/// child first sets limits of memory and time for itself.
#[must_use]
pub fn serve_child() -> Option<ExitCode> {
    match std::env::args_os().nth(1)?.to_str()? {
        COMPILE => Some(compile_plugin()),
        CHECK => Some(config_check::check_config()),
        _ => None,
    }
}

/// The program that checks configurations, in a child process.
#[must_use]
fn checker() -> ChildCommand {
    ChildCommand::this(CHECK)
}

/// The compiler of plugins, in a child process.
#[must_use]
pub(crate) fn compiler() -> Compiler {
    Compiler::Child(ChildCommand::this(COMPILE))
}
