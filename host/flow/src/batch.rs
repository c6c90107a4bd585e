//! A batch: events of one lane with the duty to settle each of them.

use crate::event::{BatchOrigin, Columns};
use crate::verdict::Reason;
use std::sync::Arc;

/// A place in a source: a position of a retained source, or a receipt of a queue. Only the
/// source that issued it can read it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Token {
    /// A number: sequence in a stream, byte offset in a file.
    Offset(u64),
    /// A text: sequence number of a shard, receipt handle of a queue.
    Text(Box<str>),
}

/// The duty to settle one event. Not clonable; dropping it means "not done", so that a value lost by a bug, a
/// panic or a cancelled task leads to redelivery (invariant 2).
#[derive(Debug, PartialEq, Eq)]
pub struct Claim {
    token: Token,
    refused: Option<Box<Reason>>,
    hops: u32,
}

impl Claim {
    /// A claim on the event at `token`. Made by sources only.
    #[must_use]
    pub fn new(token: Token) -> Self {
        Claim { token, refused: None, hops: 0 }
    }

    /// A claim on an event that its source refuses: the event is given up for this reason, without a call.
    #[must_use]
    pub fn refused(token: Token, reason: Reason) -> Self {
        Claim { token, refused: Some(Box::new(reason)), hops: 0 }
    }

    /// The same claim on an event that has come by so many routes.
    #[must_use]
    pub fn with_hops(self, hops: u32) -> Self {
        Claim { hops, ..self }
    }

    /// How many routes the event has come by; see [`crate::hops`].
    #[must_use]
    pub fn hops(&self) -> u32 {
        self.hops
    }

    /// Why the source refuses the event; `None`: a plugin gets it.
    #[must_use]
    pub fn refusal(&self) -> Option<&Reason> {
        self.refused.as_deref()
    }

    /// Position or receipt of the event.
    #[must_use]
    pub fn token(&self) -> &Token {
        &self.token
    }
}

/// Events of one lane with their claims, bounded in bytes and count by the limit it was pulled with.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// Where the events came from.
    pub origin: BatchOrigin,
    /// The events, shared with the calls that are made with them.
    pub columns: Arc<Columns>,
    /// One per event, in the same order.
    pub claims: Vec<Claim>,
    /// Ordered lanes: the position just before the first event, `None` at the start of the lane. A commit is
    /// conditional on it, which fences a stale owner (invariant 5).
    pub previous: Option<Token>,
}

impl Batch {
    /// Number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.claims.len()
    }

    /// True if there is no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }
}
