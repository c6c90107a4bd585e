//! The boundary to sources: lanes that are pulled, and never acknowledge by themselves.
//!
//! A source gives lanes; a lane gives batches. The engine's commit settles events, together with their
//! effects. A batch that is dropped is not done: a retained lane is opened again at its committed
//! position, a queue delivers the message again after its visibility timeout.

use crate::BoxFuture;
use crate::batch::{Batch, Token};
use crate::call_output::Reply;
use crate::engine::KeptAnswer;
use crate::fault::Fault;
use crate::verdict::Verdict;
use std::sync::Arc;
use std::time::Duration;

/// Reads the position of a lane that another store keeps for a source; `None`: the lane has none yet.
pub type Positions = Arc<dyn Fn(&str) -> BoxFuture<'static, Result<Option<Token>, Fault>> + Send + Sync>;

/// How much to pull at once. The first limit that is reached closes the batch; it holds at least one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Most events.
    pub events: usize,
    /// Most bytes, as [`crate::event::EventRef::size`] counts them. A single larger event comes alone.
    pub bytes: usize,
    /// How long to wait for more events once there is one.
    pub window: Duration,
}

/// The result of a pull.
#[derive(Debug, PartialEq, Eq)]
pub enum Pull {
    /// At least one event.
    Batch(Batch),
    /// No event at present.
    Empty {
        /// True if nothing will come without a new event from outside; false if an event exists that is only hidden for
        /// now, such as a queue's message in flight.
        drained: bool,
    },
    /// The lane has ended and everything of it was handed out.
    Ended,
}

/// An event that was just settled, as [`Lane::settled`] gets it.
#[derive(Debug)]
pub struct Settled<'a> {
    /// Its position or receipt.
    pub token: &'a Token,
    /// How it ended.
    pub verdict: &'a Verdict,
    /// The plugin's reply to the event, if it gave one.
    pub reply: Option<&'a Reply>,
}

/// A source as one route reads it.
pub trait Source: Send {
    /// Waits for the next lane to work on; each lane is given once. `None`: there will be no more lanes.
    /// Cancel-safe.
    ///
    /// # Errors
    /// A [`Fault`]; the call may be repeated after a pause.
    fn next_lane(&mut self) -> BoxFuture<'_, Result<Option<Box<dyn Lane>>, Fault>>;

    /// True if every lane that exists at present was given: a further lane has yet to come into being.
    fn caught_up(&self) -> bool;

    /// True if lanes are leased: [`Source::next_lane`] gives a lost lane again, here or in another process. If false, the route
    /// opens the source again to find a lost lane.
    fn leased(&self) -> bool {
        false
    }

    /// Gives up leases and releases messages that no lane works on, so that another process need not wait until they expire. Called when all lanes have ended; the source is not used afterwards.
    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A unit of order, or one poller of an unordered source.
pub trait Lane: Send {
    /// Its name: partition, message group, file. Empty if the source's lanes have no names.
    fn id(&self) -> &str;

    /// Gives the next events. If there are none it returns at once; if there are some it waits for more during the window of
    /// `limit`.
    /// Cancel-safe: what a cancelled pull has taken comes again, or its sender is told that nothing was done.
    ///
    /// # Errors
    /// A [`Fault`]; the pull may be repeated after a pause, except after [`Fault::LeaseLost`].
    fn pull(&mut self, limit: Limit) -> BoxFuture<'_, Result<Pull, Fault>>;

    /// Waits until a pull may give something that the last one did not. Cancel-safe; may wake for nothing.
    fn ready(&mut self) -> BoxFuture<'_, ()>;

    /// Keeps the last batch from other pollers and processes while it is in work: a queue extends the visibility timeout of the messages
    /// from time to time. Never ends; cancel-safe.
    fn keep(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// Why nothing more of it may be committed; `None`: it may. Asked before each call, so that a lane that was lost ends although its plugin asks
    /// for another try again and again: the next lane of the same name waits for that.
    fn lost(&self) -> Option<Fault> {
        None
    }

    /// True if the next batch may be pulled while the last one is still in work. It is committed after the last one; its commit
    /// is refused if the last one was not committed.
    fn runs_ahead(&self) -> bool {
        false
    }

    /// Called when the route takes no events for now: it is paused or halted, or its breaker is open. No batch of the lane is in work
    /// then; of the last one, events may be left that were not settled. For sources whose senders wait for a reply. May be called
    /// again and again.
    fn rests(&mut self) {}

    /// How many events the source itself has given up and recorded since the last call of this method.
    fn given_up(&mut self) -> u64 {
        0
    }

    /// Answers that the commit of these events has to keep, each with the index of its event in `settling`. Called before each
    /// commit: for sources that recognise requests that come again.
    fn answers(&self, _settling: &[Settled<'_>]) -> Vec<(usize, KeptAnswer)> {
        Vec::new()
    }

    /// Called after each commit with the events that it settled: for sources whose senders wait for a reply.
    fn settled(&mut self, _settled: &[Settled<'_>]) {}
}
