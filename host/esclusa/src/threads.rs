//! Separate threads for work that must not wait for other work: ARCHITECTURE.md, "Threads".

use std::io;
use tokio::runtime::{Builder, Handle, Runtime};

/// A guest yields only at a tick of the sandbox. After so many yields tokio looks at timers and new calls.
const TICKS: u32 = 4;

/// Threads that serve connections: two, so that one answers a probe while the other is in a system call.
const CONNECTIONS: usize = 2;
/// Most threads that compute answers and may block: more than all limits of `host/http/src/work_limits.rs` together, so that
/// health never waits for one.
const BLOCKING: usize = 32;

/// A tokio runtime that is shut down when this is dropped, without waiting for tasks that still run on it.
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

    /// Threads for the HTTP side: they serve connections, health and metrics. No guest and no lane runs there.
    ///
    /// # Errors
    /// The system gives no threads.
    pub(crate) fn of_admin() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.thread_name("esclusa-admin").worker_threads(CONNECTIONS).max_blocking_threads(BLOCKING);
        Ok(Threads(Some(builder.enable_all().build()?)))
    }

    /// Threads for listeners: they serve the connections of sources of kind `http`, apart from health and API.
    ///
    /// # Errors
    /// The system gives no threads.
    pub(crate) fn of_listeners() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.thread_name("esclusa-listener").worker_threads(CONNECTIONS).max_blocking_threads(BLOCKING);
        Ok(Threads(Some(builder.enable_all().build()?)))
    }

    /// The handle to spawn work with.
    #[must_use]
    pub(crate) fn handle(&self) -> Option<Handle> {
        self.0.as_ref().map(|runtime| runtime.handle().clone())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // A plain drop would wait for the threads, and panics if it happens on a thread of another runtime.
            runtime.shutdown_background();
        }
    }
}
