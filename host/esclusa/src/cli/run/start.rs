//! The start of a router, in the order in which it can fail: addresses, store, plugins. Whatever cannot be used is told before
//! the slow steps, at its key of routes.toml.

use super::RunArgs;
use crate::admin::{self, RunningListener, StartingListener};
use crate::cli::cannot_start::CannotStart;
use crate::cli::router_file::{Phase, RouterFile};
use crate::cli::{GlobalArgs, InvalidConfiguration, print};
use crate::listener::{self, Listeners};
use crate::plugins;
use crate::refusal;
use crate::runtime::{RunOptions, Runtime};
use crate::threads::Threads;
use crate::wiring::store_schema;
use anyhow::{Context, Result};
use esclusa_config::LoadedConfig;
use esclusa_config::plan::{Plan, Source};
use esclusa_embedded::{LockedDirectory, OpenError, Store, StoreOptions};
use esclusa_flow::fault::Fault;
use esclusa_sandbox::{Sandbox, SandboxConfig};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// Threads of a router that the program holds until its end.
pub(super) struct RouterThreads {
    /// Those of the HTTP side.
    pub admin: Threads,
    /// Those of guests.
    pub guests: Threads,
}

/// A router that runs, and everything that serves it.
pub(super) struct StartedRouter {
    /// The router.
    pub runtime: Arc<Runtime>,
    /// Dashboard and API; `None` without `[admin]`.
    pub admin: Option<RunningListener>,
    /// Its listeners.
    pub listeners: Arc<Listeners>,
    /// `router.json`.
    pub file: RouterFile,
    /// Events that each route had given up before it started.
    pub given_up: BTreeMap<String, u64>,
}

impl RunArgs {
    /// Starts the router of a configuration.
    pub(super) async fn start(
        &self,
        global: &GlobalArgs,
        threads: &RouterThreads,
        loaded: LoadedConfig,
    ) -> Result<StartedRouter> {
        let (plan, locator) = (loaded.plan.clone(), loaded.locator.clone());
        let starting = listen(&threads.admin, &loaded).await?;
        listener::check(&plan).map_err(|why| CannotStart::listener(&locator, &why))?;
        if self.until_idle
            && let Some((source, path)) = missing_file(&plan)
        {
            return Err(CannotStart::missing_file(&locator, source, path).into());
        }
        let refused = |why: OpenError| CannotStart::store(&locator, &plan, &why);
        let engine = plan.engine.clone();
        let locked = tokio::task::spawn_blocking(move || LockedDirectory::take(engine)).await?;
        let locked = locked.map_err(refused)?;
        let address = starting.as_ref().map(StartingListener::address);
        let mut file = RouterFile::create(&locator, &plan.engine, address)?;
        let schema = store_schema::of(&plan);
        let open = move || Store::open_locked(locked, schema, StoreOptions::default());
        let cache_dir = Some(plan.engine.join("cache"));
        let (compiler, guests) = (plugins::compiler(), threads.guests.handle());
        let sandbox = Sandbox::new(SandboxConfig { cache_dir, compiler, threads: guests, ..SandboxConfig::default() })?;
        let opening = async {
            let store = tokio::task::spawn_blocking(open).await?.map_err(refused)?;
            file.set_phase(Phase::Compiling);
            anyhow::Ok(store)
        };
        // A large store takes longer to open than plugins from the cache take to load. If it cannot be opened, nobody waits for them.
        let loading = async { Ok(plugins::load_all(&sandbox, plan.routes.iter()).await) };
        let (store, loaded_plugins) = tokio::try_join!(opening, loading)?;
        let loaded_plugins =
            loaded_plugins.map_err(|refused| InvalidConfiguration(refusal::refusals(&plan, &locator, &refused)))?;
        // Before any route starts: one may have given an event up before the router is announced.
        let given_up = plan.routes.iter().map(|route| Ok((route.name.to_string(), store.counts(&route.name)?.dead)));
        let given_up = given_up.collect::<Result<_, Fault>>()?;

        let options = RunOptions { until_idle: self.until_idle };
        let runtime = Runtime::start(loaded, loaded_plugins, store, sandbox, options).await;
        let listeners = Threads::of_listeners().context("cannot start the threads of listeners")?;
        let listeners = Listeners::start(&runtime, listeners).map_err(|why| CannotStart::listener(&locator, &why))?;
        // Who has seen that the router is ready finds the addresses, and who has read that it runs is answered by it.
        file.set_listeners(listeners.addresses());
        let admin = starting.map(|starting| admin::serve(starting, runtime.clone(), global.config.clone()));
        file.set_phase(Phase::Running);
        announce(&plan, address, &listeners);
        Ok(StartedRouter { runtime, admin, listeners, file, given_up })
    }
}

/// Listens if the configuration has `[admin]`.
async fn listen(threads: &Threads, loaded: &LoadedConfig) -> Result<Option<StartingListener>, CannotStart> {
    let Some(plan) = &loaded.plan.admin else { return Ok(None) };
    let starting = StartingListener::listen(threads, plan.listen).await;
    starting.map(Some).map_err(|why| CannotStart::admin(&loaded.locator, plan.listen, &why))
}

/// A source of an enabled route whose file is to be read to its end, and is not there: with `--until-idle` the router would wait for it
/// without an end.
fn missing_file(plan: &Plan) -> Option<(&str, &Path)> {
    plan.routes.iter().filter(|route| route.enabled).find_map(|route| match plan.sources.get(&route.source)? {
        Source::File { path, follow: false } if !path.exists() => Some((&*route.source, path.as_path())),
        _ => None,
    })
}

/// Prints the addresses that can be opened.
fn announce(plan: &Plan, address: Option<SocketAddr>, listeners: &Listeners) {
    let routes = plan.routes.len();
    match address {
        Some(address) => {
            print::message(&format!("esclusa runs {routes} route(s); open http://{address}/"));
            for (name, source) in &plan.sources {
                if matches!(source, Source::Http { on: None, .. }) {
                    print::message(&format!("  events for {name}: POST http://{address}/ingest/{name}"));
                }
            }
        }
        None => {
            print::message(&format!("esclusa runs {routes} route(s); without [admin] there is no dashboard and no API"))
        }
    }
    for (name, address) in listeners.addresses() {
        let tls = plan.listeners.get(&name).is_some_and(|listener| listener.tls.is_some());
        let scheme = if tls { "https" } else { "http" };
        print::message(&format!("  listener {name}: {scheme}://{address}/"));
    }
    tracing::info!(routes, engine = %plan.engine.display(), "running");
}
