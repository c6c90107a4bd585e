//! The messages of one poller: the batch in work, and those that wait for their turn. Whether a message still waits for
//! the route is known to the [`AckTracker`](super::ack_tracker::AckTracker).
//!
//! Pure. Gives the messages of one group after the other, each group in order (invariant 3).

use super::received_message::ReceivedMessage;
use esclusa_flow::batch::{Claim, Token};
use esclusa_flow::event::Columns;
use esclusa_flow::source::Limit;
use std::collections::{HashSet, VecDeque};

/// The messages of one poller.
#[derive(Debug, Default)]
pub(crate) struct PollerBuffer {
    /// Receipt handles of the last batch, as far as it is not settled.
    work: Vec<Box<str>>,
    /// In the order of their receipt.
    waiting: VecDeque<ReceivedMessage>,
}

impl PollerBuffer {
    /// Adds messages that were received.
    pub(crate) fn add(&mut self, received: Vec<ReceivedMessage>) {
        self.waiting.extend(received);
    }

    /// Number and bytes of the messages that wait.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        (self.waiting.len(), self.waiting.iter().map(|message| message.event.size()).sum())
    }

    /// The receipt handles of the messages that wait.
    pub(crate) fn receipts(&self) -> impl Iterator<Item = &str> {
        self.waiting.iter().map(|message| &*message.receipt.handle)
    }

    /// Keeps those waiting messages for which `is` is true.
    pub(crate) fn retain(&mut self, mut is: impl FnMut(&str) -> bool) {
        self.waiting.retain(|message| is(&message.receipt.handle));
    }

    /// The next batch: its group, its events, and their claims. `None` if no message waits.
    pub(crate) fn take(&mut self, limit: Limit) -> Option<(Box<str>, Columns, Vec<Claim>)> {
        let group = self.waiting.front()?.receipt.group.clone();
        let (mut columns, mut claims, mut full) = (Columns::default(), Vec::new(), false);
        let mut rest = VecDeque::with_capacity(self.waiting.len());
        for message in self.waiting.drain(..) {
            let size = message.event.size();
            full |= message.receipt.group == group
                && !claims.is_empty()
                && (claims.len() >= limit.events || columns.size() + size > limit.bytes);
            if full || message.receipt.group != group || message.event.view(|event| columns.push(event)).is_err() {
                full |= message.receipt.group == group;
                rest.push_back(message);
                continue;
            }
            let token = Token::Text(message.receipt.handle.clone());
            claims.push(Claim::new(token).with_hops(message.event.hops()));
            self.work.push(message.receipt.handle);
        }
        self.waiting = rest;
        Some((group, columns, claims))
    }

    /// Receipt handles of the batch in work.
    pub(crate) fn work(&self) -> impl Iterator<Item = &str> {
        self.work.iter().map(|receipt| &**receipt)
    }

    /// Events of the batch in work were settled.
    pub(crate) fn settled<'a>(&mut self, tokens: impl Iterator<Item = &'a Token>) {
        let settled: HashSet<&str> =
            tokens.filter_map(|token| if let Token::Text(receipt) = token { Some(&**receipt) } else { None }).collect();
        self.work.retain(|receipt| !settled.contains(&**receipt));
    }

    /// The batch in work was dropped: gives the receipt handles of its unsettled messages.
    pub(crate) fn dropped(&mut self) -> Vec<Box<str>> {
        std::mem::take(&mut self.work)
    }
}

#[cfg(test)]
mod tests;
