//! Ends the process after a signal to stop, whatever hangs: on a thread of its own, which waits for nothing else.
//!
//! The router stops by itself when it can; this is for when it cannot. Nothing is lost: what was not finished is delivered
//! again, as after a crash.

use super::upkeep::Signals;
use crate::cli::Exit;
use crate::runtime::Runtime;
use anyhow::{Context, Result};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// What the router may need beyond its drain time: routes that hang are cut off, the store is closed, answers are given.
const GRACE: Duration = Duration::from_secs(5);
/// After a second signal the router may take this long to end at once.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Telling what hangs may hang, too.
const TELLING: Duration = Duration::from_secs(1);

/// The backstop of a process that runs a router.
pub(super) struct Backstop(Arc<OnceLock<Weak<Runtime>>>);

impl Backstop {
    /// Takes the signals to stop over. Until the router runs, one of them ends the process at once.
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

    /// From now on there is something to finish when a signal comes.
    pub(super) fn router_runs(&self, runtime: &Arc<Runtime>) {
        // It is said once.
        let _ = self.0.set(Arc::downgrade(runtime));
    }
}

async fn watch(mut signals: Signals, router: Arc<OnceLock<Weak<Runtime>>>, drain: Duration) {
    signals.stop().await;
    let Some(runtime) = router.get() else {
        end(Exit::Ok, || tracing::info!("stopped while starting; nothing was taken yet"));
    };
    let insisted = async {
        signals.stop().await;
        tokio::time::sleep(AT_ONCE).await;
    };
    tokio::select! {
        () = tokio::time::sleep(drain.saturating_add(GRACE)) => {}
        () = insisted => {}
    }
    let runtime = runtime.clone();
    end(Exit::Incomplete, move || tell(&runtime));
}

/// Ends the process, once it was told why or that takes too long: standard error may be what hangs.
fn end(exit: Exit, tell: impl FnOnce() + Send + 'static) -> ! {
    let (told, wait) = channel();
    std::thread::spawn(move || {
        tell();
        // The other end may have waited long enough.
        let _ = told.send(());
    });
    // Told or not, it ends.
    let _ = wait.recv_timeout(TELLING);
    std::process::exit(i32::from(exit.code()));
}

/// Tells what hangs, as far as that can be known.
fn tell(runtime: &Weak<Runtime>) {
    tracing::error!("the router did not end in time; what was in flight is delivered again");
    let Some(runtime) = runtime.upgrade() else {
        return tracing::error!("every route had stopped: the store or a thread of the program hangs");
    };
    for route in runtime.status().routes.iter().filter(|route| route.state != "finished") {
        let (route, state, in_flight) = (&route.name, &route.state, route.reading.in_flight);
        tracing::error!(route, state, in_flight, "the route had not ended");
    }
}
