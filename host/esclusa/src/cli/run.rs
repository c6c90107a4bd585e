//! `esclusa run`: starts the router, keeps it up to date, and stops it.

mod backstop;
mod upkeep;

use super::connect::RouterAddress;
use super::{GlobalArgs, InvalidConfiguration, print};
use crate::admin::{self, StartingListener};
use crate::cli::Exit;
use crate::configuration;
use crate::file_watch::FileWatch;
use crate::listener::Listeners;
use crate::plugins;
use crate::runtime::status::Status;
use crate::runtime::{RunOptions, Runtime, StartError};
use crate::threads::Threads;
use anyhow::{Context, Result, anyhow, bail};
use backstop::Backstop;
use esclusa_config::LoadedConfig;
use esclusa_sandbox::{Sandbox, SandboxConfig};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use upkeep::Upkeep;

pub(super) use upkeep::Signals;

/// `esclusa run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  esclusa run -c routes.toml\n  esclusa run --until-idle --log-format json")]
pub(super) struct RunArgs {
    /// Stop when all finite sources are read to their end and nothing is in flight
    #[arg(long)]
    until_idle: bool,
    /// How long events in flight may take to finish when the router stops
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    drain_timeout: Duration,
}

fn time(text: &str) -> Result<Duration, String> {
    esclusa_config::duration(text).ok_or_else(|| format!("{text:?} is not a time: write 500ms, 30s or 2m"))
}

impl RunArgs {
    /// Runs until a signal, or with `--until-idle` until nothing is left to do.
    pub(super) async fn run(&self, global: &GlobalArgs) -> Result<Exit> {
        // Before anything else: a signal ends even a start that hangs.
        let backstop = Backstop::start(self.drain_timeout)?;
        raise_file_limit();
        // Dropped last: health is answered until the end.
        let threads = Threads::of_admin().context("cannot start the threads of the HTTP side")?;
        let mut watch = FileWatch::new();
        // Watched before it is read, so that a change during the start is noticed.
        watch.set([global.config.clone()]);
        let loaded = global.load()?;
        watch.set(configuration::files(&global.config, &loaded));
        let mut signals = Signals::new()?;
        let starting = listen(&threads, &loaded).await?;
        let guests = Threads::of_guests().context("cannot start the threads of guests")?;
        let runtime = start(loaded, &guests, self.until_idle).await?;
        backstop.router_runs(&runtime);
        let before = runtime.status();
        let serve = |starting| admin::serve(starting, runtime.clone(), global.config.clone());
        let admin = starting.map(serve).transpose()?;
        let address = admin.as_ref().map(|admin| admin.address);
        let listeners = Listeners::start(&runtime).map_err(anyhow::Error::msg)?;
        let posted = post(&runtime.loaded(), address, &listeners)?;
        backstop::tell_longest_stop(runtime.loaded().plan.drain_delay(), self.drain_timeout);

        let mut upkeep = Upkeep::new(runtime.clone(), global.config.clone(), watch);
        let failed = tokio::select! {
            () = upkeep.run(&mut signals) => None,
            () = runtime.until_idle(), if self.until_idle => {
                tracing::info!("nothing is left to do");
                None
            }
            why = runtime.store().failed() => Some(why),
        };
        let after = runtime.status();
        // Before readiness says so: a client that has seen it gets no answer that keeps its connection.
        listeners.drain();
        if let Some(admin) = &admin {
            admin.drain();
        }
        tracing::info!(timeout = ?self.drain_timeout, "stopping: events in flight are finished first");
        let complete = tokio::select! {
            complete = self.drain(&listeners, &runtime) => complete,
            () = signals.stop() => {
                tracing::warn!("stopped at once; events in flight are delivered again");
                drop(posted);
                std::process::exit(i32::from(Exit::Incomplete.code()));
            }
        };
        if let Some(admin) = admin {
            admin.close().await;
        }
        drop(posted);
        summarize(&before, &after);
        if let Some(why) = failed {
            bail!(
                "the store at {} cannot be written any more: {why}; nothing acknowledged is lost: mend the disk, or free space on it, and start the router again",
                runtime.loaded().plan.engine.display()
            );
        }
        Ok(self.exit(complete, &after))
    }

    /// Serves clients of listeners for their delay, answers the requests that were read, and stops the routes. True if everything was
    /// finished in time.
    async fn drain(&self, listeners: &Listeners, runtime: &Runtime) -> bool {
        tokio::time::sleep(runtime.loaded().plan.drain_delay()).await;
        let end = Instant::now() + self.drain_timeout;
        listeners.close(self.drain_timeout).await;
        runtime.stop(end.saturating_duration_since(Instant::now())).await
    }

