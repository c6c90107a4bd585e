//! Streams of shards, for Kinesis and DynamoDB: shards are discovered, read page by page, and given as lanes.
//!
//! A shard is a lane. Leases decide which process reads which shard ([`crate::lease`]); a process that works alone
//! reads all. A lane settles nothing by itself but the end of a shard whose events are all settled.

mod backlog;
pub(crate) mod lane;
mod leased;
mod pace;
pub(crate) mod polled;
mod sole_reader;

pub(crate) use pace::ReadPace;
pub use sole_reader::SoleReader;

use crate::client::Clients;
use crate::fault;
use crate::lease;
use crate::lineage::ShardList;
use crate::position::Position;
use crate::progress::ProgressStore;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use esclusa_flow::BoxFuture;
use esclusa_flow::event::BatchOrigin;
use esclusa_flow::fault::Fault;
use esclusa_flow::lag::Lag;
use esclusa_flow::settings::Start;
use esclusa_flow::source::Source;
use esclusa_flow::verdict::Reason;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often shards are discovered if nothing else is set. The end of a shard is always followed by a discovery.
pub const DISCOVERY: Duration = Duration::from_secs(60);

/// The reader of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardReader {
    /// Route name.
    pub route: Arc<str>,
    /// Source name.
    pub source: Arc<str>,
}

/// Decides which process reads which shard.
#[derive(Clone)]
pub enum ShardCoordination {
    /// Any number of processes, by leases.
    Leases(lease::LeaseSettings),
    /// This process reads all shards; positions are kept elsewhere.
    Alone(Arc<SoleReader>),
}

/// How shards are shared and discovered.
#[derive(Clone)]
pub struct Sharing {
    /// Decides which process reads which shard.
    pub coordination: ShardCoordination,
    /// A shard waits for those that it came from, so that keys stay in order over splits and merges.
    pub ordered: bool,
    /// Most bytes that are read ahead: records of all shards that were read and not given yet.
    pub read_ahead: usize,
    /// Routes that read the same shards: each takes its part of the reads that the service allows.
    pub routes: u32,
    /// How often shards are discovered, about.
    pub discovery: Duration,
    /// Shows the state of the shards.
    pub lag: Arc<Lag>,
}

/// A source, and the store of its progress. `None`: the local engine keeps it.
pub type SourceWithProgress = (Box<dyn Source>, Option<Arc<dyn ProgressStore>>);

/// A stream with shards.
pub(crate) trait ShardedStream: ShardList {
    /// Its kind as written in routes.toml.
    fn kind(&self) -> &'static str;

    /// A reader of one shard; nothing is sent yet.
    fn feed(&self, shard: &str, hashes: Option<(u128, u128)>) -> Box<dyn ShardFeed>;

    /// How often its shards may be read.
    fn pace(&self) -> ReadPace;
}

/// Reads the records of one shard, in order.
pub(crate) trait ShardFeed: Send {
    /// Sets the start of the next page; nothing is sent yet.
    fn seek(&mut self, to: Cursor);

    /// Gives the next records. If records are pushed it waits for them, at most for `wait`. Cancel-safe: a page that
    /// was not returned is read again.
    fn page(&mut self, wait: Duration) -> BoxFuture<'_, Result<Page, PageError>>;

    /// Waits until pushed records have come. Never ends for a shard that is polled. Cancel-safe.
    fn pushed(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// Where to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// At the oldest record.
    TrimHorizon,
    /// With the next record.
    Latest,
    /// At the first record accepted at or after this time, milliseconds since the Unix epoch.
    Since(u64),
    /// At this sequence number.
    At(String),
    /// Behind the record with this sequence number.
    After(String),
    /// Behind this event; events of the same record may come again.
    Behind(Position),
}

/// Records that were read together.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// The records, in order.
    pub records: Vec<FetchedRecord>,
    /// Bytes that the service sent, for its limits.
    pub bytes: usize,
    /// How far the reader is behind the newest record, by the service's own figure.
    pub behind_millis: Option<u64>,
    /// The shard has nothing more, ever.
    pub ended: bool,
}

