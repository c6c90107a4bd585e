//! Events in columns: numbers in flat lists, everything of variable size in one byte buffer.
//!
//! This is the layout that crosses the sandbox boundary (`wit/events.wit`), so the router hands a batch to a plugin
//! with five block copies, and the SDK reads it with the same code. Events are immutable once pushed.

use std::sync::Arc;

/// The route, source and lane that the events of a batch came from. One batch has one origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchOrigin {
    /// Route name in routes.toml.
    pub route: Arc<str>,
    /// Source name in routes.toml.
    pub source: Arc<str>,
    /// Source kind as written in routes.toml.
    pub kind: Arc<str>,
    /// Unit of order: partition, message group, file. Empty if the source has none.
    pub lane: Arc<str>,
    /// True if the events of the lane arrive in order and must be finished in order.
    pub ordered: bool,
}

/// One event to be pushed into [`Columns`].
#[derive(Debug, Clone, Copy, Default)]
pub struct NewEvent<'a> {
    /// Stable across redeliveries: sequence number, message id, offset.
    pub id: &'a str,
    /// Partition key or message group; empty if there is none.
    pub key: &'a str,
    /// The payload exactly as the source delivered it.
    pub data: &'a [u8],
    /// Name and value pairs.
    pub attributes: &'a [(&'a str, &'a str)],
    /// When the source accepted it, in milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// 1 on the first delivery.
    pub attempt: u32,
}

/// A borrowed event of a batch.
#[derive(Debug, Clone, Copy)]
pub struct EventRef<'a> {
    columns: &'a Columns,
    head: &'a [u32],
    /// When the source accepted it, in milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// 1 on the first delivery.
    pub attempt: u32,
}

/// The batch would pass the 4 GiB that 32-bit offsets reach; nothing was pushed.
#[derive(Debug, thiserror::Error)]
#[error("a batch cannot hold more than 4 GiB")]
pub struct TooLarge;

/// The events of a batch in columns. See `wit/events.wit` for the layout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// Eight numbers per event: offset and length in `bytes` of id, key and data; index of its first attribute
    /// and the number of its attributes.
    pub events: Vec<u32>,
    /// One per event, milliseconds since the Unix epoch.
    pub timestamps: Vec<u64>,
    /// One per event, 1 on the first delivery.
    pub attempts: Vec<u32>,
    /// Four numbers per attribute: offset and length in `bytes` of name and value.
    pub attributes: Vec<u32>,
    /// Everything of variable size.
    pub bytes: Vec<u8>,
}

/// Numbers per event in [`Columns::events`].
pub const EVENT_WIDTH: usize = 8;
/// Numbers per attribute in [`Columns::attributes`].
pub const ATTRIBUTE_WIDTH: usize = 4;

/// How much room a batch took, for the next one.
#[derive(Debug, Clone, Copy, Default)]
pub struct ColumnsRoom {
    events: usize,
    attributes: usize,
    bytes: usize,
}

impl Columns {
    /// What they take.
    #[must_use]
    pub fn room(&self) -> ColumnsRoom {
        ColumnsRoom { events: self.len(), attributes: self.attributes.len(), bytes: self.bytes.len() }
    }

    /// Makes room for as much as other columns took. The batches of a lane are of about the same size, and columns that grow event by
    /// event are copied again and again, into memory that nobody has touched.
    pub fn reserve(&mut self, room: ColumnsRoom) {
        self.events.reserve(room.events * EVENT_WIDTH);
        self.timestamps.reserve(room.events);
        self.attempts.reserve(room.events);
        self.attributes.reserve(room.attributes);
        self.bytes.reserve(room.bytes);
    }