    fn exit(&self, complete: bool, after: &Status) -> Exit {
        let halted = after.routes.iter().any(|route| route.state == "halted" || route.breaker.is_some());
        match complete {
            true if self.until_idle && halted => Exit::Failed,
            true => Exit::Ok,
            false => Exit::Incomplete,
        }
    }
}

/// Raises the limit of open files to the hard limit: the usual soft limit is low for the sake of programs that use
/// `select`.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, limit = limit.current, "the limit of open files cannot be raised");
    }
}

/// Listens if the configuration has `[admin]`.
async fn listen(threads: &Threads, loaded: &LoadedConfig) -> Result<Option<StartingListener>> {
    let Some(plan) = &loaded.plan.admin else { return Ok(None) };
    let starting = StartingListener::listen(threads, plan.listen).await;
    Ok(Some(starting.with_context(|| format!("cannot listen on {}", plan.listen))?))
}

async fn start(loaded: LoadedConfig, guests: &Threads, until_idle: bool) -> Result<Arc<Runtime>> {
    let cache_dir = Some(loaded.plan.engine.join("cache"));
    let (compiler, threads) = (plugins::compiler(), guests.handle());
    let sandbox = Sandbox::new(SandboxConfig { cache_dir, compiler, threads, ..SandboxConfig::default() })?;
    let (plan, locator) = (loaded.plan.clone(), loaded.locator.clone());
    match Runtime::start(loaded, sandbox, RunOptions { until_idle }).await {
        Ok(runtime) => Ok(runtime),
        Err(StartError::Plugins(refused)) => {
            Err(InvalidConfiguration(configuration::refusals(&plan, &locator, &refused)).into())
        }
        Err(error) => Err(anyhow!(error)),
    }
}

/// Writes `router.json`, and prints the addresses that can be opened.
fn post(
    loaded: &LoadedConfig,
    admin: Option<std::net::SocketAddr>,
    listeners: &Listeners,
) -> Result<super::connect::RouterFile> {
    let listeners = listeners.addresses();
    announce(loaded, admin, &listeners);
    RouterAddress { pid: std::process::id(), admin, listeners }.post(&loaded.plan.engine)
}

/// Prints the addresses that can be opened.
fn announce(
    loaded: &LoadedConfig,
    address: Option<std::net::SocketAddr>,
    listeners: &BTreeMap<String, std::net::SocketAddr>,
) {
    let plan = &loaded.plan;
    let routes = plan.routes.len();
    match address {
        Some(address) => {
            print::message(&format!("esclusa runs {routes} route(s); open http://{address}/"));
            for (name, source) in &plan.sources {
                if matches!(source, esclusa_config::plan::Source::Http { on: None, .. }) {
                    print::message(&format!("  events for {name}: POST http://{address}/ingest/{name}"));
                }
            }
        }
        None => {
            print::message(&format!("esclusa runs {routes} route(s); without [admin] there is no dashboard and no API"))
        }
    }
    for (name, address) in listeners {
        let tls = plan.listeners.get(name).is_some_and(|listener| listener.tls.is_some());
        let scheme = if tls { "https" } else { "http" };
        print::message(&format!("  listener {name}: {scheme}://{address}/"));
    }
    tracing::info!(routes, engine = %plan.engine.display(), "running");
}

/// Prints the halted routes, those with an open breaker, and the number of new dead letters.
fn summarize(before: &Status, after: &Status) {
    for route in &after.routes {
        if route.state == "halted" {
            let reason = route.reason.as_deref().unwrap_or("no reason given");
            print::message(&format!("route {} was halted by its plugin: {}", route.name, print::visible(reason)));
        }
        if let Some(open) = &route.breaker {
            let why = format!("{}: {}", open.code, print::visible(&open.message));
            print::message(&format!("route {} waits, because its plugin's calls fail: {why}", route.name));
        }
        let earlier = before.routes.iter().find(|r| r.name == route.name).map_or(0, |r| r.reading.counts.dead);
        let dead = route.reading.counts.dead.saturating_sub(earlier);
        if dead > 0 {
            print::message(&format!("route {} gave up {dead} event(s); see `esclusa dlq ls --route {0}`", route.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::time;
    use std::time::Duration;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(time("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(time("250ms"), Ok(Duration::from_millis(250)));
        assert!(time("30").is_err() && time("s").is_err() && time("1 day").is_err());
    }
}
