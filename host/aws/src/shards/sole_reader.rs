//! A stream that this process reads alone: all its shards. The local engine keeps the positions.

use super::lane::{LaneOpener, LaneStart, Ownership};
use super::{Cursor, wall_millis};
use crate::lineage::{Descent, KnownShard, KnownShards, NewShard, Shard, may_start, missing, report_gap};
use crate::position::Checkpoint;
use crate::position::{Position, SHARD_END};
use crate::retry::jitter;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::Token;
use esclusa_flow::fault::Fault;
use esclusa_flow::lag::LagFault;
use esclusa_flow::source::{Lane, Positions, Source};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// The memory of a process that reads a stream alone. One for all sources that it opens for one route, one after the
/// other.
pub struct SoleReader {
    positions: Positions,
    memory: Mutex<ShardMemory>,
    ended: Notify,
}

#[derive(Default)]
struct ShardMemory {
    /// Shards without a position, and where they start.
    unread: BTreeMap<String, UnreadShard>,
    finished: BTreeSet<String>,
    /// A shard has ended since the shards were listed: list them again, to find its children.
    ended: bool,
}

struct UnreadShard {
    start: Checkpoint,
    /// When a lane at the newest record was first opened, milliseconds since the Unix epoch.
    opened: Option<u64>,
    /// See [`crate::lease::Lease::first`].
    first: bool,
}

impl SoleReader {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new(positions: Positions) -> Arc<Self> {
        Arc::new(SoleReader { positions, memory: Mutex::default(), ended: Notify::new() })
    }

    fn memory(&self) -> MutexGuard<'_, ShardMemory> {
        self.memory.lock()
    }

    /// The cursor of a shard without position, and whether records that were trimmed before are no gap. A lane at the
    /// newest record that is opened again goes on at the time when it was first opened.
    fn begin(&self, shard: &str, opening: &LaneOpener) -> (Cursor, bool) {
        let mut memory = self.memory();
        let Some(unread) = memory.unread.get_mut(shard) else { return (Cursor::TrimHorizon, false) };
        let begin = (opening.cursor(&unread.start, unread.opened), unread.first && unread.opened.is_none());
        unread.opened.get_or_insert_with(wall_millis);
        begin
    }
}

/// The shards of a stream, all read by this process.
pub(crate) struct SoleSource {
    alone: Arc<SoleReader>,
    discovery: Duration,
    opening: LaneOpener,
    given: BTreeSet<String>,
    /// The shards as they were listed last, and when that is to be done again.
    listing: Option<(Vec<Shard>, Instant)>,
    idle: bool,
}

impl SoleSource {
    /// A source that has given no lane yet.
    pub(crate) fn new(alone: Arc<SoleReader>, discovery: Duration, opening: LaneOpener) -> Self {
        SoleSource { alone, discovery, opening, given: BTreeSet::new(), listing: None, idle: false }
    }

    async fn next_shard(&mut self) -> Result<Option<Box<dyn Lane>>, Fault> {
        loop {
            if std::mem::take(&mut self.alone.memory().ended) {
                (self.listing, self.idle) = (None, false);
            }
            let due = self.list().await?;
            let positions = self.positions().await?;
            self.opening.lag.set_fault(unreadable(&positions));
            if let Some(lane) = self.open(&positions)? {
                self.idle = false;
                return Ok(Some(lane));
            }
            self.idle = true;
            // The beginning of the loop finds out which of the two it was.
            drop(timeout_at(due, self.alone.ended.notified()).await);
        }
    }

    /// Lists the shards if that is due; gives the time of the next listing.
    async fn list(&mut self) -> Result<Instant, Fault> {
        if let Some((_, due)) = &self.listing
            && Instant::now() < *due
        {
            return Ok(*due);
        }
        let shards = self.opening.stream.list().await?;
        let due = Instant::now() + jitter(self.discovery);
        self.listing = Some((shards, due));
        Ok(due)
    }

    fn listed(&self) -> &[Shard] {
        self.listing.as_ref().map_or(&[], |(shards, _)| shards)
    }

    /// The committed positions of the shards that were not given yet.
    async fn positions(&self) -> Result<BTreeMap<String, Option<Token>>, Fault> {
        let mut positions = BTreeMap::new();
        for shard in self.listed().iter().filter(|shard| !self.given.contains(&shard.id)) {
            positions.insert(shard.id.clone(), (self.alone.positions)(&shard.id).await?);
        }
        Ok(positions)
    }

