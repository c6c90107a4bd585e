//! How far routes are behind, and how many records retention has trimmed.

use crate::codec::Damaged;
use crate::disk::{Space, read_fault};
use crate::progress::RouteLane;
use crate::records::timestamp;
use crate::store::Store;
use crate::streams::{Log, record_key, stored_head};
use esclusa_flow::batch::Token;
use esclusa_flow::fault::Fault;
use std::time::Duration;

/// How far a route is behind in a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneLag {
    /// The lane.
    pub lane: String,
    /// Records that are not settled.
    pub records: u64,
    /// Age of the oldest of them.
    pub age: Option<Duration>,
}

/// The records that retention has trimmed of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrimmedRecords {
    /// Records that were trimmed.
    pub records: u64,
    /// When the first one after them was accepted, milliseconds since the Unix epoch; `None`: there is none.
    pub begins: Option<u64>,
}

impl Store {
    /// How far a route is behind in each lane of a stream.
    ///
    /// # Errors
    /// A [`Fault`]: there is no such stream.
    pub fn stream_lag(&self, route: &str, source: &str, stream: &str) -> Result<Vec<LaneLag>, Fault> {
        let log = self.shared().catalog().streams.get(stream).cloned();
        self.log_lag(route, source, &*log.ok_or_else(|| Fault::Permanent(format!("there is no stream {stream:?}")))?)
    }

    /// How far a route is behind in a table's change feed.
    ///
    /// # Errors
    /// A [`Fault`]: there is no such table, or it keeps no change feed.
    pub fn changes_lag(&self, route: &str, source: &str, table: &str) -> Result<Vec<LaneLag>, Fault> {
        let log = self.shared().catalog().tables.get(table).and_then(|table| table.feed.clone());
        self.log_lag(
            route,
            source,
            &*log.ok_or_else(|| Fault::Permanent(format!("table {table:?} keeps no change feed")))?,
        )
    }

    /// How many messages of a queue a route has not finished, those in flight included.
    ///
    /// # Errors
    /// A [`Fault`]: there is no such queue.
    pub fn queue_lag(&self, route: &str, queue: &str) -> Result<LaneLag, Fault> {
        let found = self.shared().catalog().queues.get(queue).cloned();
        let queue = found.ok_or_else(|| Fault::Permanent(format!("there is no queue {queue:?}")))?;
        let (records, oldest) = queue.backlog(route, self.disk())?;
        Ok(LaneLag { lane: String::new(), records, age: oldest.map(age) })
    }

    /// The trimmed records of a stream, for each partition that has any.
    ///
    /// # Errors
    /// A [`Fault`]: there is no such stream.
    pub fn stream_trimmed(&self, stream: &str) -> Result<Vec<TrimmedRecords>, Fault> {
        let log = self.shared().catalog().streams.get(stream).cloned();
        self.log_trimmed(&*log.ok_or_else(|| Fault::Permanent(format!("there is no stream {stream:?}")))?)
    }

    /// The trimmed records of a table's change feed.
    ///
    /// # Errors
    /// A [`Fault`]: there is no such table, or it keeps no change feed.
    pub fn changes_trimmed(&self, table: &str) -> Result<Vec<TrimmedRecords>, Fault> {
        let log = self.shared().catalog().tables.get(table).and_then(|table| table.feed.clone());
        self.log_trimmed(&*log.ok_or_else(|| Fault::Permanent(format!("table {table:?} keeps no change feed")))?)
    }

    fn log_trimmed(&self, log: &Log) -> Result<Vec<TrimmedRecords>, Fault> {
        let mut trimmed = Vec::new();
        for partition in 0..log.lanes {
            let first = log.first(partition, self.disk())?;
            if first > 1 {
                let record = self.disk().space(Space::Log).get(record_key(log.id, partition, first));
                let begins = record.map_err(|e| read_fault(&e))?.map(|value| timestamp(&value)).transpose()?;
                trimmed.push(TrimmedRecords { records: first - 1, begins });
            }
        }
        Ok(trimmed)
    }

    fn log_lag(&self, route: &str, source: &str, log: &Log) -> Result<Vec<LaneLag>, Fault> {
        (0..log.lanes).map(|partition| self.partition_lag(route, source, log, partition)).collect()
    }

    fn partition_lag(&self, route: &str, source: &str, log: &Log, partition: u32) -> Result<LaneLag, Fault> {
        let lane = partition.to_string();
        let done = match (RouteLane { route, source, lane: &lane }).position(self.disk())? {
            Some(Token::Offset(done)) => done,
            Some(Token::Text(_)) => return Err(Damaged.into()),
            None => 0,
        };
        let next = (done + 1).max(log.first(partition, self.disk())?);
        let records = (stored_head(self.disk(), log.id, partition)? + 1).saturating_sub(next);
        let oldest =
            self.disk().space(Space::Log).get(record_key(log.id, partition, next)).map_err(|e| read_fault(&e))?;
        let age = oldest.map(|value| timestamp(&value).map(age)).transpose()?;
        Ok(LaneLag { lane, records, age })
    }
}

fn age(time: u64) -> Duration {
    Duration::from_millis(crate::clock::wall_millis().saturating_sub(time))
}
