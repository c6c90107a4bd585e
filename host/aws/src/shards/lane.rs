//! A shard as a lane: pages are read when a batch needs them, and batches are cut from the records that were read.
//!
//! Memory: the records of one batch and at most one page more; all lanes of a source share a limit. A lane goes on
//! behind the last *settled* event: if it is pulled while events that it gave are unsettled, it reads them again.

use super::backlog::{Bound, CutBatch, ShardBacklog};
use super::pace::TipDetector;
use super::pace::{Quota, ReadAheadLimit};
use super::{Cursor, PageError, ReadPace, ShardFeed, ShardReader, ShardedStream};
use crate::position::Checkpoint;
use crate::position::Position;
use crate::retry::random;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::{Batch, Token};
use esclusa_flow::event::BatchOrigin;
use esclusa_flow::fault::Fault;
use esclusa_flow::lag::Lag;
use esclusa_flow::settings::Start;
use esclusa_flow::source::{Lane, Limit, Pull, Settled};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How long a pull waits for the first pushed record of a batch: just long enough to take one that has come.
const PUSHED: Duration = Duration::from_millis(20);

/// How long a lane waits while other lanes hold all the memory for reading ahead.
const FULL: Duration = Duration::from_millis(100);

/// Opens the lanes of a source.
#[derive(Clone)]
pub(crate) struct LaneOpener {
    /// The stream.
    pub stream: Arc<dyn ShardedStream>,
    /// Who reads it.
    pub reader: ShardReader,
    /// Where shards start that have no position.
    pub start: Start,
    /// A shard waits for those that it came from.
    pub ordered: bool,
    /// See [`super::Sharing::routes`].
    pub routes: u32,
    /// Memory for reading ahead.
    pub room: Arc<ReadAheadLimit>,
    /// Shows the lag.
    pub lag: Arc<Lag>,
}

/// A lane's right to read its shard.
pub(crate) trait Ownership: Send {
    /// True if another process may read the shard now.
    fn lost(&self) -> bool;

    /// Waits until the right is lost; for ever if it cannot be. Cancel-safe.
    fn until_lost(&mut self) -> BoxFuture<'_, ()>;

    /// Notes that every event of the shard is settled; `from` is the last one.
    ///
    /// # Errors
    /// [`Fault::LeaseLost`] if another process owns the shard.
    fn finish<'a>(&'a mut self, from: Option<&'a Position>) -> BoxFuture<'a, Result<(), Fault>>;
}

/// Where a lane starts.
pub(crate) struct LaneStart {
    /// The shard.
    pub shard: String,
    /// Its hash keys.
    pub hashes: Option<(u128, u128)>,
    /// The position of the last settled event.
    pub settled: Option<Token>,
    /// Where to read.
    pub cursor: Cursor,
    /// The route begins here: nothing that was trimmed before its first read is missed.
    pub fresh: bool,
    /// The end of the first batch, regardless of the limits: the batch that was prepared before.
    pub pending: Option<Position>,
    /// Nothing is read before this time: until then the previous owner may still write effects of the shard.
    pub quiet: Option<Instant>,
}

/// A shard that is read as a lane.
pub(crate) struct ShardLane {
    stream: Arc<dyn ShardedStream>,
    lag: Arc<Lag>,
    id: String,
    origin: BatchOrigin,
    ownership: Box<dyn Ownership>,
    feed: Box<dyn ShardFeed>,
    pace: ReadPace,
    tip: TipDetector,
    backlog: ShardBacklog,
    /// The backlog's part of the source's memory for reading ahead.
    share: Quota,
    settled: Option<Token>,
    done: Option<Position>,
    given: UnsettledEvents,
    pending: Option<Position>,
    ended: bool,
    /// See [`LaneStart::fresh`]; not any more once something was read.
    fresh: bool,
    /// Records were trimmed before they were read, and none were read since.
    trimmed: bool,
    /// The last page was at the tip: no newer records.
    at_tip: bool,
}

/// Events that were given and are not settled.
#[derive(Debug, Default)]
struct UnsettledEvents {
    /// Sequence number of the first event of the batch.
    first: String,
    /// When they were accepted.
    times: VecDeque<u64>,
}

