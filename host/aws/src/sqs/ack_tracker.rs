//! Who is done with what: every received message, and the share that each route has in it. Pure but for the time that it is
//! given.
//!
//! - A message is for every route that reads the source, whether that is open at the moment or not, except for those that
//!   are known to be done with it. Routes settle it in any order; the last one decides what the queue is told: delete it
//!   where all are done, else show it again, after the longest of the waits that routes asked for.
//! - Until then it is kept invisible, for whoever has it in work or waiting.
//! - A message that was given back does not wait for routes that have not begun with it by the time that it would be
//!   extended, because they are paused or far behind: it comes again for all that are not done.
//! - A route that is done with a message is not handed it again when it comes again for another one ([`DoneMessages`]).
//! - A route that gives a message of a group back gives back what waits of the group for it. Other routes go on with
//!   theirs: each has its own order, and SQS gives out nothing more of a group before all of it is settled.
//! - A message whose receipt is lost is taken from all that it waits for. Who has it in work settles it as before.
//! - A route that comes gets what is held when the others are done; for one that goes nothing waits any more.

mod ack;

use super::received_message::{LONGEST, Receipt};
use ack::{Ack, DoneMessages, QueueChange, TrackedMessage};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How far a message that some routes are done with, and that waits for others, is extended at least: these may be paused,
/// or far behind, and thousands may wait. So much later it comes again after a crash.
const PATIENT: Duration = Duration::from_secs(300);

/// What the queue is to be told, by receipts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct QueueChanges {
    /// All routes are done with these. The time means nothing.
    pub delete: Vec<(Box<str>, Duration)>,
    /// These are shown again after a time.
    pub release: Vec<(Box<str>, Duration)>,
}

