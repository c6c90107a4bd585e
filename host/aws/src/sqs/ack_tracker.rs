//! Tracks for every received message which routes have finished it (their acks). Pure: the caller gives the time.
//!
//! - A message is for every route that reads the source, even if that route has not opened it at the moment, except for
//!   routes that are known to have finished it. Routes settle it in any order. When the last one has, the message is
//!   deleted if all routes are done, and released after the longest wait that a route asked for if one released it. If a route
//!   abandoned it, nothing is sent: its visibility timeout ends.
//! - Until then it is kept invisible for the routes that work on it or that it waits for.
//! - If one route released or abandoned a message and its wait is over, the next round of extensions releases it for all routes
//!   that have not begun it. If a route works on it, it is kept.
//! - If a message comes again for one route, the routes that are done do not get it again ([`DoneMessages`]).
//! - A route that releases a message of a group also releases all messages of the group that wait for it, so that their
//!   order holds. Other routes go on: each has its own order, and SQS gives out nothing more of a group before all of
//!   it is settled.
//! - A message whose receipt is lost no longer waits for any route. A route that works on it settles it as before.
//! - A new route gets the messages in hand once the other routes are done with them. Nothing waits for a route that is
//!   gone.

mod ack;

use super::received_message::{LONGEST, Receipt};
use ack::{Ack, DoneMessages, QueueChange, TrackedMessage};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The least extension of a message that some routes are done with and that waits for others: these may be paused or
/// far behind, and thousands of messages may wait. After a crash it comes again so much later.
const PATIENT: Duration = Duration::from_secs(300);

/// Changes to be sent to the queue, by receipt handle.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct QueueChanges {
    /// All routes are done with these messages. The time is not used.
    pub delete: Vec<(Box<str>, Duration)>,
    /// These messages are released, to be seen again after this time.
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

/// The acks of all messages that this process has received from one queue.
#[derive(Debug)]
pub struct AckTracker {
    visibility: Duration,
    routes: BTreeSet<Arc<str>>,
    messages: HashMap<Box<str>, TrackedMessage>,
    done_messages: DoneMessages,
    /// Messages that became deletable or released outside of [`AckTracker::settle`]; the queue does not know it yet.
    ready: Vec<Box<str>>,
    /// No message has to be extended before this time.
    due: Option<Instant>,
}

impl AckTracker {
    /// A tracker without messages. `visibility`: how long a message stays invisible after its receipt.
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

    /// Sets the routes that messages are for from now on.
    pub fn set_routes(&mut self, routes: BTreeSet<Arc<str>>, now: Instant) {
        for (receipt, message) in &mut self.messages {
            let was_open = message.open();
            message.acks.retain(|(route, _)| routes.contains(route));
            // A new route did not get this message: it counts as released, and comes again for that route.
            message.acks.extend(routes.difference(&self.routes).map(|new| (new.clone(), Ack::Released(now))));
            if was_open && !message.open() {
                self.ready.push(receipt.clone());
            }
        }
        self.routes = routes;
    }

    /// Adds a message that was received; gives the routes that it waits for.
    pub fn receive(&mut self, id: &str, receipt: &Receipt) -> Vec<Arc<str>> {
        let ack = |route: &Arc<str>| if self.done_messages.done(id, route) { Ack::Done } else { Ack::Waiting };
        let acks: Vec<_> = self.routes.iter().map(|route| (route.clone(), ack(route))).collect();
        let routes: Vec<_> = acks.iter().filter(|(_, ack)| ack.open()).map(|(route, _)| route.clone()).collect();
        // All routes have finished it before: it is only to be deleted.
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

    /// Marks messages as lost if their visibility timeout has passed: other consumers may see them by now. Messages that a route
    /// works on stay. Pass all of them before you ask [`AckTracker::waits`]: one lost message also releases the waiting ones of
    /// its group, even earlier ones.
    pub fn lapse<'a>(&mut self, receipts: impl Iterator<Item = &'a str>, now: Instant) {
        let lapsed = |receipt: &&str| self.messages.get(*receipt).is_some_and(|message| message.receipt.until <= now);
        let lapsed: Vec<Box<str>> = receipts.filter(lapsed).map(Box::from).collect();
        self.lost(&lapsed, now);
    }

