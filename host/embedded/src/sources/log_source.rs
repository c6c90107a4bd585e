//! Streams and change feeds as sources: a lane per partition that gives records behind the committed position.

use crate::change_events::ChangeJson;
use crate::codec::trailing_number;
use crate::disk::{Space, read_fault};
use crate::progress::SourceSpec;
use crate::records::{StoredRecord, timestamp};
use crate::store::Store;
use crate::streams::{Log, prefix, record_key, stored_head};
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::{Batch, Claim, Token};
use esclusa_flow::event::{Columns, ColumnsRoom};
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::Start;
use esclusa_flow::source::{Lane, Limit, Pull, Source};
use fjall::Readable;
use std::fmt::Write as _;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

type FindLog = fn(&Store, &str) -> Option<Arc<Log>>;

/// The kind of records that a log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogContent {
    /// Records of a stream.
    Records,
    /// Changes of the table that the log is named after.
    Changes,
}

/// A stream or change feed as a source: a lane for each partition.
pub(crate) struct LogSource {
    store: Store,
    spec: SourceSpec,
    name: String,
    start: Start,
    find: FindLog,
    content: LogContent,
    given: u32,
    schema: watch::Receiver<u64>,
}

impl LogSource {
    /// A source that has given no lane yet.
    pub(crate) fn new(
        store: Store,
        spec: SourceSpec,
        name: &str,
        start: Start,
        find: FindLog,
        content: LogContent,
    ) -> Self {
        let schema = store.schema_changes();
        LogSource { store, spec, name: name.to_owned(), start, find, content, given: 0, schema }
    }

    fn position(&self, partition: u32) -> Result<Option<Token>, Fault> {
        self.spec.route_lane(&partition.to_string()).position(self.store.disk())
    }

    async fn open(&self, log: &Log, partition: u32) -> Result<LogLane, Fault> {
        let id = partition.to_string();
        let position = self.position(partition)?;
        let next = match &position {
            Some(Token::Offset(done)) => done + 1,
            None => 1,
            Some(Token::Text(text)) => {
                return Err(Fault::Permanent(format!(
                    "source {:?}: the stored position {text:?} of route {:?} is not one of a stream: rename the source",
                    self.spec.source, self.spec.route
                )));
            }
        };
        Ok(LogLane {
            store: self.store.clone(),
            spec: self.spec.clone(),
            name: self.name.clone(),
            find: self.find,
            content: self.content,
            grown: log.subscribe(),
            partition,
            id,
            previous: position,
            next,
            dirty: false,
            room: ColumnsRoom::default(),
        })
    }

    /// Stores the start position of every partition, so that a restart does not decide again. The first partition
    /// comes last: if it has a position, all others have, except partitions added later, which are read from their
    /// first record.
    async fn decide(&self, log: &Log) -> Result<(), Fault> {
        for partition in (0..log.lanes).rev() {
            if self.position(partition)?.is_some() {
                continue;
            }
            let before = match self.start {
                Start::TrimHorizon => return Ok(()),
                Start::Latest => stored_head(self.store.disk(), log.id, partition)?,
                Start::AtTimestamp(time) => self.before(log, partition, time)?,
            };
            let token = Some(Token::Offset(before));
            self.store.set_position(&self.spec, &partition.to_string(), token, None).await?;
        }
        Ok(())
    }

    /// The last sequence before the first record accepted at or after `time`. Times do not fall by much, so it is searched by halves.
    fn before(&self, log: &Log, partition: u32, time: u64) -> Result<u64, Fault> {
        let disk = self.store.disk();
        let snapshot = disk.snapshot();
        let mut low = log.first(partition, disk)?;
        let mut high = stored_head(disk, log.id, partition)? + 1;
        while low < high {
            let middle = low + (high - low) / 2;
            // In a salvaged store sequences are missing: the next one that is there stands for them.
            let range = record_key(log.id, partition, middle)..record_key(log.id, partition, high);
            let there = snapshot.range(disk.space(Space::Log), range).next();
            match there.map(fjall::Guard::into_inner).transpose().map_err(|e| read_fault(&e))? {
                Some((key, value)) if timestamp(&value)? < time => low = trailing_number(&key)? + 1,
                _ => high = middle,
            }
        }
        Ok(low - 1)
    }
}

impl Source for LogSource {
    fn caught_up(&self) -> bool {
        (self.find)(&self.store, &self.name).is_none_or(|log| self.given >= log.lanes)
    }

    fn next_lane(&mut self) -> BoxFuture<'_, Result<Option<Box<dyn Lane>>, Fault>> {
        Box::pin(async move {
            loop {
                self.schema.mark_unchanged();
                if let Some(log) = (self.find)(&self.store, &self.name)
                    && self.given < log.lanes
                {
                    if self.given == 0 && self.position(0)?.is_none() {
                        self.decide(&log).await?;
                    }
                    let lane = self.open(&log, self.given).await?;
                    self.given += 1;
                    return Ok(Some(Box::new(lane) as Box<dyn Lane>));
                }
                // More partitions come only with a new schema; without one this waits for ever.
                if self.schema.changed().await.is_err() {
                    return Ok(None);
                }
            }
        })
    }
}

