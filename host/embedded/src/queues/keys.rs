//! The keys of a queue.

use crate::codec::push_bytes;
use crate::disk::Space;
use crate::transaction::Transaction;

const MESSAGE: u8 = 1;
const DONE: u8 = 2;
const RECEIVED: u8 = 3;

fn prefix(queue: u32, kind: u8) -> Vec<u8> {
    [&queue.to_be_bytes()[..], &[kind]].concat()
}

/// Prefix of the keys of messages.
pub(crate) fn messages(queue: u32) -> Vec<u8> {
    prefix(queue, MESSAGE)
}

/// A message.
pub(crate) fn message(queue: u32, sequence: u64) -> Vec<u8> {
    [&messages(queue)[..], &sequence.to_be_bytes()].concat()
}

/// Prefix of the marks of finished messages.
pub(crate) fn all_done(queue: u32) -> Vec<u8> {
    prefix(queue, DONE)
}

/// The mark that a consumer has finished a message that others have not.
pub(crate) fn done(queue: u32, sequence: u64, consumer: u32) -> Vec<u8> {
    [&prefix(queue, DONE)[..], &sequence.to_be_bytes(), &consumer.to_be_bytes()].concat()
}

/// Prefix of the receive counts.
pub(crate) fn all_received(queue: u32) -> Vec<u8> {
    prefix(queue, RECEIVED)
}

/// How often a consumer has received a message.
pub(crate) fn received(queue: u32, sequence: u64, consumer: u32) -> Vec<u8> {
    [&prefix(queue, RECEIVED)[..], &sequence.to_be_bytes(), &consumer.to_be_bytes()].concat()
}

/// Message and consumer of a key that [`done`] or [`received`] made.
pub(crate) fn parts(key: &[u8]) -> Option<(u64, u32)> {
    let rest = key.get(5..)?;
    let (sequence, consumer) = rest.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*sequence), u32::from_be_bytes(consumer.try_into().ok()?)))
}

/// The number of a consumer.
pub(crate) fn consumer(queue: u32, route: &str) -> Vec<u8> {
    let mut key = consumers(queue);
    push_bytes(route.as_bytes(), &mut key);
    key
}

/// Prefix of the numbers of consumers.
pub(crate) fn consumers(queue: u32) -> Vec<u8> {
    [b"q", &queue.to_be_bytes()[..]].concat()
}

/// The last sequence that was given.
pub(crate) fn last(queue: u32) -> Vec<u8> {
    [b"l", &queue.to_be_bytes()[..]].concat()
}

/// A sequence that no message is before.
pub(crate) fn first(queue: u32) -> Vec<u8> {
    [b"f", &queue.to_be_bytes()[..]].concat()
}

/// Deletes a message with its marks and receive counts.
pub(crate) fn delete_message(queue: u32, sequence: u64, consumers: &[u32], tx: &mut Transaction<'_>) {
    tx.delete(Space::Queue, message(queue, sequence));
    if consumers.len() > 1 {
        consumers.iter().for_each(|c| tx.delete(Space::Queue, done(queue, sequence, *c)));
    }
    consumers.iter().for_each(|c| tx.delete(Space::Queue, received(queue, sequence, *c)));
}
