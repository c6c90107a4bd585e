//! The ack of each route for a received message, and a memory of the messages that some routes have finished.

use super::super::received_message::Receipt;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How far a route is with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ack {
    /// The message waits for the route.
    Waiting,
    /// The route works on it.
    InWork,
    /// The route has finished it.
    Done,
    /// The route released it: it is to be seen again, not before this time.
    Released(Instant),
    /// The route dropped it unsettled: it comes again when its visibility timeout passes.
    Abandoned,
}

impl Ack {
    /// True if the route has not finished or released it.
    pub(crate) fn open(self) -> bool {
        matches!(self, Ack::Waiting | Ack::InWork)
    }
}

/// A received message, and the ack of each route.
#[derive(Debug)]
pub(crate) struct TrackedMessage {
    /// Its id in SQS, the same at each receipt.
    pub id: Box<str>,
    /// Its receipt.
    pub receipt: Receipt,
    /// The receipt is not valid any more.
    pub lost: bool,
    /// The routes that it is for, with their acks.
    pub acks: Vec<(Arc<str>, Ack)>,
}

impl TrackedMessage {
    /// The ack of a route.
    pub(crate) fn ack(&mut self, route: &str) -> Option<&mut Ack> {
        self.acks.iter_mut().find(|(name, _)| **name == *route).map(|(_, ack)| ack)
    }

    /// True if the ack of a route is this one.
    pub(crate) fn is(&self, route: &str, ack: Ack) -> bool {
        self.acks.iter().any(|(name, is)| **name == *route && *is == ack)
    }

    /// True if some route has not finished or released it.
    pub(crate) fn open(&self) -> bool {
        self.acks.iter().any(|(_, ack)| ack.open())
    }

    /// True if some routes are done with it and all others have not begun.
    pub(crate) fn waits_for_others(&self) -> bool {
        let all = |is: fn(&Ack) -> bool| self.acks.iter().all(|(_, ack)| is(ack));
        all(|ack| matches!(ack, Ack::Waiting | Ack::Done)) && !all(|ack| *ack == Ack::Waiting)
    }

    /// True if a route released or abandoned it, its wait has passed, and no other route works on it.
    pub(crate) fn release_is_due(&self, now: Instant) -> bool {
        let released = |ack: &Ack| matches!(ack, Ack::Released(at) if *at <= now) || *ack == Ack::Abandoned;
        let pending = |ack: &Ack| *ack == Ack::InWork || matches!(ack, Ack::Released(at) if *at > now);
        let any = |is: &dyn Fn(&Ack) -> bool| self.acks.iter().any(|(_, ack)| is(ack));
        any(&released) && !any(&pending)
    }

    /// The change to send to the queue. `None` while a route has it, or if it was abandoned: then only its visibility
    /// timeout releases it.
    pub(crate) fn queue_change(&self, now: Instant) -> Option<QueueChange> {
        if self.acks.is_empty() || self.open() || self.acks.iter().any(|(_, ack)| *ack == Ack::Abandoned) {
            return None;
        }
        let releases =
            self.acks.iter().filter_map(|(_, ack)| if let Ack::Released(at) = ack { Some(*at) } else { None });
        Some(releases.max().map_or(QueueChange::Delete, |at| QueueChange::Release(at.saturating_duration_since(now))))
    }
}

/// A change of one message in its queue.
pub(crate) enum QueueChange {
    /// All routes have finished it.
    Delete,
    /// It is released, to be seen again after this time.
    Release(Duration),
}

/// Most messages that are remembered, about 200 bytes each. Beyond that the oldest is forgotten, and may be handled
/// twice, which at-least-once permits.
const MOST: usize = 20_000;

/// Which routes have finished messages that are not deleted yet, by message id: a receipt ends, an id stays.
#[derive(Debug, Default)]
pub(crate) struct DoneMessages {
    of: HashMap<Box<str>, (u64, Vec<Arc<str>>)>,
    /// Ids, the oldest first.
    order: BTreeMap<u64, Box<str>>,
    next: u64,
}

impl DoneMessages {
    /// Notes that a route has finished a message.
    pub(crate) fn note(&mut self, id: &str, route: &Arc<str>) {
        if let Some((_, routes)) = self.of.get_mut(id) {
            if !routes.contains(route) {
                routes.push(route.clone());
            }
            return;
        }
        self.of.insert(id.into(), (self.next, vec![route.clone()]));
        self.order.insert(self.next, id.into());
        self.next += 1;
        if self.order.len() > MOST
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.of.remove(&oldest);
        }
    }

    /// True if a route is known to have finished a message.
    pub(crate) fn done(&self, id: &str, route: &Arc<str>) -> bool {
        self.of.get(id).is_some_and(|(_, routes)| routes.contains(route))
    }

    /// Forgets a message: it was deleted.
    pub(crate) fn forget(&mut self, id: &str) {
        if let Some((number, _)) = self.of.remove(id) {
            self.order.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_and_nothing_grows() {
        let (mut done_messages, a, b): (_, Arc<str>, Arc<str>) = (DoneMessages::default(), "a".into(), "b".into());
        for id in 0..MOST + 1 {
            done_messages.note(&id.to_string(), &a);
        }
        done_messages.note("1", &b);
        assert!(!done_messages.done("0", &a) && done_messages.done("1", &a) && done_messages.done("1", &b));
        assert!(!done_messages.done("2", &b));
        for id in 0..MOST + 1 {
            done_messages.forget(&id.to_string());
        }
        assert!(done_messages.of.is_empty() && done_messages.order.is_empty());
    }
}
