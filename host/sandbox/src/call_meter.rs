//! Counts the memory, time and host calls of a guest, and stops it at its limits.
//!
//! Keeps the second half of invariant 6: every limit has a name of its own, and hitting one is never a bare trap.

use esclusa_flow::settings::Limits;
use esclusa_flow::step_budget::{Exhausted, StepBudget};
use std::time::Duration;
use wasmtime::ResourceLimiter;

/// Interval at which a computing guest yields to the other tasks and its time is counted.
pub const TICK: Duration = Duration::from_millis(10);

/// Bytes that a table element takes in the host.
const TABLE_ELEMENT: usize = size_of::<usize>();

/// Why the host stopped a guest.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum GuestStop {
    /// It computed too long.
    #[error("the guest computed for longer than limits.time")]
    Cpu,
    /// It called the host too often.
    #[error("the guest called the host more than {0} times")]
    HostCalls(u64),
    /// It had the host read too many bytes.
    #[error("the guest had the host look at more than {0} bytes")]
    HostBytes(u64),
    /// It asked for too many random bytes at once.
    #[error("the guest asked for {0} random bytes at once; at most {1} are given")]
    Random(u64, u64),
    /// It called `exit`.
    #[error("the guest exited with status {0}")]
    Exit(u8),
}

/// Counts the resources of one call, and the memory of its instance.
#[derive(Debug)]
pub(crate) struct CallMeter {
    limits: Limits,
    memory: usize,
    pending: usize,
    memory_refused: bool,
    calls: u64,
    work: StepBudget,
    ticks: u64,
}

impl CallMeter {
    /// A meter that has counted nothing.
    pub(crate) fn new(limits: Limits) -> Self {
        let work = StepBudget::of(limits.host_bytes);
        CallMeter { limits, memory: 0, pending: 0, memory_refused: false, calls: 0, work, ticks: 0 }
    }

    /// Starts a new call on the same instance. Its memory stays counted.
    pub(crate) fn restart(&mut self) {
        self.memory_refused = false;
        self.calls = 0;
        self.work = StepBudget::of(self.limits.host_bytes);
        self.ticks = 0;
    }

    /// The limits.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Bytes of memories and tables.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// True if the guest has asked for more memory than its limit.
    pub(crate) fn memory_refused(&self) -> bool {
        self.memory_refused
    }

    /// Counts a call of a host function.
    ///
    /// # Errors
    /// [`GuestStop::HostCalls`] if it is one too many.
    pub(crate) fn host_call(&mut self) -> Result<(), GuestStop> {
        self.calls = self.calls.saturating_add(1);
        self.check_calls()
    }

    /// Counts bytes that a host function is about to read, or has found for the guest.
    ///
    /// # Errors
    /// [`GuestStop::HostBytes`] if they are too many.
    pub(crate) fn host_bytes(&mut self, bytes: usize) -> Result<(), GuestStop> {
        self.work.spend(bytes).map_err(|Exhausted(budget)| GuestStop::HostBytes(budget))
    }

    fn check_calls(&self) -> Result<(), GuestStop> {
        if self.calls > self.limits.host_calls { Err(GuestStop::HostCalls(self.limits.host_calls)) } else { Ok(()) }
    }

    /// Counts a tick of computing, and checks the host calls that functions without errors have counted.
    ///
    /// # Errors
    /// The limit that was passed.
    pub(crate) fn tick(&mut self) -> Result<(), GuestStop> {
        self.ticks = self.ticks.saturating_add(1);
        self.check_calls()?;
        if self.ticks > ticks(self.limits.time) { Err(GuestStop::Cpu) } else { Ok(()) }
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let more = desired.saturating_sub(current);
        let after = self.memory.saturating_add(more);
        if after > self.limits.memory {
            self.memory_refused = true;
            return false;
        }
        // The growth may still fail in the system; `undo` then takes it back.
        self.pending = more;
        self.memory = after;
        true
    }

    fn undo(&mut self) {
        self.memory = self.memory.saturating_sub(self.pending);
        self.pending = 0;
    }
}

/// Whole ticks in `time`, at least one.
fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis() / TICK.as_millis()).unwrap_or(u64::MAX).max(1)
}

impl ResourceLimiter for CallMeter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current.saturating_mul(TABLE_ELEMENT), desired.saturating_mul(TABLE_ELEMENT)))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo();
        Ok(())
    }
}