/// A partition as a route reads it.
struct LogLane {
    store: Store,
    spec: SourceSpec,
    name: String,
    find: FindLog,
    content: LogContent,
    grown: watch::Receiver<u64>,
    partition: u32,
    id: String,
    previous: Option<Token>,
    next: u64,
    /// A pull was cancelled: there may be records that `grown` has announced already.
    dirty: bool,
    /// What the last batch took.
    room: ColumnsRoom,
}

impl LogLane {
    fn log(&self) -> Result<Arc<Log>, Fault> {
        (self.find)(&self.store, &self.name)
            .ok_or_else(|| Fault::LeaseLost(format!("{:?} is not in the schema any more", self.name)))
    }

    /// Goes on at the oldest record if retention has trimmed the next one.
    fn skip_trimmed(&mut self, log: &Log) -> Result<(), Fault> {
        let first = log.first(self.partition, self.store.disk())?;
        if self.next < first {
            if self.previous.is_some() {
                tracing::warn!(
                    route = &*self.spec.route,
                    source = &*self.spec.source,
                    lane = self.id,
                    lost = first - self.next,
                    "records were trimmed by retention before the route had read them; it goes on at the oldest one"
                );
            }
            self.next = first;
        }
        Ok(())
    }

    /// Appends the records from `next` on to `columns` up to the limit; true if the limit closed the batch.
    fn fill(
        &self,
        log: &Log,
        limit: Limit,
        next: &mut u64,
        columns: &mut Columns,
        claims: &mut Vec<Claim>,
    ) -> Result<bool, Fault> {
        let disk = self.store.disk();
        let start = record_key(log.id, self.partition, *next);
        let end = crate::key::after_prefix(&prefix(log.id, self.partition)).unwrap_or_default();
        let changes = match self.content {
            LogContent::Changes => Some(ChangeJson::new(&self.store.shared().catalog(), &self.name)),
            LogContent::Records => None,
        };
        let mut id = String::with_capacity(24);
        for guard in disk.snapshot().range(disk.space(Space::Log), start[..].to_vec()..end) {
            if claims.len() >= limit.events.max(1) {
                return Ok(true);
            }
            let (key, value) = guard.into_inner().map_err(|e| read_fault(&e))?;
            let sequence = trailing_number(&key)?;
            id.clear();
            let _ = write!(id, "{}-{sequence}", self.partition);
            let json;
            let record = match &changes {
                None => StoredRecord::read(&value)?,
                Some(changes) => {
                    json = changes.render(sequence, &value)?;
                    json.as_record()
                }
            };
            if claims.is_empty() {
                columns.reserve(self.room);
            } else if columns.size() + record.size(&id) > limit.bytes {
                return Ok(true);
            }
            record.push(&id, 1, columns).map_err(|e| Fault::Permanent(e.to_string()))?;
            claims.push(Claim::new(Token::Offset(sequence)).with_hops(record.hops));
            *next = sequence + 1;
        }
        Ok(claims.len() >= limit.events)
    }

    async fn pull_batch(&mut self, limit: Limit) -> Result<Pull, Fault> {
        let log = self.log()?;
        self.grown.mark_unchanged();
        self.dirty = true;
        self.skip_trimmed(&log)?;
        // The lane moves on only with the whole batch: if the pull fails or is dropped while it waits, no record is
        // passed over.
        let mut next = self.next;
        let mut columns = Columns::default();
        let mut claims = Vec::new();
        let mut full = self.fill(&log, limit, &mut next, &mut columns, &mut claims)?;
        if claims.is_empty() {
            self.dirty = false;
            return Ok(Pull::Empty { drained: true });
        }
        let end = Instant::now() + limit.window;
        while !full {
            if !matches!(timeout_at(end, self.grown.changed()).await, Ok(Ok(()))) {
                break;
            }
            full = self.fill(&log, limit, &mut next, &mut columns, &mut claims)?;
        }
        (self.dirty, self.next, self.room) = (false, next, columns.room());
        let last = Token::Offset(next - 1);
        let previous = self.previous.replace(last);
        Ok(Pull::Batch(Batch { origin: self.spec.origin(&self.id, true), columns: columns.into(), claims, previous }))
    }
}

impl Lane for LogLane {
    fn id(&self) -> &str {
        &self.id
    }

    fn runs_ahead(&self) -> bool {
        true
    }

    fn pull(&mut self, limit: Limit) -> BoxFuture<'_, Result<Pull, Fault>> {
        Box::pin(self.pull_batch(limit))
    }

    fn ready(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if !self.dirty && self.grown.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}
