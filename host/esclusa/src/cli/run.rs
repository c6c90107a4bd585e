//! `esclusa run`: starts the router, keeps it up to date, and stops it.

mod backstop;
mod start;
mod upkeep;

use super::router_file::Phase;
use super::{GlobalArgs, print};
use crate::cli::Exit;
use crate::configuration;
use crate::file_watch::FileWatch;
use crate::listener::Listeners;
use crate::runtime::Runtime;
use crate::runtime::status::Status;
use crate::telemetry;
use crate::threads::Threads;
use anyhow::{Context, Result, bail};
use backstop::Backstop;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use start::{RouterThreads, StartedRouter};
use std::collections::BTreeMap;
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
        let threads = RouterThreads {
            admin: Threads::of_admin().context("cannot start the threads of the HTTP side")?,
            guests: Threads::of_guests().context("cannot start the threads of guests")?,
        };
        let mut watch = FileWatch::new();
        // Watched before it is read, so that a change during the start is noticed.
        watch.set([global.config.clone()]);
        let loaded = global.load()?;
        watch.set(configuration::files(&global.config, &loaded));
        let mut signals = Signals::new()?;
        let started = self.start(global, &threads, loaded).await?;
        let StartedRouter { runtime, admin, listeners, mut file, given_up } = started;
        backstop.router_runs(&runtime);
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
        file.set_phase(Phase::Draining);
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
                drop(file);
                telemetry::finish();
                std::process::exit(i32::from(Exit::Incomplete.code()));
            }
        };
        if let Some(admin) = admin {
            admin.close().await;
        }
        drop(file);
        summarize(&given_up, &after);
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

/// Prints the halted routes, those with an open breaker, and the number of new dead letters: those beyond what each route had
/// given up before.
fn summarize(given_up: &BTreeMap<String, u64>, after: &Status) {
    for route in &after.routes {
        if route.state == "halted" {
            let reason = route.reason.as_deref().unwrap_or("no reason given");
            print::message(&format!("route {} was halted by its plugin: {}", route.name, print::visible(reason)));
        }
        if let Some(open) = &route.breaker {
            let why = format!("{}: {}", open.code, print::visible(&open.message));
            print::message(&format!("route {} waits, because its plugin's calls fail: {why}", route.name));
        }
        let earlier = given_up.get(&route.name).copied().unwrap_or_default();
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
