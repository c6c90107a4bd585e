//! What Kinesis and DynamoDB streams share: shards that are discovered, read page by page, and given as lanes.
//!
//! A shard is a lane. Who reads which shard is decided by leases ([`crate::lease`]), or, where a single process works
//! alone, by that process. Lanes never acknowledge, but for the end of a shard of which every event is settled.

mod alone;
mod backlog;
pub(crate) mod lane;
mod leased;
mod pace;
pub(crate) mod polled;
pub mod position;
mod room;
mod tip;

pub use alone::Alone;
pub(crate) use pace::Pace;

use crate::client::Clients;
use crate::fault;
use crate::lease::{self, lineage::Shard};
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
use position::Position;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often shards are discovered where nothing else is said. The end of a shard is always followed by a discovery.
pub const DISCOVERY: Duration = Duration::from_secs(60);

/// Who reads, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// Route name.
    pub route: Arc<str>,
    /// Source name.
    pub source: Arc<str>,
}

/// Counts and logs a shard that came from one that was trimmed before the group knew of it.
pub(crate) fn tell_orphan(lag: &Lag, stream: &str, shard: &Shard) {
    lag.add_gap();
    tracing::error!(
        stream,
        shard = shard.id,
        parents = ?shard.parents,
        "gap: the shard came from one that was trimmed before the route knew of it"
    );
}

/// Who decides which process reads which shard.
#[derive(Clone)]
pub enum Coordination {
    /// Any number of processes, by leases.
    Leases(lease::Settings),
    /// This process reads all shards; positions are kept elsewhere.
    Alone(Arc<Alone>),
}

/// How shards are shared and discovered.
#[derive(Clone)]
pub struct Sharing {
    /// Who reads what.
    pub coordination: Coordination,
    /// A shard waits for those that it came from, so that keys stay in order over splits and merges.
    pub ordered: bool,
    /// Most bytes of records that were read and not given yet, in all shards.
    pub read_ahead: usize,
    /// Routes that read the same shards: each takes its part of the reads that the service allows.
    pub routes: u32,
    /// How often shards are discovered, about.
    pub discovery: Duration,
    /// Where the state of the shards is shown.
    pub lag: Arc<Lag>,
}

/// A source, and what keeps its progress where that is not done elsewhere.
pub type Opened = (Box<dyn Source>, Option<Arc<dyn ProgressStore>>);

/// A stream with shards.
pub(crate) trait Stream: Send + Sync {
    /// The stream for people: kind and name.
    fn name(&self) -> &str;

    /// Its kind as written in routes.toml.
    fn kind(&self) -> &'static str;

    /// All shards that can be read at present.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Shard>, Fault>>;

    /// A reader of one shard; nothing is sent yet.
    fn feed(&self, shard: &str, hashes: Option<(u128, u128)>) -> Box<dyn Feed>;

    /// How often its shards may be read.
    fn pace(&self) -> Pace;
}

/// Reads the records of one shard in order.
pub(crate) trait Feed: Send {
    /// Goes to a place; nothing is sent yet.
    fn seek(&mut self, to: Cursor);

    /// The records that come next. A feed that is pushed waits for them, at most for `wait`. Cancel-safe: a page that
    /// was not returned is read again.
    fn page(&mut self, wait: Duration) -> BoxFuture<'_, Result<Page, ReadError>>;

    /// Where records are pushed: waits until there are some. Never ends elsewhere. Cancel-safe.
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
    pub records: Vec<Found>,
    /// Bytes that the service sent, for its limits.
    pub bytes: usize,
    /// How far behind the newest record the reader is, as the service says it.
    pub behind_millis: Option<u64>,
    /// The shard has nothing more, ever.
    pub ended: bool,
}

/// A record as it was read.
#[derive(Debug)]
pub(crate) enum Found {
    /// One event.
    One(Record),
    /// Several, which are made when a batch needs them.
    Several(Several),
}

/// The events of one record.
pub(crate) struct Several {
    /// The events, in order.
    pub events: Box<dyn Iterator<Item = Record> + Send>,
    /// Bytes of memory that it takes until the last of them is made.
    pub size: usize,
    /// When the record was accepted, milliseconds since the Unix epoch.
    pub timestamp: u64,
}

/// An event as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
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
    /// Set if no plugin is to be called with it: why it is given up.
    pub refused: Option<Box<Reason>>,
}

impl Found {
    /// When it was accepted, milliseconds since the Unix epoch.
    pub fn timestamp(&self) -> u64 {
        match self {
            Found::One(record) => record.timestamp,
            Found::Several(several) => several.timestamp,
        }
    }
}

impl From<Record> for Found {
    fn from(record: Record) -> Self {
        Found::One(record)
    }
}

impl fmt::Debug for Several {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Several").field("size", &self.size).finish_non_exhaustive()
    }
}

/// A page that was not read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// Read less often.
    Throttled(String),
    /// The iterator is too old.
    Expired(String),
    /// The place is older than the oldest record: records are lost.
    Trimmed(String),
    /// The service does not know the shard.
    Gone(String),
    /// Anything else.
    Fault(Fault),
}

impl ReadError {
    /// What a failed read means; `doing` says what was read.
    pub fn of<E>(doing: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match (error.code(), fault::of(doing, error)) {
            (Some("ExpiredIteratorException"), fault) => ReadError::Expired(fault.to_string()),
            (Some("TrimmedDataAccessException"), fault) => ReadError::Trimmed(fault.to_string()),
            (_, Fault::Throttled { reason, .. }) => ReadError::Throttled(reason),
            (Some("ResourceNotFoundException"), fault) => ReadError::Gone(fault.to_string()),
            (_, fault) => ReadError::Fault(fault),
        }
    }
}

/// Opens a stream as one route reads it.
///
/// # Errors
/// A [`Fault`] that names the lease table, where there is one.
pub(crate) async fn open(
    clients: &Clients,
    stream: Arc<dyn Stream>,
    start: Start,
    sharing: &Sharing,
    reader: Reader,
) -> Result<Opened, Fault> {
    let opening = lane::Opening {
        stream,
        reader,
        start,
        ordered: sharing.ordered,
        routes: sharing.routes,
        room: room::Room::new(sharing.read_ahead),
        lag: Arc::clone(&sharing.lag),
    };
    match &sharing.coordination {
        Coordination::Leases(settings) => leased::open(clients, settings, sharing.discovery, opening).await,
        Coordination::Alone(alone) => {
            Ok((Box::new(alone::AloneSource::new(Arc::clone(alone), sharing.discovery, opening)), None))
        }
    }
}

impl Reader {
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