    /// True if a message waits for a route, even if its visibility timeout has passed.
    pub fn waits(&self, route: &str, receipt: &str) -> bool {
        self.messages.get(receipt).is_some_and(|message| message.is(route, Ack::Waiting))
    }

    /// Notes that a route works on these messages.
    pub fn take<'a>(&mut self, route: &str, receipts: impl Iterator<Item = &'a str>) {
        for receipt in receipts {
            if let Some(ack) = self.messages.get_mut(receipt).and_then(|m| m.ack(route))
                && *ack == Ack::Waiting
            {
                *ack = Ack::InWork;
            }
        }
    }

    /// Settles messages of a route: `None` is done, a wait is a release. Gives the changes to send to the queue; asked
    /// again, it gives the same. An unknown receipt is settled directly if only one route reads the source.
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
                    // A single route needs no memory: its message is deleted, or comes again for it alone.
                    None if several => self.done_messages.note(&message.id, name),
                    Some(_) => drop(failed.insert(message.receipt.group.clone())),
                    None => {}
                }
                match release {
                    None => *ack = Ack::Done,
                    // A done ack stays: the effects are written, and a repeated settle may come late.
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

    /// A route dropped these messages unsettled: they come again when their visibility timeout passes.
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

    /// The route stops: its unfinished messages are released once all other routes have finished them.
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

    /// Notes receipts that are not valid any more.
    pub fn lost(&mut self, receipts: &[Box<str>], now: Instant) {
        let mut broken = HashSet::new();
        for receipt in receipts {
            let Some(message) = self.messages.get_mut(receipt) else { continue };
            broken.extend(message.acks.iter().map(|(route, _)| (route.clone(), message.receipt.group.clone())));
            message.lost = true;
            // Work on the message goes on: its effects may be written already, and settling it is still right.
            message.acks.iter_mut().filter(|(_, s)| *s == Ack::Waiting).for_each(|(_, s)| *s = Ack::Released(now));
            if !message.open() {
                self.messages.remove(receipt);
            }
        }
        broken.iter().for_each(|(route, group)| self.release_group(route, group, now));
    }

    /// Releases the messages of a group that wait for a route. Messages without a group are independent of each other.
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

    /// Changes to send to the queue besides those of [`AckTracker::settle`]; the same ones until
    /// [`AckTracker::confirm`].
    pub fn ready(&mut self, now: Instant) -> QueueChanges {
        let (mut changes, mut seen) = (QueueChanges::default(), HashSet::new());
        for receipt in std::mem::take(&mut self.ready) {
            let Some(message) = self.messages.get(&receipt) else { continue };
            // Past its visibility timeout a message is visible already: a release would hide it from the consumer that
            // has it now.
            let Some(change) = message.queue_change(now).filter(|_| message.receipt.until > now) else { continue };
            if seen.insert(receipt.clone()) {
                changes.push(receipt.clone(), &change);
                self.ready.push(receipt);
            }
        }
        changes
    }

    /// Notes that the queue has made these changes. `stale`: receipts that were not valid any more, so that their
    /// messages may come again.
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

    /// Number of messages in flight that this route has finished and that wait for other routes.
    pub fn waiting_for_others(&self, route: &str, now: Instant) -> u64 {
        let others = |m: &&TrackedMessage| m.receipt.until > now && !m.lost && m.open() && m.is(route, Ack::Done);
        self.messages.values().filter(others).count() as u64
    }

    /// When the next extension is due; `None` if no message can be extended.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// True if messages are held, extensible or not.
    pub fn any_open(&self) -> bool {
        self.messages.values().any(|message| !message.lost && message.open())
    }

    /// The messages to extend now, when half of their time has passed, and for how long.
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

    /// Releases for all routes the messages that one route released and the others have not begun.
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

    /// Notes extensions that were sent at `now`.
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
