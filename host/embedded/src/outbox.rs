//! Outboxes: messages for the world outside, kept from the commit that recorded them until they are confirmed.

use crate::codec::{ByteReader, Damaged, push_bytes, push_number, trailing_number};
use crate::disk::{Disk, Space, read_fault};
use crate::transaction::Transaction;
use esclusa_flow::effect::{OutboxMessage, SendMessage};
use esclusa_flow::engine::PendingMessages;
use esclusa_flow::fault::Fault;
use fjall::Readable;

/// An outbox as it is stored; `None` if there is nothing to send.
pub(crate) fn encode(lane: &str, messages: &[OutboxMessage]) -> Option<Vec<u8>> {
    if messages.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(256);
    push_bytes(lane.as_bytes(), &mut out);
    push_number(messages.len() as u64, &mut out);
    messages.iter().for_each(|message| push_message(message, &mut out));
    Some(out)
}

fn push_message(message: &OutboxMessage, out: &mut Vec<u8>) {
    push_bytes(message.id.as_bytes(), out);
    push_bytes(message.send.output.as_bytes(), out);
    match &message.send.key {
        Some(key) => {
            out.push(1);
            push_bytes(key.as_bytes(), out);
        }
        None => out.push(0),
    }
    push_bytes(&message.send.data, out);
    push_number(message.send.attributes.len() as u64, out);
    for (name, value) in &message.send.attributes {
        push_bytes(name.as_bytes(), out);
        push_bytes(value.as_bytes(), out);
    }
}

/// The outbox that [`encode`] wrote.
pub(crate) fn read(id: u64, bytes: &[u8]) -> Result<PendingMessages, Damaged> {
    let mut reader = ByteReader(bytes);
    let lane = reader.text()?.to_owned();
    let messages = (0..reader.number()?).map(|_| read_message(&mut reader)).collect::<Result<_, _>>()?;
    Ok(PendingMessages { id, lane, messages })
}

fn read_message(reader: &mut ByteReader<'_>) -> Result<OutboxMessage, Damaged> {
    let id = reader.text()?.to_owned();
    let output = reader.text()?.to_owned();
    let key = match reader.byte()? {
        0 => None,
        _ => Some(reader.text()?.to_owned()),
    };
    let data = reader.bytes()?.to_vec();
    let count = reader.number()?;
    let attributes = (0..count)
        .map(|_| Ok((reader.text()?.to_owned(), reader.text()?.to_owned())))
        .collect::<Result<_, Damaged>>()?;
    Ok(OutboxMessage { id, send: SendMessage { output, key, data, attributes } })
}

fn prefix(route: &str) -> Vec<u8> {
    let mut key = vec![b'x'];
    push_bytes(route.as_bytes(), &mut key);
    key
}

fn key(route: &str, id: u64) -> Vec<u8> {
    let mut key = prefix(route);
    key.extend_from_slice(&id.to_be_bytes());
    key
}

/// Records an outbox and gives its number.
pub(crate) fn write(route: &str, bytes: Vec<u8>, tx: &mut Transaction<'_>) -> u64 {
    let id = tx.next_id();
    tx.put(Space::State, key(route, id), bytes);
    id
}

/// Deletes an outbox; false if it was confirmed and deleted before.
pub(crate) fn remove(route: &str, id: u64, tx: &mut Transaction<'_>) -> Result<bool, Fault> {
    let key = key(route, id);
    let found = tx.get(Space::State, &key)?.is_some();
    if found {
        tx.delete(Space::State, key);
    }
    Ok(found)
}

/// The outboxes of a route, in order.
pub(crate) fn list(route: &str, disk: &Disk) -> Result<Vec<PendingMessages>, Fault> {
    let mut found = Vec::new();
    for guard in disk.snapshot().prefix(disk.space(Space::State), prefix(route)) {
        let (key, value) = guard.into_inner().map_err(|e| read_fault(&e))?;
        found.push(read(trailing_number(&key)?, &value)?);
    }
    Ok(found)
}
