//! Ends the process some time after a signal to stop, whatever hangs. It has a thread of its own, which waits for
//! nothing else.
//!
//! The router normally stops by itself; this is for the case that it cannot. Nothing is lost: unfinished events are
//! delivered again, as after a crash.

use super::upkeep::Signals;
use crate::cli::Exit;
use crate::runtime::Runtime;
use crate::telemetry;
use anyhow::{Context, Result};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// Time beyond the drain timeout in which the router cuts off routes that hang, closes the store and finishes answers.
const GRACE: Duration = Duration::from_secs(5);
/// Time that the router gets to end by itself after a second signal.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Time for the last log lines: writing them may hang, too.
const LAST_LOG: Duration = Duration::from_secs(1);

/// The backstop of a process that runs a router.
pub(super) struct Backstop(Arc<OnceLock<Weak<Runtime>>>);

impl Backstop {
    /// Takes over the signals to stop. Until [`router_runs`](Self::router_runs) a signal ends the process at once.
    pub(super) fn start(drain: Duration) -> Result<Self> {
        let router = Arc::new(OnceLock::new());
        let clock = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let signals = {
            let _on = clock.enter();
            Signals::new()?
        };
        let waits = watch(signals, router.clone(), drain);
        let thread = std::thread::Builder::new().name("esclusa-stop".to_owned());
        thread.spawn(move || clock.block_on(waits)).context("cannot start the thread that waits for signals")?;
        Ok(Backstop(router))
    }

    /// From now on a signal gives the router time to finish.
    pub(super) fn router_runs(&self, runtime: &Arc<Runtime>) {
        // `run` calls this once.
        let _ = self.0.set(Arc::downgrade(runtime));
    }
}

/// Logs how long a stop may take. A supervisor that kills the router before has events in flight delivered again, at every deployment
/// (failures.md X13).
pub(super) fn tell_longest_stop(delay: Duration, drain: Duration) {
    let longest = until_end(delay, drain).saturating_add(LAST_LOG);
    let seconds = longest.as_secs().saturating_add(u64::from(longest.subsec_nanos() > 0));
    tracing::info!(
        seconds,
        "a stop takes at most this long: let the supervisor wait longer before it kills the router"
    );
}

/// The time from a signal to stop until the process ends whatever hangs.
fn until_end(delay: Duration, drain: Duration) -> Duration {
    delay.saturating_add(drain).saturating_add(GRACE)
}

async fn watch(mut signals: Signals, router: Arc<OnceLock<Weak<Runtime>>>, drain: Duration) {
    signals.stop().await;
    let Some(runtime) = router.get() else {
        end(Exit::Ok, || tracing::info!("stopped while starting; no event was received yet"));
    };
    let insisted = async {
        signals.stop().await;
        tokio::time::sleep(AT_ONCE).await;
    };
    let delay = runtime.upgrade().map(|runtime| runtime.loaded().plan.drain_delay()).unwrap_or_default();
    tokio::select! {
        () = tokio::time::sleep(until_end(delay, drain)) => {}
        () = insisted => {}
    }
    let runtime = runtime.clone();
    end(Exit::Incomplete, move || log_hanging(&runtime));
}

/// Ends the process after `log` has written the reason. It waits a moment only: standard error itself may hang.
fn end(exit: Exit, log: impl FnOnce() + Send + 'static) -> ! {
    let (written, wait) = channel();
    std::thread::spawn(move || {
        log();
        telemetry::finish();
        // The receiver may have given up waiting.
        let _ = written.send(());
    });
    // Written or not, the process ends.
    let _ = wait.recv_timeout(LAST_LOG);
    std::process::exit(i32::from(exit.code()));
}

/// Logs the routes that have not ended.
fn log_hanging(runtime: &Weak<Runtime>) {
    tracing::error!("the router did not end in time; events in flight are delivered again");
    let Some(runtime) = runtime.upgrade() else {
        return tracing::error!("every route had stopped: the store or a thread of the program hangs");
    };
    for route in runtime.status().routes.iter().filter(|route| route.state != "finished") {
        let (route, state, in_flight) = (&route.name, &route.state, route.reading.in_flight);
        tracing::error!(route, state, in_flight, "the route had not ended");
    }
}
