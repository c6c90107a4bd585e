//! Streams of DynamoDB tables as sources: the changes of a table, in order per item, as Lambda gives them to functions.
//!
//! Shards live for hours and then roll into others, so the router lists them again and again (failures.md D1).

mod change_event;

use crate::client::Clients;
use crate::fault;
use crate::lineage::{Shard, ShardList};
use crate::shards::polled::{FetchedPage, PageRequests, PolledFeed};
use crate::shards::{
    self, Cursor, FetchedRecord, Page, PageError, ReadPace, ShardFeed, ShardReader, ShardedStream, Sharing,
    SourceWithProgress,
};
use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::config::retry::RetryConfig;
use aws_sdk_dynamodbstreams::types::{KeyType, ShardIteratorType, StreamDescription};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use esclusa_flow::BoxFuture;
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::{ServiceLocation, Start};
use std::sync::Arc;
use std::time::Duration;

/// Time between two reads of a shard. The service names no limit; this is half of what it lets pass of one reader.
const SPACING: Duration = Duration::from_millis(100);
/// Longest wait between two reads of an idle shard: Lambda polls four times per second,
/// <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>, 2026-11.
const IDLE: Duration = Duration::from_millis(250);

/// A stream to read.
#[derive(Clone)]
pub struct TableStreamSettings {
    /// ARN of the stream, or name or ARN of a table whose present stream is read.
    pub stream: String,
    /// Where it is.
    pub place: ServiceLocation,
    /// Where a group without positions starts. [`Start::AtTimestamp`] reads from the oldest record on and leaves out
    /// older ones, to the second.
    pub start: Start,
    /// How shards are shared.
    pub sharing: Sharing,
}

/// Opens a stream as one route reads it.
///
/// # Errors
/// A [`Fault`] that names the stream, the table or the lease table.
pub async fn open(
    clients: &Clients,
    settings: &TableStreamSettings,
    reader: ShardReader,
) -> Result<SourceWithProgress, Fault> {
    let arn = find(clients, settings).await?;
    let client = clients.dynamodb_streams(&settings.place);
    let reads = Client::from_conf(client.config().to_builder().retry_config(RetryConfig::disabled()).build());
    let mut stream = DynamoStream { name: format!("stream {arn:?}"), client, reads, arn: arn.into(), key: "".into() };
    let description = stream.page(None).await?;
    let hash = description.key_schema().iter().find(|element| *element.key_type() == KeyType::Hash);
    stream.key = hash.map(|element| element.attribute_name()).unwrap_or_default().into();
    shards::open(clients, Arc::new(stream), settings.start, &settings.sharing, reader).await
}

/// ARN of the stream that the settings name.
async fn find(clients: &Clients, settings: &TableStreamSettings) -> Result<String, Fault> {
    let name = &settings.stream;
    if name.starts_with("arn:") && name.contains("/stream/") {
        return Ok(name.clone());
    }
    let doing = format!("find the stream of table {name:?}");
    let table = clients.dynamodb(&settings.place).describe_table().table_name(name).send().await;
    let table = table.map_err(|error| fault::of(&doing, &error))?;
    let arn = table.table().and_then(|table| table.latest_stream_arn());
    arn.map(str::to_owned)
        .ok_or_else(|| Fault::Permanent(format!("{doing}: it has none; enable DynamoDB streams for it")))
}

struct DynamoStream {
    name: String,
    client: Client,
    /// Without retries of its own: the lane waits by itself.
    reads: Client,
    arn: Arc<str>,
    /// The table's partition key.
    key: Arc<str>,
}

impl DynamoStream {
    async fn page(&self, after: Option<String>) -> Result<StreamDescription, Fault> {
        let doing = format!("list the shards of {}", self.name);
        let request = self.client.describe_stream().stream_arn(&*self.arn).set_exclusive_start_shard_id(after);
        match request.send().await {
            Ok(output) => {
                output.stream_description.ok_or_else(|| Fault::Transient(format!("{doing}: an empty answer")))
            }
            Err(error) if error.code() == Some("ResourceNotFoundException") => {
                Err(Fault::Permanent(format!("{doing}: there is no such stream")))
            }
            Err(error) => Err(fault::of(&doing, &error)),
        }
    }

