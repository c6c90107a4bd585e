//! Sources of the store, and sources that only keep their position in it.

mod file;
mod generate;
mod log_source;
mod queue_source;
mod schedule;
mod single_lane;
mod template;

pub use file::{FileSource, LONGEST_LINE, line_text};
pub use generate::{GenerateSource, GeneratorSettings};
pub use schedule::ScheduleSource;

use crate::progress::SourceSpec;
use crate::store::Store;
use crate::streams::Log;
use crate::writer::Demand;
use esclusa_flow::batch::Token;
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::Start;
use esclusa_flow::source::Source;
use std::sync::Arc;

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
        Ok(Box::new(log_source::LogSource::new(
            self.clone(),
            spec,
            stream,
            start,
            find,
            log_source::LogContent::Records,
        )))
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
        Ok(Box::new(log_source::LogSource::new(
            self.clone(),
            spec,
            table,
            start,
            find,
            log_source::LogContent::Changes,
        )))
    }

    /// A queue as a route reads it: lanes that each give batches of one message group, or of messages without one.
    /// Its first lane registers the
    /// route as a consumer, if it is none yet.
    ///
    /// # Errors
    /// A [`Fault`]: there is no such queue.
    pub fn queue_source(&self, spec: SourceSpec, queue: &str) -> Result<Box<dyn Source>, Fault> {
        if !self.shared().catalog().queues.contains_key(queue) {
            return Err(Fault::Permanent(format!("source {:?}: there is no queue {queue:?}", spec.source)));
        }
        Ok(Box::new(queue_source::EmbeddedQueueSource::new(self.clone(), spec, queue)))
    }

    /// Hides messages in flight for `by` from now.
    ///
    /// # Errors
    /// [`Fault::LeaseLost`] if a receipt is not valid any more; the others are extended all the same.
    pub fn extend(&self, tokens: &[Token], by: std::time::Duration) -> Result<(), Fault> {
        crate::queues::extend(tokens, by, &self.shared().catalog().queues)
    }

    /// The committed position of a lane of a source as a route reads it; `None` if there is none yet.
    ///
    /// # Errors
    /// A [`Fault`] if the disk cannot be read.
    pub fn position(&self, spec: &SourceSpec, lane: &str) -> Result<Option<Token>, Fault> {
        spec.route_lane(lane).position(self.disk())
    }

    /// Stores the position at which a source decided to start, over any older one; with a memo, if it has one.
    async fn set_position(
        &self,
        spec: &SourceSpec,
        lane: &str,
        to: Option<Token>,
        memo: Option<Vec<u8>>,
    ) -> Result<(), Fault> {
        let route_lane = spec.route_lane(lane);
        let (position, memo_key) = (route_lane.position_key(), route_lane.memo_key());
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

    /// Stores the memo of a lane.
    async fn remember(&self, spec: &SourceSpec, lane: &str, memo: Vec<u8>) -> Result<(), Fault> {
        let key = spec.route_lane(lane).memo_key();
        let work = move |tx: &mut crate::transaction::Transaction<'_>| {
            tx.put(crate::disk::Space::State, key, memo);
            Ok(())
        };
        self.writer().perform(256, Demand::Durable, work).await
    }
}
