//! Limits of a plugin's call, and how long an instance of a plugin is used.

use std::time::Duration;

/// Limits of each call of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all linear memories and tables together.
    pub memory: usize,
    /// Time, computing and waiting. Computing is counted in ticks of 10 ms.
    pub time: Duration,
    /// Effects that a call may return.
    pub effects: usize,
    /// Bytes that a call may return, and that one call of a host function may pass.
    pub output_bytes: usize,
    /// Bytes that a call may log; the rest is counted and left out.
    pub log_bytes: usize,
    /// Calls of host functions.
    pub host_calls: u64,
    /// Bytes of arguments and results of all calls of host functions together.
    pub host_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory: 64 << 20,
            time: Duration::from_secs(10),
            effects: 10_000,
            output_bytes: 16 << 20,
            log_bytes: 64 << 10,
            host_calls: 100_000,
            host_bytes: 1 << 30,
        }
    }
}

/// How instances of a plugin are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instances {
    /// A new one for every batch.
    Fresh,
    /// Kept between batches until one of these limits is passed or a call fails. Globals survive from call to call, so the
    /// plugin itself must give the same output for a redelivered batch.
    Reuse {
        /// Calls.
        max_invocations: u32,
        /// Bytes of memory after a call.
        memory_high_water: usize,
    },
}