/// A record as it was read.
#[derive(Debug)]
pub(crate) enum FetchedRecord {
    /// One event.
    One(ShardRecord),
    /// Several events, which are made when a batch needs them.
    Several(Several),
}

/// The events of one record.
pub(crate) struct Several {
    /// The events, in order.
    pub events: Box<dyn Iterator<Item = ShardRecord> + Send>,
    /// Bytes of memory that the record takes until its last event is made.
    pub size: usize,
    /// When the record was accepted, milliseconds since the Unix epoch.
    pub timestamp: u64,
}

/// An event as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShardRecord {
    /// Where it is.
    pub position: Position,
    /// Stable across redeliveries.
    pub id: String,
    /// Partition key.
    pub key: String,
    /// The payload.
    pub data: Vec<u8>,
    /// When it was accepted, milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// Why the event is given up without a call; `None`: it is not.
    pub refused: Option<Box<Reason>>,
}

impl FetchedRecord {
    /// When it was accepted, milliseconds since the Unix epoch.
    pub(crate) fn timestamp(&self) -> u64 {
        match self {
            FetchedRecord::One(record) => record.timestamp,
            FetchedRecord::Several(several) => several.timestamp,
        }
    }
}

impl From<ShardRecord> for FetchedRecord {
    fn from(record: ShardRecord) -> Self {
        FetchedRecord::One(record)
    }
}

impl fmt::Debug for Several {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Several").field("size", &self.size).finish_non_exhaustive()
    }
}

/// A page that was not read.
#[derive(Debug)]
pub(crate) enum PageError {
    /// Read less often.
    Throttled(String),
    /// The iterator is too old.
    Expired(String),
    /// The position is older than the oldest record: records are lost.
    Trimmed(String),
    /// The service does not know the shard.
    Gone(String),
    /// Anything else.
    Fault(Fault),
}

impl PageError {
    /// Reads the error of a request; `doing` names it in messages.
    pub(crate) fn of<E>(doing: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match (error.code(), fault::of(doing, error)) {
            (Some("ExpiredIteratorException"), fault) => PageError::Expired(fault.to_string()),
            (Some("TrimmedDataAccessException"), fault) => PageError::Trimmed(fault.to_string()),
            (_, Fault::Throttled { reason, .. }) => PageError::Throttled(reason),
            (Some("ResourceNotFoundException"), fault) => PageError::Gone(fault.to_string()),
            (_, fault) => PageError::Fault(fault),
        }
    }
}

/// Opens a stream as one route reads it.
///
/// # Errors
/// A [`Fault`] that names the lease table, if there is one.
pub(crate) async fn open(
    clients: &Clients,
    stream: Arc<dyn ShardedStream>,
    start: Start,
    sharing: &Sharing,
    reader: ShardReader,
) -> Result<SourceWithProgress, Fault> {
    let opening = lane::LaneOpener {
        stream,
        reader,
        start,
        ordered: sharing.ordered,
        routes: sharing.routes,
        room: pace::ReadAheadLimit::new(sharing.read_ahead),
        lag: Arc::clone(&sharing.lag),
    };
    match &sharing.coordination {
        ShardCoordination::Leases(settings) => leased::open(clients, settings, sharing.discovery, opening).await,
        ShardCoordination::Alone(alone) => {
            Ok((Box::new(sole_reader::SoleSource::new(Arc::clone(alone), sharing.discovery, opening)), None))
        }
    }
}

impl ShardReader {
    fn origin(&self, kind: &str, lane: &str) -> BatchOrigin {
        BatchOrigin {
            route: Arc::clone(&self.route),
            source: Arc::clone(&self.source),
            kind: kind.into(),
            lane: lane.into(),
            ordered: true,
        }
    }
}

/// Milliseconds since the Unix epoch, by this machine's clock.
pub(crate) fn wall_millis() -> u64 {
    esclusa_flow::timestamp::Timestamp::from(SystemTime::now()).millis()
}
