//! The boundary to sources: lanes that are pulled, and never acknowledge by themselves.
//!
//! A source gives lanes; a lane gives batches. What was finished is settled by the engine's commit, together
//! with the effects. A batch that is dropped is not done: a retained lane is opened again at its committed
//! position, a queue shows the message again after its visibility timeout.

use crate::BoxFuture;
use crate::batch::{Batch, Token};
use crate::call_output::Reply;
use crate::fault::Fault;
use crate::verdict::Verdict;
use std::sync::Arc;
use std::time::Duration;

/// Tells the position of a lane that another store keeps for a source; `None`: the lane has none yet.
pub type Positions = Arc<dyn Fn(&str) -> BoxFuture<'static, Result<Option<Token>, Fault>> + Send + Sync>;

/// How much to pull at once. A batch closes at whichever is first; it holds at least one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Most events.
    pub events: usize,
    /// Most bytes, as [`crate::event::EventRef::size`] counts them. A single larger event comes alone.
    pub bytes: usize,
    /// How long to wait for more events once there is one.
    pub window: Duration,
}

/// What a pull gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Pull {
    /// At least one event.
    Batch(Batch),
    /// Nothing at present. `drained`: nothing will come without a new event from outside; false where an event
    /// exists that is only hidden for now, such as a queue's message in flight.
    Empty {
        /// See above.
        drained: bool,
    },
    /// The lane has ended and everything of it was handed out.
    Ended,
}

/// An event that was just settled, as [`Lane::settled`] is told.
#[derive(Debug)]
pub struct Settled<'a> {
    /// The event.
    pub token: &'a Token,
    /// What became of it.
    pub verdict: &'a Verdict,
    /// The plugin's reply to it, where it gave one.
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

    /// True where every lane that exists at present was given: the next one, if any, is yet to come into being.
    fn caught_up(&self) -> bool;

    /// True where lanes are leased: one that was lost is given again by [`Source::next_lane`], here or in another
    /// process. Else a lost lane is found by opening the source again.
    fn leased(&self) -> bool {
        false
    }

    /// Hands over what is held, so that another process need not wait for it to expire: leases, messages that nobody
    /// works on. Called when all lanes have ended; nothing is asked of the source after it.
    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A unit of order, or one worker of an unordered source.
pub trait Lane: Send {
    /// Its name: partition, message group, file. Empty where the source has none.
    fn id(&self) -> &str;

    /// Gives the next events, without waiting where there are none; only the window of `limit` is waited for.
    /// Cancel-safe: a cancelled pull loses nothing.
    ///
    /// # Errors
    /// A [`Fault`]; the pull may be repeated after a pause, except after [`Fault::LeaseLost`].
    fn pull(&mut self, limit: Limit) -> BoxFuture<'_, Result<Pull, Fault>>;

    /// Waits until a pull may give something that the last one did not. Cancel-safe; may wake for nothing.
    fn ready(&mut self) -> BoxFuture<'_, ()>;

    /// Keeps the batch pulled last in this lane's hands while it is in work: a queue extends the visibility timeout of
    /// its messages now and then. Never ends; cancel-safe.
    fn keep(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// True where the next batch may be pulled while the last one is still in work. Its commit follows, and is refused
    /// where the last one's was never done.
    fn runs_ahead(&self) -> bool {
        false
    }

    /// Events that the source itself has given up and recorded, since it was asked last.
    fn given_up(&mut self) -> u64 {
        0
    }

    /// Told after the commit, for sources whose senders wait for an answer.
    fn settled(&mut self, _settled: &[Settled<'_>]) {}
}
