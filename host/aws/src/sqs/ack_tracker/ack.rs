//! A received message: its receipt, and the share of each route.

use super::super::received_message::Receipt;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What a route has to do with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// It is to be handed out.
    Waiting,
    /// It is in work.
    InWork,
    /// It is done.
    Done,
    /// To be shown again, not before this time.
    Released(Instant),
    /// It was in work and was dropped: left to its visibility timeout.
    Abandoned,
}

impl Ack {
    /// True where the route is to do something yet.
    pub fn open(self) -> bool {
        matches!(self, Ack::Waiting | Ack::InWork)
    }
}

/// A received message, and what each route has to do with it.
#[derive(Debug)]
pub struct TrackedMessage {
    /// What SQS calls it, at each receipt.
    pub id: Box<str>,
    /// Its receipt.
    pub receipt: Receipt,
    /// The receipt is not valid any more.
    pub lost: bool,
    /// The routes that it is for.
    pub acks: Vec<(Arc<str>, Ack)>,
}

impl TrackedMessage {
    /// The share of a route.
    pub fn ack(&mut self, route: &str) -> Option<&mut Ack> {
        self.acks.iter_mut().find(|(name, _)| **name == *route).map(|(_, ack)| ack)
    }

    /// True where this is the share of a route.
    pub fn is(&self, route: &str, ack: Ack) -> bool {
        self.acks.iter().any(|(name, is)| **name == *route && *is == ack)
    }

    /// True where a route is to do something yet.
    pub fn open(&self) -> bool {
        self.acks.iter().any(|(_, ack)| ack.open())
    }

    /// True where some routes are done with it, and the others have not begun.
    pub fn waits_for_others(&self) -> bool {
        let all = |is: fn(&Ack) -> bool| self.acks.iter().all(|(_, ack)| is(ack));
        all(|ack| matches!(ack, Ack::Waiting | Ack::Done)) && !all(|ack| *ack == Ack::Waiting)
    }

    /// True where some route gave it back, and the others have not begun.
    pub fn release_is_due(&self, now: Instant) -> bool {
        let released = |ack: &Ack| matches!(ack, Ack::Released(at) if *at <= now) || *ack == Ack::Abandoned;
        let pending = |ack: &Ack| *ack == Ack::InWork || matches!(ack, Ack::Released(at) if *at > now);
        let any = |is: &dyn Fn(&Ack) -> bool| self.acks.iter().any(|(_, ack)| is(ack));
        any(&released) && !any(&pending)
    }

    /// What the queue is to be told; nothing while a route is at it, or where it is left to its visibility timeout.
    pub fn queue_change(&self, now: Instant) -> Option<QueueChange> {
        if self.acks.is_empty() || self.open() || self.acks.iter().any(|(_, ack)| *ack == Ack::Abandoned) {
            return None;
        }
        let releases =
            self.acks.iter().filter_map(|(_, ack)| if let Ack::Released(at) = ack { Some(*at) } else { None });
        Some(releases.max().map_or(QueueChange::Delete, |at| QueueChange::Release(at.saturating_duration_since(now))))
    }
}

/// What the queue is to be told of a message.
pub enum QueueChange {
    /// All routes are done with it.
    Delete,
    /// It is shown again after this time.
    Release(Duration),
}

/// Most messages that are remembered, about 200 bytes each. Past it the oldest is forgotten.
const MOST: usize = 20_000;

/// See the module.
#[derive(Debug, Default)]
pub struct DoneMessages {
    of: HashMap<Box<str>, (u64, Vec<Arc<str>>)>,
    /// Ids, the oldest first.
    order: BTreeMap<u64, Box<str>>,
    next: u64,
}

impl DoneMessages {
    /// A route is done with a message.
    pub fn note(&mut self, id: &str, route: &Arc<str>) {
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

    /// True where a route is known to be done with a message.
    pub fn done(&self, id: &str, route: &Arc<str>) -> bool {
        self.of.get(id).is_some_and(|(_, routes)| routes.contains(route))
    }

    /// The message is deleted.
    pub fn forget(&mut self, id: &str) {
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
