//! The output of a plugin's call, and the ways in which a call fails.

use crate::effect::Effect;
use crate::fault::Fault;
use crate::index::CallIndex;
use crate::verdict::short;

/// The result of a successful call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallOutput {
    /// Effects, in the order in which they are carried out.
    pub effects: Vec<Effect>,
    /// Outcomes of events that are not simply done. An event without an outcome is done.
    pub outcomes: Vec<EventOutcome>,
    /// Replies for a source whose senders wait for them.
    pub replies: Vec<Reply>,
}

/// The plugin's word on one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventOutcome {
    /// The event, by its place in the call.
    pub event: CallIndex,
    /// The plugin's decision.
    pub disposition: Disposition,
}

/// The ways in which an event is not simply done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Try again, not before so many milliseconds; the route's policy bounds it.
    Retry(Option<u32>),
    /// The event cannot be processed: it becomes a dead letter, with this reason.
    Reject(String),
    /// Done on purpose without effects, with the reason. Counted as skipped.
    Skip(String),
}

/// A reply for a source whose sender waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The event, by its place in the call.
    pub event: CallIndex,
    /// HTTP status.
    pub status: u16,
    /// MIME type.
    pub content_type: String,
    /// Further headers, names and values.
    pub headers: Vec<(String, String)>,
    /// Content.
    pub body: Vec<u8>,
}

/// A call that gave no output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// The plugin asks for the whole batch again.
    Retry(String),
    /// The plugin asks to stop the route and keep its place.
    Halt(String),
    /// The plugin failed: a trap, a limit, a denied effect, a broken contract.
    Failed(Box<CallFailure>),
    /// The host failed the plugin, for example because a table did not answer. Never counts as a try of an event.
    Host(Fault),
}

impl From<Box<CallFailure>> for CallError {
    fn from(failure: Box<CallFailure>) -> Self {
        CallError::Failed(failure)
    }
}

/// How a plugin failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFailure {
    /// Kind of the failure.
    pub kind: FailureKind,
    /// The failure in one line.
    pub message: String,
    /// The guest's backtrace, if the failure has one.
    pub backtrace: Option<String>,
    /// The last lines that the guest logged in this call, escaped.
    pub logs: Vec<String>,
    /// True if the same call will fail again: the plugin read no table, so its input is the same each time. False if the call
    /// ran out of time, since the machine may have been busy.
    pub fated: bool,
}

impl CallFailure {
    /// A failure without backtrace and logs.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Box<Self> {
        Box::new(CallFailure { kind, message: short(message), backtrace: None, logs: Vec::new(), fated: false })
    }
}

/// Kinds of failure; each limit has a name of its own (invariant 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The guest trapped or panicked.
    Trap,
    /// `init` refused or failed.
    Init,
    /// The guest's output breaks the contract, for example an event index out of range.
    Contract,
    /// An effect names a target that the route was not granted.
    Denied,
    /// Computed longer than `limits.time`.
    Cpu,
    /// Took longer than `limits.time` on the wall clock.
    Time,
    /// Wanted more memory than `limits.memory`.
    Memory,
    /// Returned more effects, or bytes of effects, than allowed.
    Effects,
    /// Returned an effect that holds more than allowed: see [`crate::bounds`].
    Item,
    /// Passed more bytes to the host than allowed.
    HostcallBytes,
    /// Called the host more often than allowed.
    HostCalls,
}

impl FailureKind {
    /// True if a call that read no table will fail in the same way again. `fresh`: the call had a new instance, whose memory
    /// no earlier call has grown.
    #[must_use]
    pub fn repeats(self, fresh: bool) -> bool {
        match self {
            // Whether time runs out depends on how busy the machine is, too.
            FailureKind::Cpu | FailureKind::Time | FailureKind::Init => false,
            // A reused instance may have been filled by the calls before.
            FailureKind::Memory => fresh,
            _ => true,
        }
    }

    /// Stable code, as logs, dead letters and the dashboard show it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            FailureKind::Trap => "plugin.trap",
            FailureKind::Init => "plugin.init",
            FailureKind::Contract => "plugin.contract",
            FailureKind::Denied => "denied.capability",
            FailureKind::Cpu => "limit.cpu",
            FailureKind::Time => "limit.time",
            FailureKind::Memory => "limit.memory",
            FailureKind::Effects => "limit.effects",
            FailureKind::Item => "limit.item",
            FailureKind::HostcallBytes => "limit.hostcall_bytes",
            FailureKind::HostCalls => "limit.host_calls",
        }
    }
}
