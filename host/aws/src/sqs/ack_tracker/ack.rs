//! A received message: its receipt, and the share of each route.

use super::super::received_message::Held;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

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

/// Most messages that are remembered, about 200 bytes each. Past it the oldest is forgotten.
const MOST: usize = 20_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Remembered {
    of: HashMap<Box<str>, (u64, Vec<Arc<str>>)>,
    /// Ids, the oldest first.
    order: BTreeMap<u64, Box<str>>,
    next: u64,
}

impl Remembered {
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
        let (mut remembered, a, b): (_, Arc<str>, Arc<str>) = (Remembered::default(), "a".into(), "b".into());
        for id in 0..MOST + 1 {
            remembered.note(&id.to_string(), &a);
        }
        remembered.note("1", &b);
        assert!(!remembered.done("0", &a) && remembered.done("1", &a) && remembered.done("1", &b));
        assert!(!remembered.done("2", &b));
        for id in 0..MOST + 1 {
            remembered.forget(&id.to_string());
        }
        assert!(remembered.of.is_empty() && remembered.order.is_empty());
    }
}
