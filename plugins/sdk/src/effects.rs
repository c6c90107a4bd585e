//! The output of a call: effects, outcomes of single events, and replies.

use crate::batch::{Batch, Event};
use crate::effect::{Action, Delete, Effect, Put};
use crate::failure::{EventError, Failure};
use crate::item::Item;

/// How the router goes on with an event that did not go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Try again, not before so many milliseconds.
    Retry(Option<u32>),
    /// To the dead letters, with the reason.
    Reject(String),
    /// Done, on purpose without effects.
    Skip(String),
}

/// The outcome of an event that is not simply done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Index of the event in the batch.
    pub event: u32,
    /// How the router goes on with it.
    pub disposition: Disposition,
}

/// An answer for a source that waits for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Index of the event in the batch.
    pub event: u32,
    /// HTTP status.
    pub status: u16,
    /// MIME type.
    pub content_type: String,
    /// Further headers, names and values.
    pub headers: Vec<(String, String)>,
    /// Content.
    pub body: Vec<u8>,
}

impl Reply {
    /// Adds a header. The router refuses those of the connection, of the body's length and encoding, and of its own checks.
    pub fn header(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// Collects the output of a call. The router carries out effects after the call, in the order in which they were pushed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects<'a> {
    effects: Vec<Effect<'a>>,
    outcomes: Vec<Outcome>,
    replies: Vec<Reply>,
    cause: Option<u32>,
}

impl<'a> Effects<'a> {
    /// Nothing to be done, with room for one effect per event.
    #[must_use]
    pub fn with_capacity(events: usize) -> Self {
        Effects { effects: Vec::with_capacity(events), ..Effects::default() }
    }

    /// Calls `handle` for each event. If it fails for an event, the effects and replies that it pushed for that event
    /// are taken back and the event is retried, rejected or skipped; the others go on.
    ///
    /// # Errors
    /// The [`Failure`] of an [`EventError::Batch`]: at once, for the whole batch.
    pub fn for_each<F>(&mut self, batch: &'a Batch, mut handle: F) -> Result<(), Failure>
    where
        F: FnMut(Event<'a>, &mut Effects<'a>) -> Result<(), EventError>,
    {
        for event in batch.iter() {
            self.caused_by(event, |out| handle(event, out))?;
        }
        Ok(())
    }

    /// The same for one event: everything pushed within `handle` is caused by `event`.
    ///
    /// # Errors
    /// The [`Failure`] of an [`EventError::Batch`].
    pub fn caused_by<F>(&mut self, event: Event<'a>, handle: F) -> Result<(), Failure>
    where
        F: FnOnce(&mut Effects<'a>) -> Result<(), EventError>,
    {
        let (effects, replies) = (self.effects.len(), self.replies.len());
        self.cause = Some(event.index());
        let result = handle(self);
        self.cause = None;
        let Err(error) = result else { return Ok(()) };
        // An event has all of its effects or none: a retry must not find half of them done.
        self.effects.truncate(effects);
        self.replies.truncate(replies);
        let disposition = match error {
            EventError::Retry(after) => Disposition::Retry(after),
            EventError::Reject(reason) => Disposition::Reject(reason),
            EventError::Skip(reason) => Disposition::Skip(reason),
            EventError::Batch(failure) => return Err(failure),
        };
        self.outcomes.push(Outcome { event: event.index(), disposition });
        Ok(())
    }

    /// Adds an effect. Within [`Effects::for_each`] the event at hand caused it, outside of it the batch as a whole.
    pub fn push(&mut self, action: impl Into<Action<'a>>) {
        let cause = self.cause;
        self.push_for(cause, action);
    }

    /// Adds an effect that the event with this index caused; `None`: the batch as a whole.
    pub fn push_for(&mut self, cause: Option<u32>, action: impl Into<Action<'a>>) {
        self.effects.push(Effect { cause, action: action.into() });
    }

    /// Stores an item, replacing the one with the same key.
    pub fn put(&mut self, table: &'a str, item: Item<'a>) {
        self.push(Put::new(table, item));
    }

    /// Deletes an item.
    pub fn delete(&mut self, table: &'a str, key: Item<'a>) {
        self.push(Delete::new(table, key));
    }

    /// Answers an event of a source that waits for it. Once per event; other sources ignore it. Headers are added to what this
    /// gives: `out.reply(event, 201, "application/json", body).header("location", url)`.
    pub fn reply(&mut self, event: Event<'_>, status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> &mut Reply {
        let (event, content_type) = (event.index(), content_type.to_owned());
        self.replies.push_mut(Reply { event, status, content_type, headers: Vec::new(), body: body.into() })
    }

    /// The effects so far.
    #[must_use]
    pub fn effects(&self) -> &[Effect<'a>] {
        &self.effects
    }

    /// The outcomes of events that are not simply done.
    #[must_use]
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// The replies so far.
    #[must_use]
    pub fn replies(&self) -> &[Reply] {
        &self.replies
    }

    /// All three lists.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Effect<'a>>, Vec<Outcome>, Vec<Reply>) {
        (self.effects, self.outcomes, self.replies)
    }
}
