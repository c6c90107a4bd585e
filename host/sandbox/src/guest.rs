//! The host's side of a running instance: the state behind its imports, and the linker that offers them.
//!
//! A guest has no environment, arguments, files or network: stdin is closed, preopens are empty, and clocks and random
//! numbers come from the batch.

mod imports;
mod no_files;
mod wasi;

use crate::call_meter::{CallMeter, GuestStop};
use crate::guest_clock::{GuestClock, GuestRandom};
use crate::guest_log::{Journal, LogLevel, LogOrigin};
use crate::guest_metrics::MetricSet;
use esclusa_flow::fault::Fault;
use esclusa_flow::reads::Reads;
use std::sync::Arc;
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::p2::bindings::{cli, clocks, random};
use wasmtime_wasi_io::IoView;

/// Resources of the host (streams, pollables) that a guest may hold.
pub const RESOURCES: usize = 1000;

/// Interfaces that a plugin may import, as an error message lists them.
pub(crate) const OFFERED: &str = "esclusa:router/tables, /objects, /log and /metrics of version 0.2.0, wasi:cli, wasi:clocks, wasi:io, wasi:random, wasi:filesystem \
     (always empty) and wasi:logging";

/// The state behind the imports of one instance.
pub(crate) struct Guest {
    pub(crate) meter: CallMeter,
    pub(crate) clock: GuestClock,
    pub(crate) random: GuestRandom,
    pub(crate) journal: Journal,
    /// The metrics of this call.
    pub(crate) metrics: MetricSet,
    /// The reads of this call; `None` outside of `handle`, when nothing can be read.
    pub(crate) reads: Option<Arc<dyn Reads>>,
    /// A read that the host could not answer in this call.
    pub(crate) fault: Option<Fault>,
    /// True if this call has read a table, or tried to.
    pub(crate) has_read: bool,
    /// True while the guest waits for a read.
    pub(crate) awaiting_read: bool,
    table: ResourceTable,
}

impl Guest {
    /// The state of a new instance, before any call.
    pub(crate) fn new(meter: CallMeter, random: GuestRandom, journal: Journal) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        Guest {
            meter,
            clock: GuestClock::default(),
            random,
            journal,
            metrics: MetricSet::default(),
            reads: None,
            fault: None,
            has_read: false,
            awaiting_read: false,
            table,
        }
    }

    /// Counts a call of a host function.
    fn count_host_call(&mut self) -> Result<(), GuestStop> {
        self.meter.host_call()
    }
}

impl IoView for Guest {
    fn table(&mut self) -> &mut ResourceTable {
        // This function cannot fail: the next tick notices a call too many.
        let _ = self.count_host_call();
        &mut self.table
    }
}

/// The linker that offers everything that a plugin may import.
///
/// # Errors
/// Only if two definitions clash, which the tests would show.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    crate::contract::Plugin::add_to_linker::<Guest, HasSelf<Guest>>(l, |g| g)?;
    imports::add_logging(l)?;
    wasmtime_wasi_io::add_to_linker_async(l)?;
    clocks::wall_clock::add_to_linker::<Guest, HasSelf<Guest>>(l, |g| g)?;
    clocks::monotonic_clock::add_to_linker::<Guest, HasSelf<Guest>>(l, |g| g)?;
    random::random::add_to_linker::<Guest, HasSelf<Guest>>(l, |g| g)?;
    random::insecure::add_to_linker::<Guest, HasSelf<Guest>>(l, |g| g)?;
    random::insecure_seed::add_to_linker::<Guest, HasSelf<Guest>>(l, |g| g)?;
    cli::environment::add_to_linker::<Guest, HasSelf<Guest>>(l, |g| g)?;
    cli::exit::add_to_linker::<Guest, HasSelf<Guest>>(l, |g| g)?;
    cli::stdin::add_to_linker::<Guest, HasSelf<Guest>>(l, |g| g)?;
    cli::stdout::add_to_linker::<Guest, HasSelf<Guest>>(l, |g| g)?;
    cli::stderr::add_to_linker::<Guest, HasSelf<Guest>>(l, |g| g)?;
    cli::terminal_input::add_to_linker::<Guest, HasSelf<Guest>>(l, |g| g)?;
    cli::terminal_output::add_to_linker::<Guest, HasSelf<Guest>>(l, |g| g)?;
    cli::terminal_stdin::add_to_linker::<Guest, HasSelf<Guest>>(l, |g| g)?;
    cli::terminal_stdout::add_to_linker::<Guest, HasSelf<Guest>>(l, |g| g)?;
    cli::terminal_stderr::add_to_linker::<Guest, HasSelf<Guest>>(l, |g| g)?;
    no_files::add_no_files(l)?;
    Ok(linker)
}
