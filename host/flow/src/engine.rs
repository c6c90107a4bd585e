//! The boundary to engines: effects and progress, committed together.

use crate::BoxFuture;
use crate::batch::Token;
use crate::counts::Counts;
use crate::dead_letter::{DeadLetter, Handler, OutboxOrigin};
use crate::effect::{Action, OutboxMessage};
use crate::fault::Fault;
use crate::reads::Reads;
use crate::step_budget::Exhausted;
use crate::timestamp::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// The progress of a lane that a commit records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Ordered lane: everything up to and including `to` is done. Refused with [`Fault::LeaseLost`] if the
    /// committed position is not `from` any more.
    Position {
        /// The position committed before, `None` at the start of the lane.
        from: Option<Token>,
        /// The position of the last settled event.
        to: Token,
    },
    /// Queue: messages to delete and messages to release. A receipt that is no longer valid (its visibility timed out and
    /// another poller or process received the message) refuses the commit with [`Fault::LeaseLost`], if the queue is the engine's own. On
    /// SQS the effects are written before, so the commit happens, and the message is handled once more.
    Receipts {
        /// Finished messages.
        delete: Vec<Token>,
        /// Messages to release, and for how long they stay invisible.
        release: Vec<(Token, Duration)>,
    },
    /// The source keeps no progress.
    None,
}

/// Effects and progress of a batch or of a part of it. In an engine with one store all of a commit happens, or nothing. An engine over
/// several services does one after the other, in an order that keeps invariants 1 and 2 if it ends in between (`host/aws/src/engine.rs`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Route name.
    pub route: Arc<str>,
    /// Source name.
    pub source: Arc<str>,
    /// Lane.
    pub lane: Arc<str>,
    /// The plugin that asked for it, for the dead letters of its messages.
    pub handler: Handler,
    /// Writes to this engine, in order. Sends among them go to the engine's own streams and queues.
    pub actions: Vec<Action>,
    /// How many routes the changes that each action makes have come by, aligned with the actions; see [`crate::hops`]. Sends carry
    /// the count themselves.
    pub hops: Vec<u32>,
    /// Messages for the world outside. The embedded engine records them with the commit, and the lane sends them after it, so that a guard
    /// that fails has sent nothing, and a crash sends exactly these again. Other engines send them before they settle the progress, if
    /// there is any.
    pub outbox: Arc<Vec<OutboxMessage>>,
    /// Events given up.
    pub dead: Vec<DeadLetter>,
    /// Positions or receipts that are settled at the source.
    pub progress: Progress,
    /// Ids of the events whose effects these are, if the route wants a dedup record of each event written together
    /// with its effects (an unordered source, exactly-once outside the embedded engine); else empty.
    pub dedup: Vec<String>,
    /// Answers to requests that are kept with the effects.
    pub answers: Vec<KeptAnswer>,
    /// What is added to the route's counters.
    pub counts: Counts,
}

impl Commit {
    /// A commit that changes nothing.
    #[must_use]
    pub fn empty(route: Arc<str>, source: Arc<str>, lane: Arc<str>, handler: Handler) -> Self {
        Commit {
            route,
            source,
            lane,
            handler,
            actions: Vec::new(),
            hops: Vec::new(),
            outbox: Arc::default(),
            dead: Vec::new(),
            progress: Progress::None,
            dedup: Vec::new(),
            answers: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// The sender of its messages, as dead letters name it; `now` is when they are given up.
    #[must_use]
    pub fn sender(&self, now: Timestamp) -> OutboxOrigin<'_> {
        let Commit { route, source, lane, handler, .. } = self;
        OutboxOrigin { route, source, lane, handler, now }
    }
}

/// An answer to a request that is kept, so that the same request gets it again and is not carried out twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The request.
    pub key: Vec<u8>,
    /// The answer.
    pub value: Vec<u8>,
    /// When it may be forgotten, milliseconds since the Unix epoch.
    pub expires: u64,
    /// Its event among those that the commit has done, in their order; `None`: it was given up.
    pub done: Option<usize>,
}

/// A commit that happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// Indexes of actions that were left out: their guard, with `Otherwise::Skip`, did not hold.
    pub skipped: Vec<usize>,
    /// Number under which the outbox was recorded; `None` if it was empty.
    pub outbox: Option<u64>,
}

/// A commit that did not happen: no event of it is settled. An engine with one store has written nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// A guard with `Otherwise::Rerun` did not hold: the events are to be called again, on fresh reads.
    #[error("a guard did not hold")]
    Conflict,
    /// Events of which an earlier commit left a dedup record or a kept answer, as indexes into the events that the commit has
    /// done: the others are to be handled without them.
    #[error("{} events were done before", .0.len())]
    DoneBefore(Vec<usize>),
    /// More than the engine can commit at once: several events are to be called again in halves, a single event is given up.
    #[error("more than can be committed at once")]
    TooLarge,
    /// Actions that can never work, by index, with the reason: a missing key attribute, a wrong type.
    #[error("refused: {}", .0.first().map_or("", |(_, why)| why))]
    Refused(Vec<(usize, String)>),
    /// Anything else.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A commit that takes too many steps is too large to commit at once.
impl From<Exhausted> for CommitError {
    fn from(_: Exhausted) -> Self {
        CommitError::TooLarge
    }
}

/// A recorded outbox that is not confirmed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingMessages {
    /// Its number.
    pub id: u64,
    /// Lane of the commit that recorded it.
    pub lane: String,
    /// The messages that are still to be sent, in order.
    pub messages: Vec<OutboxMessage>,
}

/// Keeps tables and the progress of routes, and commits both.
pub trait Engine: Send + Sync {
    /// Reads that see everything committed before this call; of the embedded engine, nothing committed after it.
    fn reads(&self) -> Arc<dyn Reads>;

    /// Commits. The commit is durable when this returns. If the future is dropped, the commit may happen or not.
    ///
    /// # Errors
    /// [`CommitError`]; no event is settled then.
    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>>;

    /// Tries the writes to tables and the dead letters of a commit, keeps none of them, and looks for room on the disk. An engine that stands above this one asks before it
    /// writes elsewhere what nobody can undo. The default takes everything: it is for engines that no
    /// other stands on.
    ///
    /// # Errors
    /// [`CommitError`] that [`Engine::commit`] would give now.
    fn check(&self, _commit: Commit) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// The outboxes of a route that were recorded and not confirmed, in order.
    ///
    /// # Errors
    /// A [`Fault`] if the store does not answer.
    fn pending<'a>(&'a self, route: &'a str) -> BoxFuture<'a, Result<Vec<PendingMessages>, Fault>>;

    /// Records that an outbox is finished, together with the dead letters of its messages that were given up.
    ///
    /// # Errors
    /// A [`Fault`]; the outbox stays recorded then.
    fn confirm<'a>(&'a self, route: &'a str, outbox: u64, dead: Vec<DeadLetter>) -> BoxFuture<'a, Result<(), Fault>>;
}

/// Sends messages to the world outside, to one output.
pub trait Sink: Send + Sync {
    /// Sends messages in order; results align with them. A receiver may see a message twice, with the same id.
    fn send<'a>(&'a self, messages: &'a [OutboxMessage]) -> BoxFuture<'a, Vec<Result<(), SendError>>>;
}

/// Why a sink did not send a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The message was tried, or its output was.
    #[error(transparent)]
    Failed(#[from] Fault),
    /// It was not tried, because of an earlier message that failed: it has all its tries left.
    #[error("not tried: an earlier message failed")]
    NotTried,
}