    /// Opens the first lane that may be read and was not given yet.
    fn open(&mut self, positions: &BTreeMap<String, Option<Token>>) -> Result<Option<Box<dyn Lane>>, Fault> {
        let known = self.known(positions);
        let ready = |shard: &&Shard| {
            !self.given.contains(&shard.id)
                && positions.get(&shard.id).is_none_or(|position| position_fault(position.as_ref()).is_none())
                && known.get(&shard.id).is_some_and(|known| !known.finished)
                && (!self.opening.ordered || may_start(&shard.parents, &known))
        };
        let Some(shard) = self.listed().iter().find(ready).cloned() else { return Ok(None) };
        let settled = positions.get(&shard.id).cloned().flatten();
        let (cursor, fresh) = match &settled {
            Some(token) => (Cursor::Behind(Position::parse(token)?), false),
            None => self.alone.begin(&shard.id, &self.opening),
        };
        let ownership = SoleOwnership { alone: Arc::clone(&self.alone), shard: shard.id.clone() };
        let (pending, quiet) = (None, None);
        let beginning =
            LaneStart { shard: shard.id.clone(), hashes: shard.hashes, settled, cursor, fresh, pending, quiet };
        let lane = self.opening.lane(beginning, Box::new(ownership))?;
        self.given.insert(shard.id);
        Ok(Some(Box::new(lane)))
    }

    /// The shards that this group knows; new ones among those listed are remembered.
    fn known(&self, positions: &BTreeMap<String, Option<Token>>) -> KnownShards {
        let mut memory = self.alone.memory();
        // Which shards the route started with is not kept beyond this process.
        let shard = |finished| KnownShard { finished, first: true };
        let unread =
            memory.unread.iter().map(|(id, unread)| (id.clone(), KnownShard { first: unread.first, ..shard(false) }));
        let mut known: KnownShards = self.given.iter().map(|id| (id.clone(), shard(false))).chain(unread).collect();
        for (id, position) in positions.iter().filter_map(|(id, position)| Some((id, position.as_ref()?))) {
            known.insert(id.clone(), shard(*position == Token::Text(SHARD_END.into())));
        }
        known.extend(memory.finished.iter().map(|id| (id.clone(), shard(true))));
        for NewShard { shard, start, descent } in missing(self.listed(), &known.clone(), self.opening.start) {
            if descent == Descent::Orphan {
                report_gap(&self.opening.lag, self.opening.stream.name(), shard);
            }
            memory
                .unread
                .insert(shard.id.clone(), UnreadShard { start, opened: None, first: descent == Descent::First });
            known.insert(shard.id.clone(), KnownShard { finished: false, first: descent == Descent::First });
        }
        known
    }
}

/// Why a shard cannot be read that has this position.
fn position_fault(position: Option<&Token>) -> Option<Fault> {
    let end = Token::Text(SHARD_END.into());
    position.filter(|position| **position != end).and_then(|position| Position::parse(position).err())
}

/// The fault of the shards whose positions cannot be read: they are not, and the others are.
fn unreadable(positions: &BTreeMap<String, Option<Token>>) -> Option<LagFault> {
    let fault = |(id, position): (&String, &Option<Token>)| Some((id.clone(), position_fault(position.as_ref())?));
    let mut stuck = positions.iter().filter_map(fault);
    let (shard, fault) = stuck.next()?;
    let message = format!("{} shard(s) cannot be read: shard {shard:?}: {fault}", stuck.count() + 1);
    Some(LagFault { at: wall_millis(), message })
}

impl Source for SoleSource {
    fn next_lane(&mut self) -> BoxFuture<'_, Result<Option<Box<dyn Lane>>, Fault>> {
        Box::pin(self.next_shard())
    }

    fn caught_up(&self) -> bool {
        self.idle && !self.alone.memory().ended
    }
}

/// The right to read a shard that no other process reads.
struct SoleOwnership {
    alone: Arc<SoleReader>,
    shard: String,
}

impl Ownership for SoleOwnership {
    fn lost(&self) -> bool {
        false
    }

    fn until_lost(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn finish<'a>(&'a mut self, _from: Option<&'a Position>) -> BoxFuture<'a, Result<(), Fault>> {
        let mut memory = self.alone.memory();
        memory.finished.insert(self.shard.clone());
        memory.ended = true;
        drop(memory);
        self.alone.ended.notify_one();
        Box::pin(std::future::ready(Ok(())))
    }
}