impl LaneOpener {
    /// Opens a lane; nothing is sent yet.
    ///
    /// # Errors
    /// [`Fault::Permanent`] if the position is not one of a shard.
    pub(crate) fn lane(&self, beginning: LaneStart, ownership: Box<dyn Ownership>) -> Result<ShardLane, Fault> {
        let LaneStart { shard, hashes, settled, cursor, fresh, pending, quiet } = beginning;
        let done = settled.as_ref().map(Position::parse).transpose()?;
        let mut feed = self.stream.feed(&shard, hashes);
        feed.seek(cursor);
        Ok(ShardLane {
            lag: Arc::clone(&self.lag),
            origin: self.reader.origin(self.stream.kind(), &shard),
            stream: Arc::clone(&self.stream),
            pace: self.stream.pace().among(self.routes).starting(quiet),
            id: shard,
            ownership,
            feed,
            tip: TipDetector::default(),
            backlog: ShardBacklog::default(),
            share: self.room.share(),
            settled,
            done,
            given: UnsettledEvents::default(),
            pending,
            ended: false,
            fresh,
            trimmed: false,
            at_tip: false,
        })
    }

    /// The cursor for a checkpoint; `opened`: when a lane at [`Checkpoint::Latest`] was first opened.
    pub(crate) fn cursor(&self, checkpoint: &Checkpoint, opened: Option<u64>) -> Cursor {
        match (checkpoint, self.start) {
            (Checkpoint::At(position), _) => Cursor::Behind(position.clone()),
            (Checkpoint::AtTimestamp, Start::AtTimestamp(time)) => Cursor::Since(time),
            (Checkpoint::Latest, _) => opened.map_or(Cursor::Latest, Cursor::Since),
            // The settings may have changed since: the oldest record loses nothing.
            (Checkpoint::AtTimestamp | Checkpoint::TrimHorizon | Checkpoint::ShardEnd, _) => Cursor::TrimHorizon,
        }
    }
}

impl ShardLane {
    async fn pull_batch(&mut self, limit: Limit) -> Result<Pull, Fault> {
        // Before anything else: a lane that was lost must not give events, not even some that it has read already.
        self.check()?;
        self.rewind();
        let mut end = None;
        loop {
            let exact = self.exact();
            let bound = exact.as_ref().map_or(Bound::Limit(limit), Bound::Exactly);
            let now = Instant::now();
            if !self.backlog.is_empty() {
                if exact.is_none() {
                    end.get_or_insert(now + limit.window);
                }
                // An ended shard has nothing more to wait for: a batch that is not full is given at once.
                if self.ended || self.backlog.fills(bound) || end.is_some_and(|end| end <= now) {
                    match self.give(bound)? {
                        Some(batch) => return Ok(Pull::Batch(batch)),
                        // The last event of the prepared batch was trimmed: there is no batch to repeat.
                        None => self.pending = None,
                    }
                    continue;
                }
            } else if self.ended {
                self.ownership.finish(self.done.as_ref()).await?;
                return Ok(Pull::Ended);
            }
            match (self.pace.due().filter(|due| *due > now), end) {
                // The next read is not due yet, and records may have come since the last one: it is not known to be
                // drained.
                (Some(_), None) => return Ok(Pull::Empty { drained: false }),
                (Some(due), Some(end)) => sleep_until(due.min(end)).await,
                (None, None) if !self.share.may_read() => {
                    self.pace.later(now + FULL);
                    return Ok(Pull::Empty { drained: false });
                }
                (None, None) => {
                    if !self.read(PUSHED).await? && !self.ended {
                        return Ok(Pull::Empty { drained: self.at_tip });
                    }
                }
                (None, Some(end)) => {
                    // A read that the window cuts off loses nothing: pages are cancel-safe.
                    if let Ok(read) = timeout_at(end, self.read(end - now)).await {
                        read?;
                    }
                }
            }
        }
    }

    fn check(&self) -> Result<(), Fault> {
        if self.ownership.lost() {
            return Err(Fault::LeaseLost(format!("shard {:?} is leased to another worker", self.id)));
        }
        Ok(())
    }

    /// Goes back to the first event that was given and not settled.
    fn rewind(&mut self) {
        if self.given.times.is_empty() {
            return;
        }
        let given = std::mem::take(&mut self.given);
        self.feed.seek(match &self.done {
            Some(done) => Cursor::Behind(done.clone()),
            None => Cursor::At(given.first),
        });
        self.backlog.clear();
        self.share.set(0);
        self.ended = false;
        self.at_tip = false;
    }

    /// The end of a prepared batch that is not settled yet.
    fn exact(&self) -> Option<Position> {
        self.pending.clone().filter(|end| !self.done.as_ref().is_some_and(|done| done.covers(end)))
    }

