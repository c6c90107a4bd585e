//! Threads of their own for what must not wait for each other: see ARCHITECTURE.md, "Threads".

use std::io;
use tokio::runtime::{Builder, Handle, Runtime};

/// Guests yield at every tick of the sandbox only. Timers and new calls are looked at after so many of them.
const TICKS: u32 = 4;

/// Threads that serve connections: one may be in the kernel while the other answers a probe.
const CONNECTIONS: usize = 2;
/// Threads that compute answers and may block, at most: more than all places of `admin/work.rs` together, so that health
/// never waits for one.
const BLOCKING: usize = 32;

/// A runtime that ends with this value, without waiting for what still runs on it.
pub(crate) struct Threads(Option<Runtime>);

impl Threads {
    /// Threads for guests, as many as there are processors.
    ///
    /// # Errors
    /// The system gives no threads.
    pub(crate) fn of_guests() -> io::Result<Self> {
        let runtime =
            Builder::new_multi_thread().thread_name("esclusa-guest").event_interval(TICKS).enable_time().build()?;
        Ok(Threads(Some(runtime)))
    }

    /// Threads for the HTTP side: connections, health and metrics are served on them. No guest runs there, and no lane.
    ///
    /// # Errors
    /// The system gives no threads.
    pub(crate) fn of_admin() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.thread_name("esclusa-admin").worker_threads(CONNECTIONS).max_blocking_threads(BLOCKING);
        Ok(Threads(Some(builder.enable_all().build()?)))
    }

    /// Where work for them goes.
    #[must_use]
    pub(crate) fn handle(&self) -> Option<Handle> {
        self.0.as_ref().map(|runtime| runtime.handle().clone())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Waiting for threads is not allowed on those of another runtime.
            runtime.shutdown_background();
        }
    }
}
