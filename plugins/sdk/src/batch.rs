//! A batch of events, as the router hands it over: in columns, read through borrowed [`Event`]s.
//!
//! The layout is that of `wit/events.wit`. A malformed one cannot make this panic: what lies outside is empty.

use crate::failure::EventError;
use esclusa_data::event::{ATTRIBUTE_WIDTH, EVENT_WIDTH};
use serde::de::DeserializeOwned;

/// Where a batch came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// Route name in routes.toml.
    pub route: String,
    /// Source name in routes.toml.
    pub source: String,
    /// Source kind, as written in routes.toml.
    pub kind: String,
    /// Unit of order: shard, message group, partition. Empty where the source has none.
    pub lane: String,
    /// True where the events of the lane arrive in order and must be finished in order.
    pub ordered: bool,
}

/// Events of one lane. The fields are the columns of `wit/events.wit`; use the methods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Where the events came from.
    pub origin: Origin,
    /// Eight numbers per event.
    pub events: Vec<u32>,
    /// One per event.
    pub timestamps: Vec<u64>,
    /// One per event.
    pub attempts: Vec<u32>,
    /// Four numbers per attribute.
    pub attributes: Vec<u32>,
    /// Everything of variable size.
    pub bytes: Vec<u8>,
}

/// One event of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    batch: &'a Batch,
    index: usize,
}

impl Batch {
    /// Number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// True where there is no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// The event at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Event<'_>> {
        (index < self.len()).then_some(Event { batch: self, index })
    }

    /// All events in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Event<'_>> + ExactSizeIterator {
        (0..self.len()).map(|index| Event { batch: self, index })
    }

    /// When the source accepted the newest event, in milliseconds since the Unix epoch: the time to use where a
    /// plugin needs one, since it is the same again when the batch is handled again.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.timestamps.iter().copied().max().unwrap_or_default()
    }

    fn slice(&self, at: u32, len: u32) -> &[u8] {
        let at = at as usize;
        self.bytes.get(at..at.saturating_add(len as usize)).unwrap_or_default()
    }

    fn text(&self, at: u32, len: u32) -> &str {
        std::str::from_utf8(self.slice(at, len)).unwrap_or_default()
    }
}

impl<'a> Event<'a> {
    fn head(&self) -> [u32; EVENT_WIDTH] {
        let at = self.index * EVENT_WIDTH;
        self.batch.events.get(at..at + EVENT_WIDTH).and_then(|h| h.try_into().ok()).unwrap_or_default()
    }

    /// Its place in the batch.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index as u32
    }

    /// Stable across redeliveries: sequence number, message id, offset.
    #[must_use]
    pub fn id(&self) -> &'a str {
        let [at, len, ..] = self.head();
        self.batch.text(at, len)
    }

    /// Partition key or message group; empty where there is none.
    #[must_use]
    pub fn key(&self) -> &'a str {
        let [_, _, at, len, ..] = self.head();
        self.batch.text(at, len)
    }

    /// The payload, exactly as the source delivered it.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        let [_, _, _, _, at, len, ..] = self.head();
        self.batch.slice(at, len)
    }

    /// The payload as text.
    ///
    /// # Errors
    /// [`EventError::Reject`] where it is not UTF-8.
    pub fn text(&self) -> Result<&'a str, EventError> {
        std::str::from_utf8(self.data())
            .map_err(|e| EventError::Reject(format!("the payload is not UTF-8 from byte {} on", e.valid_up_to())))
    }

    /// The payload, read as JSON into `T`.
    ///
    /// # Errors
    /// [`EventError::Reject`] where it is not the JSON that `T` expects.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, EventError> {
        serde_json::from_str(self.text()?).map_err(|e| EventError::Reject(format!("the payload does not fit: {e}")))
    }

    /// Name and value pairs that came with the payload.
    pub fn attributes(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let [.., first, count] = self.head();
        let (batch, start) = (self.batch, (first as usize).saturating_mul(ATTRIBUTE_WIDTH));
        let end = start.saturating_add((count as usize).saturating_mul(ATTRIBUTE_WIDTH));
        let columns = batch.attributes.get(start..end).unwrap_or_default();
        columns.chunks_exact(ATTRIBUTE_WIDTH).filter_map(move |part| {
            let [name, name_len, value, value_len] = part.try_into().ok()?;
            Some((batch.text(name, name_len), batch.text(value, value_len)))
        })
    }

    /// The value of an attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&'a str> {
        self.attributes().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// When the source accepted it, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn timestamp(&self) -> u64 {
        self.batch.timestamps.get(self.index).copied().unwrap_or_default()
    }

    /// 1 on the first delivery.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.batch.attempts.get(self.index).copied().unwrap_or_default()
    }
}