impl QueueChanges {
    fn push(&mut self, receipt: Box<str>, change: &QueueChange) {
        match change {
            QueueChange::Delete => self.delete.push((receipt, Duration::ZERO)),
            QueueChange::Release(wait) => self.release.push((receipt, *wait)),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct AckTracker {
    visibility: Duration,
    routes: BTreeSet<Arc<str>>,
    messages: HashMap<Box<str>, TrackedMessage>,
    done_messages: DoneMessages,
    /// Settled otherwise than by [`AckTracker::settle`], and not told to the queue yet.
    ready: Vec<Box<str>>,
    /// Before this time nothing is to be extended.
    due: Option<Instant>,
}

impl AckTracker {
    /// Nothing yet. `visibility`: how long a message stays invisible after its receipt.
    pub fn new(visibility: Duration) -> Self {
        AckTracker {
            visibility,
            routes: BTreeSet::new(),
            messages: HashMap::new(),
            done_messages: DoneMessages::default(),
            ready: Vec::new(),
            due: None,
        }
    }

    /// The routes that messages are for from now on.
    pub fn set_routes(&mut self, routes: BTreeSet<Arc<str>>, now: Instant) {
        for (receipt, message) in &mut self.messages {
            let was_open = message.open();
            message.acks.retain(|(route, _)| routes.contains(route));
            message.acks.extend(routes.difference(&self.routes).map(|new| (new.clone(), Ack::Released(now))));
            if was_open && !message.open() {
                self.ready.push(receipt.clone());
            }
        }
        self.routes = routes;
    }

    /// A message was received; gives the routes that it is for.
    pub fn receive(&mut self, id: &str, receipt: &Receipt) -> Vec<Arc<str>> {
        let ack = |route: &Arc<str>| if self.done_messages.done(id, route) { Ack::Done } else { Ack::Waiting };
        let acks: Vec<_> = self.routes.iter().map(|route| (route.clone(), ack(route))).collect();
        let routes: Vec<_> = acks.iter().filter(|(_, ack)| ack.open()).map(|(route, _)| route.clone()).collect();
        if routes.is_empty() {
            self.ready.push(receipt.handle.clone());
        }
        let due = receipt.until - self.visibility / 2;
        self.due = Some(self.due.map_or(due, |other| other.min(due)));
        self.messages.insert(
            receipt.handle.clone(),
            TrackedMessage { id: id.into(), receipt: receipt.clone(), lost: false, acks },
        );
        routes
    }

    /// Leaves to others those of the messages that they may see by now; they come again. With such a message a route gives back
    /// what waits of its group, also what came before it: so ask [`AckTracker::waits`] only after all of them were looked at.
    pub fn lapse<'a>(&mut self, receipts: impl Iterator<Item = &'a str>, now: Instant) {
        let lapsed = |receipt: &&str| self.messages.get(*receipt).is_some_and(|message| message.receipt.until <= now);
        let lapsed: Vec<Box<str>> = receipts.filter(lapsed).map(Box::from).collect();
        self.lost(&lapsed, now);
    }

    /// True if a message waits for a route, also one that others may see by now.
    pub fn waits(&self, route: &str, receipt: &str) -> bool {
        self.messages.get(receipt).is_some_and(|message| message.is(route, Ack::Waiting))
    }

    /// A route has these in work.
    pub fn take<'a>(&mut self, route: &str, receipts: impl Iterator<Item = &'a str>) {
        for receipt in receipts {
            if let Some(ack) = self.messages.get_mut(receipt).and_then(|m| m.ack(route))
                && *ack == Ack::Waiting
            {
                *ack = Ack::InWork;
            }
        }
    }

    /// A route settles messages: done, or back after a wait. Gives what the queue is to be told of them; the same again when
    /// it is asked again. A receipt that is not known is the route's alone, where it reads alone.
    pub fn settle(&mut self, route: &str, settled: Vec<(Box<str>, Option<Duration>)>, now: Instant) -> QueueChanges {
        let (mut changes, mut failed, several) = (QueueChanges::default(), HashSet::new(), self.routes.len() > 1);
        for (receipt, release) in settled {
            let Some(message) = self.messages.get_mut(&receipt) else {
                if !several {
                    changes.push(receipt, &release.map_or(QueueChange::Delete, QueueChange::Release));
                }
                continue;
            };
            if let Some((name, ack)) = message.acks.iter_mut().find(|(name, _)| **name == *route) {
                match release {
                    None if several => self.done_messages.note(&message.id, name),
                    Some(_) => drop(failed.insert(message.receipt.group.clone())),
                    None => {}
                }
                match release {
                    None => *ack = Ack::Done,
                    Some(wait) if *ack != Ack::Done => *ack = Ack::Released(now + wait),
                    Some(_) => {}
                }
            }
            if let Some(change) = message.queue_change(now) {
                changes.push(receipt, &change);
            }
        }
        failed.iter().for_each(|group| self.release_group(route, group, now));
        changes
    }

    /// A route dropped these while it had them in work: they are left to their visibility timeout.
    pub fn dropped(&mut self, route: &str, receipts: &[Box<str>], now: Instant) {
        let mut groups = HashSet::new();
        for receipt in receipts {
            let Some(message) = self.messages.get_mut(receipt) else { continue };
            if let Some(ack) = message.ack(route)
                && *ack == Ack::InWork
            {
                *ack = Ack::Abandoned;
                groups.insert(message.receipt.group.clone());
            }
        }
        groups.iter().for_each(|group| self.release_group(route, group, now));
    }

    /// A route is at nothing any more: everything that it is not done with is shown again when the others are done with it.
    pub fn release_route(&mut self, route: &str, now: Instant) {
        for (receipt, message) in &mut self.messages {
            if let Some(ack) = message.ack(route)
                && (ack.open() || *ack == Ack::Abandoned)
            {
                *ack = Ack::Released(now);
                self.ready.push(receipt.clone());
            }
        }
    }

    /// Receipts that are not valid any more.
    pub fn lost(&mut self, receipts: &[Box<str>], now: Instant) {
        let mut broken = HashSet::new();
        for receipt in receipts {
            let Some(message) = self.messages.get_mut(receipt) else { continue };
            broken.extend(message.acks.iter().map(|(route, _)| (route.clone(), message.receipt.group.clone())));
            message.lost = true;
            message.acks.iter_mut().filter(|(_, s)| *s == Ack::Waiting).for_each(|(_, s)| *s = Ack::Released(now));
            if !message.open() {
                self.messages.remove(receipt);
            }
        }
        broken.iter().for_each(|(route, group)| self.release_group(route, group, now));
    }

    /// Gives back what waits of a group for a route; messages without a group have nothing to do with each other.
    fn release_group(&mut self, route: &str, group: &str, now: Instant) {
        for (receipt, message) in
            self.messages.iter_mut().filter(|(_, m)| !group.is_empty() && *m.receipt.group == *group)
        {
            if let Some(ack) = message.ack(route)
                && *ack == Ack::Waiting
            {
                *ack = Ack::Released(now);
                self.ready.push(receipt.clone());
            }
        }
    }

    /// What the queue is to be told besides what [`AckTracker::settle`] gave; the same again until it is noted as told.
    pub fn ready(&mut self, now: Instant) -> QueueChanges {
        let (mut changes, mut seen) = (QueueChanges::default(), HashSet::new());
        for receipt in std::mem::take(&mut self.ready) {
            let Some(message) = self.messages.get(&receipt) else { continue };
            // What others may see by now is shown.
            let Some(change) = message.queue_change(now).filter(|_| message.receipt.until > now) else { continue };
            if seen.insert(receipt.clone()) {
                changes.push(receipt.clone(), &change);
                self.ready.push(receipt);
            }
        }
        changes
    }

    /// The queue was told; `stale`: receipts that were not valid any more, so that their messages may come again.
    pub fn confirm(&mut self, changes: &QueueChanges, stale: &[Box<str>]) {
        for (receipt, _) in &changes.release {
            self.messages.remove(receipt);
        }
        for (receipt, _) in &changes.delete {
            if let Some(message) = self.messages.remove(receipt)
                && !message.lost
                && !stale.contains(receipt)
            {
                self.done_messages.forget(&message.id);
            }
        }
        self.ready.retain(|receipt| self.messages.contains_key(receipt));
    }

    /// Messages in flight that this route is done with, and others are not.
    pub fn waiting_for_others(&self, route: &str, now: Instant) -> u64 {
        let others = |m: &&TrackedMessage| m.receipt.until > now && !m.lost && m.open() && m.is(route, Ack::Done);
        self.messages.values().filter(others).count() as u64
    }

    /// Before this time nothing is to be extended. `None`: nothing can be.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// True where messages are held, extensible or not.
    pub fn any_open(&self) -> bool {
        self.messages.values().any(|message| !message.lost && message.open())
    }

    /// What is to be extended now, after half of its time, and for how long.
    pub fn extensions(&mut self, now: Instant) -> Vec<(Box<str>, Duration)> {
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        self.messages.retain(|_, message| message.open() || message.receipt.until > now);
        self.release_for_all(now);
        self.find_due();
        let (half, visibility) = (self.visibility / 2, self.visibility);
        let due = self
            .messages
            .values()
            .filter(|m| m.open() && !m.lost && m.receipt.extensible() && m.receipt.until - half <= now);
        due.map(|message| {
            let left = (message.receipt.received + LONGEST).saturating_duration_since(now);
            let time = if message.waits_for_others() { visibility.max(PATIENT) } else { visibility };
            (message.receipt.handle.clone(), Duration::from_secs(left.as_secs()).min(time))
        })
        .collect()
    }

    /// Gives back, for all, what a route gave back and the others have not begun with.
    fn release_for_all(&mut self, now: Instant) {
        let mut groups = HashSet::new();
        for (receipt, message) in self.messages.iter_mut().filter(|(_, m)| m.open() && m.release_is_due(now)) {
            for (route, ack) in message.acks.iter_mut().filter(|(_, ack)| *ack == Ack::Waiting) {
                *ack = Ack::Released(now);
                groups.insert((route.clone(), message.receipt.group.clone()));
            }
            self.ready.push(receipt.clone());
        }
        groups.iter().for_each(|(route, group)| self.release_group(route, group, now));
    }

    /// Extensions that were made at `now`.
    pub fn extended(&mut self, now: Instant, extensions: &[(Box<str>, Duration)]) {
        for (receipt, time) in extensions {
            if let Some(message) = self.messages.get_mut(receipt) {
                message.receipt.until = now + *time;
            }
        }
        self.find_due();
    }

    fn find_due(&mut self) {
        let extensible = self.messages.values().filter(|m| m.open() && !m.lost && m.receipt.extensible());
        self.due = extensible.map(|m| m.receipt.until - self.visibility / 2).min();
    }
}

#[cfg(test)]
mod tests;
