//! A received message: its receipt, and the share of each route.

use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Longest that a message can stay invisible after its receipt, by extensions as well, less a margin for the way.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html>, 2026-11.
pub const LONGEST: Duration = Duration::from_secs(12 * 3600 - 10);

/// The receipt of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Receipt handle.
    pub receipt: Box<str>,
    /// Message group of a FIFO queue; empty in standard queues.
    pub group: Box<str>,
    /// When it was received.
    pub received: Instant,
    /// Until when nobody else sees the message.
    pub until: Instant,
}

impl Held {
    /// True where an extension by at least a second is within SQS' limit.
    pub fn extensible(&self) -> bool {
        self.until + Duration::from_secs(1) <= self.received + LONGEST
    }
}

/// What a route has to do with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// It is to be handed out.
    Waiting,
    /// It is in work.
    Taken,
    /// It is done.
    Done,
    /// To be shown again, not before this time.
    Back(Instant),
    /// It was in work and was dropped: left to its visibility timeout.
    Left,
}

impl Share {
    /// True where the route is to do something yet.
    pub fn open(self) -> bool {
        matches!(self, Share::Waiting | Share::Taken)
    }
}

/// A received message, and what each route has to do with it.
#[derive(Debug)]
pub struct Message {
    /// What SQS calls it, at each receipt.
    pub id: Box<str>,
    /// Its receipt.
    pub held: Held,
    /// The receipt is not valid any more.
    pub lost: bool,
    /// The routes that it is for.
    pub shares: Vec<(Arc<str>, Share)>,
}

impl Message {
    /// The share of a route.
    pub fn share(&mut self, route: &str) -> Option<&mut Share> {
        self.shares.iter_mut().find(|(name, _)| **name == *route).map(|(_, share)| share)
    }

    /// True where this is the share of a route.
    pub fn is(&self, route: &str, share: Share) -> bool {
        self.shares.iter().any(|(name, is)| **name == *route && *is == share)
    }

    /// True where a route is to do something yet.
    pub fn open(&self) -> bool {
        self.shares.iter().any(|(_, share)| share.open())
    }

    /// True where some routes are done with it, and the others have not begun.
    pub fn waits_for_others(&self) -> bool {
        let all = |is: fn(&Share) -> bool| self.shares.iter().all(|(_, share)| is(share));
        all(|share| matches!(share, Share::Waiting | Share::Done)) && !all(|share| *share == Share::Waiting)
    }

    /// True where some route gave it back, and the others have not begun.
    pub fn waits_in_vain(&self, now: Instant) -> bool {
        let back = |share: &Share| matches!(share, Share::Back(at) if *at <= now) || *share == Share::Left;
        let pending = |share: &Share| *share == Share::Taken || matches!(share, Share::Back(at) if *at > now);
        let any = |is: &dyn Fn(&Share) -> bool| self.shares.iter().any(|(_, share)| is(share));
        any(&back) && !any(&pending)
    }

    /// What the queue is to be told; nothing while a route is at it, or where it is left to its visibility timeout.
    pub fn told(&self, now: Instant) -> Option<Told> {
        if self.shares.is_empty() || self.open() || self.shares.iter().any(|(_, share)| *share == Share::Left) {
            return None;
        }
        let backs =
            self.shares.iter().filter_map(|(_, share)| if let Share::Back(at) = share { Some(*at) } else { None });
        Some(backs.max().map_or(Told::Delete, |at| Told::Hide(at.saturating_duration_since(now))))
    }
}

/// What the queue is to be told of a message.
pub enum Told {
    /// All routes are done with it.
    Delete,
    /// It is shown again after this time.
    Hide(Duration),
}
