//! Records of streams and messages of queues: time, key, attributes and payload as one value.

use crate::codec::{ByteReader, Damaged, push_bytes, push_number};
use esclusa_flow::effect::SendMessage;
use esclusa_flow::event::{Columns, NewEvent, TooLarge};
use esclusa_flow::hops;

/// A record or message to be stored from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// Partition key or message group; empty if there is none.
    pub key: String,
    /// The payload.
    pub data: Vec<u8>,
    /// Name and value pairs.
    pub attributes: Vec<(String, String)>,
}

impl NewRecord {
    /// Bytes that it takes, about.
    pub fn size(&self) -> usize {
        self.key.len()
            + self.data.len()
            + self.attributes.iter().map(|(n, v)| n.len() + v.len() + 8).sum::<usize>()
            + 32
    }
}

/// The value of a record, without the time in front of it.
pub(crate) fn body(key: &str, attributes: &[(String, String)], data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + 16 + key.len() + data.len());
    out.extend_from_slice(&[0; 8]);
    push_bytes(key.as_bytes(), &mut out);
    push_number(attributes.len() as u64, &mut out);
    for (name, value) in attributes {
        push_bytes(name.as_bytes(), &mut out);
        push_bytes(value.as_bytes(), &mut out);
    }
    out.extend_from_slice(data);
    out
}

/// The value of a message that an effect sends.
pub(crate) fn body_of(send: &SendMessage) -> Vec<u8> {
    body(send.key.as_deref().unwrap_or_default(), &send.attributes, &send.data)
}

/// Writes the time into a value that [`body`] made.
pub(crate) fn stamp(body: &mut [u8], timestamp: u64) {
    if let Some(time) = body.first_chunk_mut::<8>() {
        *time = timestamp.to_be_bytes();
    }
}

/// The time of a value.
pub(crate) fn timestamp(value: &[u8]) -> Result<u64, Damaged> {
    ByteReader(value).fixed_number()
}

/// A record as it is stored.
pub(crate) struct StoredRecord<'a> {
    /// When it was accepted, milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// Partition key or message group.
    pub key: &'a str,
    /// Name and value pairs.
    pub attributes: Vec<(&'a str, &'a str)>,
    /// How many routes it has come by: stored as an attribute, which events do not have.
    pub hops: u32,
    /// The payload.
    pub data: &'a [u8],
}

impl<'a> StoredRecord<'a> {
    /// Reads a value that [`body`] wrote.
    pub(crate) fn read(value: &'a [u8]) -> Result<Self, Damaged> {
        let mut reader = ByteReader(value);
        let timestamp = reader.fixed_number()?;
        let key = reader.text()?;
        let count = reader.number()?;
        let attributes = (0..count).map(|_| Ok((reader.text()?, reader.text()?)));
        let mut attributes = attributes.collect::<Result<Vec<_>, Damaged>>()?;
        let hops = hops::take(&mut attributes, hops::ATTRIBUTE);
        Ok(StoredRecord { timestamp, key, attributes, hops, data: reader.0 })
    }

    /// Appends it as an event.
    pub(crate) fn push(&self, id: &str, attempt: u32, columns: &mut Columns) -> Result<(), TooLarge> {
        columns.push(&NewEvent {
            id,
            key: self.key,
            data: self.data,
            attributes: &self.attributes,
            timestamp: self.timestamp,
            attempt,
        })
    }

    /// Bytes that the event takes, as [`esclusa_flow::event::EventRef::size`] counts them.
    pub(crate) fn size(&self, id: &str) -> usize {
        let attributes: usize = self.attributes.iter().map(|(n, v)| n.len() + v.len() + 16).sum();
        id.len() + self.key.len() + self.data.len() + attributes + 44
    }
}
