//! Sources of the store, and sources that only keep their position in it.

mod file;
mod generate;
mod log;
mod queue;
mod schedule;
mod template;

pub use file::{FileSource, LONGEST_LINE};
pub use generate::{GenerateSource, Generated};
pub use schedule::ScheduleSource;

use crate::progress::Place;
use crate::store::Store;
use crate::streams::Log;
use crate::writer::Demand;
use esclusa_flow::batch::Token;
use esclusa_flow::event::BatchOrigin;
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::Start;
use esclusa_flow::source::Source;
use std::sync::Arc;

/// Who reads, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSpec {
    /// Route name.
    pub route: Arc<str>,
    /// Source name.
    pub source: Arc<str>,
    /// Source kind as written in routes.toml.
    pub kind: Arc<str>,
    /// Lanes of a source without lanes of its own, such as a queue: at least one.
    pub workers: usize,
}

impl SourceSpec {
    fn place<'a>(&'a self, lane: &'a str) -> Place<'a> {
        Place { route: &self.route, source: &self.source, lane }
    }

    fn origin(&self, lane: &str, ordered: bool) -> BatchOrigin {
        BatchOrigin {
            route: Arc::clone(&self.route),
            source: Arc::clone(&self.source),
            kind: Arc::clone(&self.kind),
            lane: lane.into(),
            ordered,
        }
    }
}

impl Store {
    /// A stream as a route reads it: a lane per partition, in order.
    ///
    /// # Errors
    /// A [`Fault`]: there is no such stream.
    pub fn stream_source(&self, spec: SourceSpec, stream: &str, start: Start) -> Result<Box<dyn Source>, Fault> {
        let find = |store: &Store, name: &str| store.shared().catalog().streams.get(name).cloned();
        if find(self, stream).is_none() {
            return Err(Fault::Permanent(format!("source {:?}: there is no stream {stream:?}", spec.source)));
        }
        Ok(Box::new(log::LogSource::new(self.clone(), spec, stream, start, find, log::Content::Records)))
    }

    /// The change feed of a table as a route reads it: one lane, in order.
    ///
    /// # Errors
    /// A [`Fault`]: there is no such table, or it keeps no change feed.
    pub fn table_changes_source(&self, spec: SourceSpec, table: &str, start: Start) -> Result<Box<dyn Source>, Fault> {
        let find = |store: &Store, name: &str| -> Option<Arc<Log>> {
            store.shared().catalog().tables.get(name).and_then(|table| table.feed.clone())
        };
        if find(self, table).is_none() {
            let why = format!("source {:?}: table {table:?} keeps no change feed: set changes = true", spec.source);
            return Err(Fault::Permanent(why));
        }
        Ok(Box::new(log::LogSource::new(self.clone(), spec, table, start, find, log::Content::Changes)))
    }

    /// A queue as a route reads it: lanes that each give batches of one message group, or of messages without one.
    /// If the route is not a consumer of the queue yet, the first call of `next_lane` registers it.
    ///
    /// # Errors
    /// A [`Fault`]: there is no such queue.
    pub fn queue_source(&self, spec: SourceSpec, queue: &str) -> Result<Box<dyn Source>, Fault> {
        if !self.shared().catalog().queues.contains_key(queue) {
            return Err(Fault::Permanent(format!("source {:?}: there is no queue {queue:?}", spec.source)));
        }
        Ok(Box::new(queue::QueueSource::new(self.clone(), spec, queue)))
    }

    /// Makes messages in work invisible for so long from now.
    ///
    /// # Errors
    /// [`Fault::LeaseLost`] where a receipt is not valid any more; the others are extended all the same.
    pub fn extend(&self, tokens: &[Token], by: std::time::Duration) -> Result<(), Fault> {
        crate::queues::extend(tokens, by, &self.shared().catalog())
    }

    /// The committed position of a lane of a source as a route reads it; `None` where there is none yet.
    ///
    /// # Errors
    /// A [`Fault`] where the store does not answer.
    pub fn position(&self, spec: &SourceSpec, lane: &str) -> Result<Option<Token>, Fault> {
        spec.place(lane).position(self.disk())
    }

    /// Sets a position that a source resolved, where there is none, or whatever it is.
    async fn set_position(
        &self,
        spec: &SourceSpec,
        lane: &str,
        to: Option<Token>,
        memo: Option<Vec<u8>>,
    ) -> Result<(), Fault> {
        let place = spec.place(lane);
        let (position, memo_key) = (place.position_key(), place.memo_key());
        let work = move |tx: &mut crate::transaction::Transaction<'_>| {
            let state = crate::disk::Space::State;
            match to {
                Some(token) => tx.put(state, position, crate::codec::token_bytes(&token)),
                None => tx.delete(state, position),
            }
            if let Some(memo) = memo {
                tx.put(state, memo_key, memo);
            }
            Ok(())
        };
        self.writer().perform(256, Demand::Durable, work).await
    }

    /// Keeps what a source remembers of a lane.
    async fn remember(&self, spec: &SourceSpec, lane: &str, memo: Vec<u8>) -> Result<(), Fault> {
        let key = spec.place(lane).memo_key();
        let work = move |tx: &mut crate::transaction::Transaction<'_>| {
            tx.put(crate::disk::Space::State, key, memo);
            Ok(())
        };
        self.writer().perform(256, Demand::Durable, work).await
    }
}
