//! A batch of events, as the router hands it over: in columns, read through borrowed [`Event`]s.
//!
//! Reading the columns is left to [`Columns`], which the router uses too. Malformed ones cannot make it panic: an offset
//! outside of the bytes reads as empty, and an event without its numbers is left out.

use crate::failure::EventError;
pub use esclusa_data::event::Columns;
use esclusa_data::event::EventRef;
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
    /// Unit of order: shard, message group, partition. Empty if the source has none.
    pub lane: String,
    /// True if the events of the lane arrive in order and must be finished in order.
    pub ordered: bool,
}

/// Events of one lane.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Where the events came from.
    pub origin: Origin,
    /// The events, as `wit/events.wit` lays them out.
    pub columns: Columns,
}

/// One event of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    event: EventRef<'a>,
    index: u32,
}

impl Batch {
    /// Number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// True if there is no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The event at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Event<'_>> {
        Some(Event { event: self.columns.get(index)?, index: u32::try_from(index).ok()? })
    }

    /// All events in order.
    pub fn iter(&self) -> impl Iterator<Item = Event<'_>> {
        self.columns.iter().zip(0..).map(|(event, index)| Event { event, index })
    }

    /// When the source accepted the newest event, in milliseconds since the Unix epoch. A plugin that needs the time uses
    /// this one: it is the same again when the batch is handled again.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.columns.timestamps.iter().copied().max().unwrap_or_default()
    }
}

impl<'a> Event<'a> {
    /// Its index in the batch.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Stable across redeliveries: sequence number, message id, offset.
    #[must_use]
    pub fn id(&self) -> &'a str {
        self.event.id()
    }

    /// Partition key or message group; empty if there is none.
    #[must_use]
    pub fn key(&self) -> &'a str {
        self.event.key()
    }

    /// The payload, exactly as the source delivered it.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        self.event.data()
    }

    /// The payload as text.
    ///
    /// # Errors
    /// [`EventError::Reject`] if it is not UTF-8.
    pub fn text(&self) -> Result<&'a str, EventError> {
        std::str::from_utf8(self.data())
            .map_err(|e| EventError::Reject(format!("the payload is not UTF-8 from byte {} on", e.valid_up_to())))
    }

    /// The payload, read as JSON into `T`.
    ///
    /// # Errors
    /// [`EventError::Reject`] if it is not the JSON that `T` expects.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, EventError> {
        serde_json::from_str(self.text()?).map_err(|e| EventError::Reject(format!("the payload does not fit: {e}")))
    }

    /// Name and value pairs that came with the payload.
    pub fn attributes(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.event.attributes()
    }

    /// The value of an attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&'a str> {
        self.attributes().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// When the source accepted it, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn timestamp(&self) -> u64 {
        self.event.timestamp
    }

    /// 1 on the first delivery.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.event.attempt
    }
}