    fn give(&mut self, bound: Bound<'_>) -> Result<Option<Batch>, Fault> {
        self.check()?;
        let CutBatch { columns, claims } = self.backlog.cut(bound)?;
        self.share.set(self.backlog.bytes());
        let Some(first) = claims.first() else { return Ok(None) };
        self.given = UnsettledEvents {
            first: Position::parse(first.token())?.sequence,
            times: columns.timestamps.iter().copied().collect(),
        };
        self.note_oldest();
        Ok(Some(Batch { origin: self.origin.clone(), columns: columns.into(), claims, previous: self.settled.clone() }))
    }

    fn note_oldest(&self) {
        let oldest = self.given.times.iter().min().copied();
        self.lag.change(&self.id, |lag| lag.oldest_unfinished = oldest);
    }

    /// Reads a page; true if it held records.
    async fn read(&mut self, wait: Duration) -> Result<bool, Fault> {
        let sent = Instant::now();
        let page = match self.feed.page(wait).await {
            Ok(page) => page,
            Err(PageError::Fault(fault)) => return Err(fault),
            Err(PageError::Expired(why)) => return Err(Fault::Transient(why)),
            Err(PageError::Throttled(why)) => {
                tracing::debug!(shard = self.id, why, "reading less often");
                self.pace.refused(sent, random());
                self.at_tip = false;
                return Ok(false);
            }
            Err(PageError::Trimmed(why)) => {
                self.gap(&why);
                self.trimmed = true;
                self.feed.seek(Cursor::TrimHorizon);
                return Ok(false);
            }
            Err(PageError::Gone(why)) => {
                self.gone(&why).await?;
                return Ok(false);
            }
        };
        let empty = page.records.is_empty();
        self.trimmed = false;
        self.fresh = false;
        self.at_tip = page.behind_millis.map_or(empty, |behind| behind == 0);
        self.pace.read(sent, page.bytes, empty && self.at_tip);
        let behind = self.tip.read(empty, page.behind_millis);
        self.lag.change(&self.id, |lag| lag.behind_millis = behind);
        self.ended = page.ended;
        self.backlog.extend(page.records, self.done.as_ref());
        self.share.set(self.backlog.bytes());
        Ok(!empty)
    }

    /// The service does not know the shard. It was trimmed as a whole, or the stream is at fault. A closed shard may be
    /// listed for longer than it can be read.
    async fn gone(&mut self, why: &str) -> Result<(), Fault> {
        let listed = self.stream.list().await?.into_iter().find(|shard| shard.id == self.id);
        // The stream lists the shard as open, so it was not trimmed: the error may pass.
        if listed.as_ref().is_some_and(|shard| !shard.closed) {
            return Err(Fault::Transient(format!("{}: shard {:?}: {why}", self.stream.name(), self.id)));
        }
        if !std::mem::replace(&mut self.trimmed, true) {
            self.gap(why);
        } else {
            self.ended = true;
        }
        self.feed.seek(Cursor::TrimHorizon);
        Ok(())
    }

    fn gap(&self, why: &str) {
        if self.fresh {
            tracing::info!(shard = self.id, why, "what was trimmed before the route began is left out");
            return;
        }
        self.lag.add_gap();
        tracing::error!(
            route = &*self.origin.route, source = &*self.origin.source, shard = self.id, settled = ?self.settled, why,
            "gap possible: records were trimmed before the route had read them; it goes on with the oldest that there are"
        );
    }
}

impl Lane for ShardLane {
    fn id(&self) -> &str {
        &self.id
    }

    fn pull(&mut self, limit: Limit) -> BoxFuture<'_, Result<Pull, Fault>> {
        Box::pin(self.pull_batch(limit))
    }

    fn ready(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if self.ownership.lost() {
                return;
            }
            let Some(due) = self.pace.due() else { return };
            tokio::select! {
                () = sleep_until(due) => {}
                () = self.feed.pushed() => self.pace.now(),
                () = self.ownership.until_lost() => {}
            }
        })
    }

    fn lost(&self) -> Option<Fault> {
        self.check().err()
    }

    fn settled(&mut self, settled: &[Settled<'_>]) {
        let Some(last) = settled.last() else { return };
        // A token that is no position does not come from this lane.
        let Ok(done) = Position::parse(last.token) else { return };
        self.given.times.drain(..settled.len().min(self.given.times.len()));
        self.done = Some(done);
        self.settled = Some(last.token.clone());
        self.note_oldest();
    }
}

impl Drop for ShardLane {
    fn drop(&mut self) {
        self.lag.forget(&self.id);
    }
}

#[cfg(test)]
mod tests;
