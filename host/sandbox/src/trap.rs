//! Translates the end of a guest to an error of the core: the limit it hit, the trap, or a fault of the host.

mod backtrace;

use crate::call_meter::GuestStop;
use crate::guest::Guest;
use esclusa_flow::call_output::{CallError, CallFailure, FailureKind};
use esclusa_flow::fault::Fault;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

/// The step that a guest was in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GuestPhase {
    /// Instantiation and start functions.
    Start,
    /// `describe`.
    Describe,
    /// `init` with its configuration.
    Init,
    /// `handle` with a batch.
    Handle,
}

/// The error that stopped a guest, and the step it was in.
pub(crate) struct GuestError {
    pub(crate) phase: GuestPhase,
    pub(crate) error: wasmtime::Error,
}

/// The plugin refused its configuration.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConfigRefused(pub String);

/// The message of wasmtime's (private) error for spent fuel of host calls.
const FUEL: &str = "fuel allocated for hostcalls has been exhausted";

/// A transient fault of the host.
pub(crate) fn host_fault(why: &str) -> CallError {
    CallError::Host(Fault::Transient(why.to_owned()))
}

/// The error of a guest that was stopped.
pub(crate) fn failure(guest: &Guest, stopped: GuestError, logs: Vec<String>) -> CallError {
    let GuestError { phase, error } = stopped;
    if error.is::<PoolConcurrencyLimitError>() {
        return host_fault("all instances of the pool are in use");
    }
    let (kind, message) = classify(guest, phase, &error, &logs);
    // A plugin that panics over a failed read is not at fault itself.
    if let (FailureKind::Trap, Some(fault)) = (kind, &guest.fault) {
        return CallError::Host(fault.clone());
    }
    let backtrace = error.downcast_ref::<WasmBacktrace>().and_then(backtrace::text);
    CallError::Failed(Box::new(CallFailure { backtrace, logs, ..*CallFailure::new(kind, message) }))
}

fn classify(guest: &Guest, phase: GuestPhase, error: &wasmtime::Error, logs: &[String]) -> (FailureKind, String) {
    let limits = guest.meter.limits();
    let cause = error.root_cause().to_string();
    match error.downcast_ref() {
        Some(GuestStop::Cpu) => {
            return (FailureKind::Cpu, format!("the guest computed for longer than {:?} (limits.time)", limits.time));
        }
        Some(stop @ GuestStop::HostCalls(_)) => return (FailureKind::HostCalls, stop.to_string()),
        Some(stop @ (GuestStop::Random(..) | GuestStop::HostBytes(_))) => {
            return (FailureKind::HostcallBytes, stop.to_string());
        }
        _ => {}
    }
    // A guest whose memory does not grow usually aborts, so the trap alone would hide the limit.
    if guest.meter.memory_refused() {
        let message =
            format!("the guest wanted more than {} bytes (limits.memory): {}", limits.memory, reason(&cause, logs));
        return (FailureKind::Memory, message);
    }
    if cause.contains(FUEL) {
        // Without a backtrace no guest code was running: its result was being read.
        let returned = phase == GuestPhase::Handle && error.downcast_ref::<WasmBacktrace>().is_none();
        let kind = if returned { FailureKind::Effects } else { FailureKind::HostcallBytes };
        let did = if returned { "returned" } else { "passed the host" };
        return (kind, format!("the guest {did} more than {} bytes (limits.output_bytes)", limits.output_bytes));
    }
    if error.is::<ConfigRefused>() {
        // Before it is cut: the cut could go through a secret.
        return (FailureKind::Init, guest.journal.masked(cause));
    }
    let kind = if phase == GuestPhase::Handle { FailureKind::Trap } else { FailureKind::Init };
    let reason =
        if error.downcast_ref::<Trap>() == Some(&Trap::UnreachableCodeReached) { reason(&cause, logs) } else { cause };
    (kind, reason)
}

/// The place and message of the guest's panic, if it logged them; else the trap.
fn reason(trap: &str, logs: &[String]) -> String {
    let Some(at) = logs.iter().rposition(|line| line.contains("panicked at ")) else { return trap.to_owned() };
    let place = logs.get(at).map_or("", |line| line.trim_end_matches(':'));
    let place = place.split_once("panicked at ").map_or(place, |(_, place)| place);
    let message = logs.get(at.saturating_add(1)).map_or("", String::as_str);
    format!("panicked at {place}: {message}")
}

/// The error of a guest that has not ended within its time: it waited for reads, or it computed.
pub(crate) fn timed_out(guest: &Guest, phase: GuestPhase, logs: Vec<String>) -> CallError {
    let time = guest.meter.limits().time;
    let (kind, what) = if guest.awaiting_read {
        (FailureKind::Time, "waited for reads, and took longer than")
    } else {
        (FailureKind::Cpu, "computed for longer than")
    };
    let doing = match phase {
        GuestPhase::Start => "while it was being made",
        GuestPhase::Describe => "while it described itself",
        GuestPhase::Init => "in init",
        GuestPhase::Handle => "in handle",
    };
    let message = format!("the guest {what} {time:?} (limits.time) {doing}");
    CallError::Failed(Box::new(CallFailure { logs, ..*CallFailure::new(kind, message) }))
}