    /// Number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// True if there is no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Bytes of memory that the events take, columns included.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
            + 4 * (self.events.len() + self.attempts.len() + self.attributes.len())
            + 8 * self.timestamps.len()
    }

    /// Appends one event.
    ///
    /// # Errors
    /// [`TooLarge`] if an offset would not fit in 32 bits; nothing is pushed then.
    pub fn push(&mut self, event: &NewEvent<'_>) -> Result<(), TooLarge> {
        let variable: usize = event.attributes.iter().map(|(n, v)| n.len() + v.len()).sum();
        let end = self.bytes.len() + event.id.len() + event.key.len() + event.data.len() + variable;
        // Checked before anything is appended: half of an event must not stay behind.
        if u32::try_from(end).is_err() || u32::try_from(self.attributes.len() + event.attributes.len()).is_err() {
            return Err(TooLarge);
        }
        let first_attribute = (self.attributes.len() / ATTRIBUTE_WIDTH) as u32;
        let [id, key, data] = [event.id.as_bytes(), event.key.as_bytes(), event.data].map(|part| self.append(part));
        self.events.extend_from_slice(&[
            id.0,
            id.1,
            key.0,
            key.1,
            data.0,
            data.1,
            first_attribute,
            event.attributes.len() as u32,
        ]);
        for (name, value) in event.attributes {
            let (name, value) = (self.append(name.as_bytes()), self.append(value.as_bytes()));
            self.attributes.extend_from_slice(&[name.0, name.1, value.0, value.1]);
        }
        self.timestamps.push(event.timestamp);
        self.attempts.push(event.attempt);
        Ok(())
    }

    fn append(&mut self, part: &[u8]) -> (u32, u32) {
        let at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(part);
        (at, part.len() as u32)
    }

    /// The event at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<EventRef<'_>> {
        Some(EventRef {
            columns: self,
            head: self.events.get(index * EVENT_WIDTH..(index + 1) * EVENT_WIDTH)?,
            timestamp: *self.timestamps.get(index)?,
            attempt: *self.attempts.get(index)?,
        })
    }

    /// All events in order.
    pub fn iter(&self) -> impl Iterator<Item = EventRef<'_>> {
        (0..self.len()).filter_map(|i| self.get(i))
    }

    /// A copy that holds only the events at `indexes`, in that order; unknown indexes are left out.
    #[must_use]
    pub fn select(&self, indexes: impl IntoIterator<Item = usize>) -> Columns {
        let mut out = Columns::default();
        for event in indexes.into_iter().filter_map(|index| self.get(index)) {
            let attributes: Vec<_> = event.attributes().collect();
            // Cannot be too large: the events came out of columns of the same limit.
            let _ = out.push(&NewEvent {
                id: event.id(),
                key: event.key(),
                data: event.data(),
                attributes: &attributes,
                timestamp: event.timestamp,
                attempt: event.attempt,
            });
        }
        out
    }

    /// Appends all events of `other`.
    ///
    /// # Errors
    /// [`TooLarge`] if an offset would not fit in 32 bits; the events before that one are pushed.
    pub fn extend(&mut self, other: &Columns) -> Result<(), TooLarge> {
        for event in other.iter() {
            let attributes: Vec<_> = event.attributes().collect();
            self.push(&NewEvent {
                id: event.id(),
                key: event.key(),
                data: event.data(),
                attributes: &attributes,
                timestamp: event.timestamp,
                attempt: event.attempt,
            })?;
        }
        Ok(())
    }

    fn slice(&self, at: Option<&u32>, len: Option<&u32>) -> &[u8] {
        let (Some(at), Some(len)) = (at, len) else { return &[] };
        self.bytes.get(*at as usize..(*at as usize).saturating_add(*len as usize)).unwrap_or_default()
    }

    fn text(&self, at: Option<&u32>, len: Option<&u32>) -> &str {
        std::str::from_utf8(self.slice(at, len)).unwrap_or_default()
    }
}

impl<'a> EventRef<'a> {
    /// Stable across redeliveries.
    #[must_use]
    pub fn id(&self) -> &'a str {
        self.columns.text(self.head.first(), self.head.get(1))
    }

    /// Partition key or message group; empty if there is none.
    #[must_use]
    pub fn key(&self) -> &'a str {
        self.columns.text(self.head.get(2), self.head.get(3))
    }

    /// The payload exactly as the source delivered it.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        self.columns.slice(self.head.get(4), self.head.get(5))
    }

    /// Name and value pairs.
    pub fn attributes(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let number = |at: usize| self.head.get(at).map_or(0, |number| *number as usize);
        let start = number(6).saturating_mul(ATTRIBUTE_WIDTH);
        let end = start.saturating_add(number(7).saturating_mul(ATTRIBUTE_WIDTH));
        let columns = self.columns;
        // One look at the whole range: a guest that claims four billion attributes has none.
        let attributes = columns.attributes.get(start..end).unwrap_or_default();
        attributes
            .chunks_exact(ATTRIBUTE_WIDTH)
            .map(|a| (columns.text(a.first(), a.get(1)), columns.text(a.get(2), a.get(3))))
    }

    /// Bytes that the event takes, its share of the columns included.
    #[must_use]
    pub fn size(&self) -> usize {
        let attributes: usize = self.attributes().map(|(n, v)| n.len() + v.len() + 4 * ATTRIBUTE_WIDTH).sum();
        self.id().len() + self.key().len() + self.data().len() + attributes + 4 * EVENT_WIDTH + 12
    }
}
