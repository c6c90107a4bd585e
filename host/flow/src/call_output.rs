//! What a plugin's call gives back, and the ways in which a call fails.

use crate::effect::Effect;
use crate::fault::Fault;
use crate::index::CallIndex;
use crate::verdict::short;

/// The result of a successful call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallOutput {
    /// What is to be done, in order.
    pub effects: Vec<Effect>,
    /// What happened to events that are not simply done. An event not listed is done.
    pub outcomes: Vec<EventOutcome>,
    /// Answers for a source that waits for them.
    pub replies: Vec<Reply>,
}

/// What to do with one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventOutcome {
    /// Which event of the call.
    pub event: CallIndex,
    /// What to do with it.
    pub disposition: Disposition,
}

/// What to do with an event that did not go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Try again, not before so many milliseconds; the route's policy bounds it.
    Retry(Option<u32>),
    /// Not processable: to the dead letters, with the reason.
    Reject(String),
    /// Done on purpose without effects; counted.
    Skip(String),
}

/// An answer for a source that waits for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Which event of the call.
    pub event: CallIndex,
    /// HTTP status.
    pub status: u16,
    /// MIME type.
    pub content_type: String,
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
    /// The host failed the plugin, for example a read that did not answer. Never counts against an event.
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
    /// Which kind.
    pub kind: FailureKind,
    /// What happened, in one line.
    pub message: String,
    /// The guest's backtrace, where there is one.
    pub backtrace: Option<String>,
    /// The last lines that the guest logged in this call, escaped.
    pub logs: Vec<String>,
    /// True if the same call will fail again: it read nothing, so that nothing changes that it depends on. A call that ran
    /// out of time is not meant: the machine may have been busy.
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
    /// True if a call that read nothing will fail so again. `fresh`: it had a new instance, whose memory no earlier call
    /// has grown.
    #[must_use]
    pub fn repeats(self, fresh: bool) -> bool {
        match self {
            FailureKind::Cpu | FailureKind::Time | FailureKind::Init => false,
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