    /// All pages (failures.md D2).
    async fn list_all(&self) -> Result<Vec<Shard>, Fault> {
        let (mut shards, mut after) = (Vec::new(), None);
        loop {
            let page = self.page(after).await?;
            shards.extend(page.shards().iter().filter_map(shard));
            after = page.last_evaluated_shard_id;
            if after.is_none() {
                return Ok(shards);
            }
        }
    }
}

fn shard(shard: &aws_sdk_dynamodbstreams::types::Shard) -> Option<Shard> {
    Some(Shard {
        id: shard.shard_id()?.to_owned(),
        parents: shard.parent_shard_id().map(str::to_owned).into_iter().collect(),
        closed: shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_some()),
        hashes: None,
    })
}

impl ShardList for DynamoStream {
    fn name(&self) -> &str {
        &self.name
    }

    /// The table: it gets another stream if its stream is switched off and on, and its leases stay.
    fn identity(&self) -> &str {
        self.arn.split("/stream/").next().unwrap_or(&self.arn)
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Shard>, Fault>> {
        Box::pin(self.list_all())
    }
}

impl ShardedStream for DynamoStream {
    fn kind(&self) -> &'static str {
        "dynamodb-stream"
    }

    fn feed(&self, shard: &str, _hashes: Option<(u128, u128)>) -> Box<dyn ShardFeed> {
        let doing = format!("read shard {shard:?} of {}", self.name);
        let (client, stream, key) = (self.reads.clone(), Arc::clone(&self.arn), Arc::clone(&self.key));
        Box::new(PolledFeed::new(TableStreamPages { client, stream, key, shard: shard.to_owned(), doing }))
    }

    fn pace(&self) -> ReadPace {
        ReadPace::new(SPACING, None, IDLE)
    }
}

/// Polls a shard: GetShardIterator and GetRecords.
pub struct TableStreamPages {
    /// Without retries of its own.
    pub client: Client,
    /// ARN of the stream.
    pub stream: Arc<str>,
    /// The table's partition key.
    pub key: Arc<str>,
    /// The shard.
    pub shard: String,
    /// The request in words, for errors.
    pub doing: String,
}

impl PageRequests for TableStreamPages {
    fn doing(&self) -> &str {
        &self.doing
    }

    fn iterator<'a>(&'a self, at: &'a Cursor) -> BoxFuture<'a, Result<Option<String>, PageError>> {
        Box::pin(async move {
            let (kind, sequence) = match at {
                Cursor::Latest => (ShardIteratorType::Latest, None),
                Cursor::At(sequence) => (ShardIteratorType::AtSequenceNumber, Some(sequence.clone())),
                Cursor::After(sequence) => (ShardIteratorType::AfterSequenceNumber, Some(sequence.clone())),
                Cursor::Behind(position) => (ShardIteratorType::AfterSequenceNumber, Some(position.sequence.clone())),
                // There is no iterator for a time: the feed leaves out older records.
                Cursor::TrimHorizon | Cursor::Since(_) => (ShardIteratorType::TrimHorizon, None),
            };
            let request = self.client.get_shard_iterator().stream_arn(&*self.stream).shard_id(&self.shard);
            let answer = request.shard_iterator_type(kind).set_sequence_number(sequence).send().await;
            Ok(answer.map_err(|error| PageError::of(&self.doing, &error))?.shard_iterator)
        })
    }

    fn page(&self, iterator: String) -> BoxFuture<'_, Result<FetchedPage, PageError>> {
        Box::pin(async move {
            let answer = self.client.get_records().shard_iterator(iterator).send().await;
            let output = answer.map_err(|error| PageError::of(&self.doing, &error))?;
            let read = output
                .records()
                .iter()
                .map(|record| change_event::event(record, &self.stream, &self.key).map(FetchedRecord::One));
            let records = read.collect::<Result<Vec<FetchedRecord>, Fault>>().map_err(PageError::Fault)?;
            let last =
                output.records().last().and_then(|record| Some(record.dynamodb()?.sequence_number()?.to_owned()));
            let bytes = output.records().iter().filter_map(|r| usize::try_from(r.dynamodb()?.size_bytes()?).ok()).sum();
            let page = Page { records, bytes, behind_millis: None, ended: false };
            Ok(FetchedPage { page, last, next: output.next_shard_iterator })
        })
    }
}
