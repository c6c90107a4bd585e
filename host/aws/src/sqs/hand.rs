//! What a worker holds: messages that it received and that nobody else sees, in work or waiting for their turn.
//!
//! Pure but for the time that it is given. Keeps invariant 3 for groups: what waits of a group is given back when a
//! message of it failed, was lost or was not settled.

use super::event::Event;
use esclusa_flow::batch::{Claim, Token};
use esclusa_flow::event::Columns;
use esclusa_flow::source::Limit;
use std::collections::{HashSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// Longest that a message can stay invisible after its receipt, by extensions as well, less a margin for the way.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html>, 2026-11.
const LONGEST: Duration = Duration::from_secs(12 * 3600 - 10);

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
    fn extensible(&self) -> bool {
        self.until + Duration::from_secs(1) <= self.received + LONGEST
    }
}

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its receipt.
    pub held: Held,
    /// The message.
    pub event: Event,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Hand {
    /// The batch handed out last, as far as it is not settled.
    work: Vec<Held>,
    /// In the order of their receipt.
    waiting: VecDeque<Received>,
    /// To be shown again at once.
    back: Vec<Held>,
    /// Handed out, never settled, and not extended any more.
    forgotten: Vec<Held>,
}

impl Hand {
    /// Adds what was received.
    pub fn add(&mut self, received: Vec<Received>) {
        self.waiting.extend(received);
    }

    /// Messages and bytes that wait.
    pub fn waiting(&self) -> (usize, usize) {
        (self.waiting.len(), self.waiting.iter().map(|message| message.event.size()).sum())
    }

    /// The next batch: its group, its events, and their claims. `None` where nothing waits.
    pub fn take(&mut self, limit: Limit) -> Option<(Box<str>, Columns, Vec<Claim>)> {
        let group = self.waiting.front()?.held.group.clone();
        let (mut columns, mut claims, mut full) = (Columns::default(), Vec::new(), false);
        let mut rest = VecDeque::with_capacity(self.waiting.len());
        for message in self.waiting.drain(..) {
            let size = message.event.size();
            full |= message.held.group == group
                && !claims.is_empty()
                && (claims.len() >= limit.events || columns.size() + size > limit.bytes);
            if full || message.held.group != group || message.event.view(|event| columns.push(event)).is_err() {
                full |= message.held.group == group;
                rest.push_back(message);
                continue;
            }
            claims.push(Claim::new(Token::Text(message.held.receipt.clone())));
            self.work.push(message.held);
        }
        self.waiting = rest;
        Some((group, columns, claims))
    }

    /// Events of the batch in work were settled: `returned` says which were given back rather than finished.
    pub fn settled<'a>(&mut self, tokens: impl Iterator<Item = (&'a Token, bool)>) {
        let (mut done, mut failed) = (HashSet::new(), false);
        for (token, returned) in tokens {
            failed |= returned;
            if let Token::Text(receipt) = token {
                done.insert(&**receipt);
            }
        }
        let group = self.work.first().map(|held| held.group.clone());
        self.work.retain(|held| !done.contains(&*held.receipt));
        if let (true, Some(group)) = (failed, group) {
            self.give_back(&group);
        }
    }

    /// The batch in work was dropped: its messages are left to their visibility timeout.
    pub fn dropped(&mut self, now: Instant) {
        let group = self.work.first().map(|held| held.group.clone());
        self.forgotten.retain(|held| held.until > now);
        self.forgotten.append(&mut self.work);
        if let Some(group) = group {
            self.give_back(&group);
        }
    }

    /// Leaves what waits and may be seen by others by now: it comes again.
    pub fn expire(&mut self, now: Instant) {
        let late: Vec<_> =
            self.waiting.iter().filter(|m| m.held.until <= now).map(|m| m.held.receipt.clone()).collect();
        self.lost(&late);
    }

    /// Receipts that are not valid any more.
    pub fn lost(&mut self, receipts: &[Box<str>]) {
        let is_lost = |held: &Held| receipts.contains(&held.receipt);
        let groups: HashSet<_> = self.held().filter(|held| is_lost(held)).map(|held| held.group.clone()).collect();
        self.work.retain(|held| !is_lost(held));
        self.waiting.retain(|message| !is_lost(&message.held));
        for group in groups {
            self.give_back(&group);
        }
    }

    /// Moves what waits of a group to what is shown again; messages without a group have nothing to do with each other.
    fn give_back(&mut self, group: &str) {
        if group.is_empty() {
            return;
        }
        let (back, kept): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(|m| &*m.held.group == group);
        self.waiting = kept.into();
        self.back.extend(back.into_iter().map(|message| message.held));
    }

    /// What is to be shown again at once; still here until [`Hand::given_back`].
    pub fn back(&self) -> &[Held] {
        &self.back
    }

    /// What was to be shown again is.
    pub fn given_back(&mut self) {
        self.back.clear();
    }

    /// When an extension is due: after half of the time. `None` where nothing can be extended.
    pub fn due(&self, visibility: Duration) -> Option<Instant> {
        self.held().filter(|held| held.extensible()).map(|held| held.until - visibility / 2).min()
    }

    /// What is to be extended now, and for how long.
    pub fn extensions(&self, now: Instant, visibility: Duration) -> Vec<(Box<str>, Duration)> {
        let due = self.held().filter(|held| held.extensible() && held.until - visibility / 2 <= now);
        due.map(|held| {
            let left = (held.received + LONGEST).saturating_duration_since(now);
            (held.receipt.clone(), Duration::from_secs(left.as_secs()).min(visibility))
        })
        .collect()
    }

    /// Extensions that were made at `now`.
    pub fn extended(&mut self, now: Instant, extensions: &[(Box<str>, Duration)]) {
        let held = self.work.iter_mut().chain(self.waiting.iter_mut().map(|message| &mut message.held));
        for held in held {
            if let Some((_, time)) = extensions.iter().find(|(receipt, _)| *receipt == held.receipt) {
                held.until = now + *time;
            }
        }
    }

    fn held(&self) -> impl Iterator<Item = &Held> {
        self.work.iter().chain(self.waiting.iter().map(|message| &message.held))
    }

    /// Everything that is still invisible to others.
    pub fn release(self, now: Instant) -> Vec<Held> {
        let waiting = self.waiting.into_iter().map(|message| message.held);
        let all = self.work.into_iter().chain(self.forgotten).chain(self.back).chain(waiting);
        all.filter(|held| held.until > now).collect()
    }
}

#[cfg(test)]
mod tests;
