//! A shard of a table's stream: GetShardIterator and GetRecords.

use super::change;
use crate::fault;
use crate::shards::{Cursor, Feed, Page, ReadError, Record, wall_millis};
use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::error::SdkError;
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use esclusa_flow::BoxFuture;
use esclusa_flow::fault::Fault;
use std::sync::Arc;
use std::time::Duration;

/// See the module.
pub struct Poll {
    client: Client,
    stream: Arc<str>,
    key: Arc<str>,
    shard: String,
    doing: String,
    /// Where reading began.
    at: Cursor,
    /// The record that was read last.
    last: Option<String>,
    /// Where the next page begins; expires after fifteen minutes.
    iterator: Option<String>,
}

impl Poll {
    /// Reads `shard` of a table whose partition key is `key`; `doing` says so in errors.
    pub fn new(client: Client, stream: Arc<str>, key: Arc<str>, shard: &str, doing: String) -> Self {
        let shard = shard.to_owned();
        Poll { client, stream, key, shard, doing, at: Cursor::TrimHorizon, last: None, iterator: None }
    }

    async fn iterator(&mut self) -> Result<String, ReadError> {
        if let Some(iterator) = &self.iterator {
            return Ok(iterator.clone());
        }
        // Behind what was read last, and not at it (reliability D4).
        let (kind, sequence) = match (&self.last, &self.at) {
            (Some(last), _) => (ShardIteratorType::AfterSequenceNumber, Some(last.clone())),
            (None, Cursor::Latest) => (ShardIteratorType::Latest, None),
            (None, Cursor::At(sequence)) => (ShardIteratorType::AtSequenceNumber, Some(sequence.clone())),
            (None, Cursor::Behind(position)) => {
                (ShardIteratorType::AfterSequenceNumber, Some(position.sequence.clone()))
            }
            // There is no iterator for a time: what is older is left out.
            (None, Cursor::TrimHorizon | Cursor::Since(_)) => (ShardIteratorType::TrimHorizon, None),
        };
        let request = self.client.get_shard_iterator().stream_arn(&*self.stream).shard_id(&self.shard);
        let asked = wall_millis();
        let output = request.shard_iterator_type(kind).set_sequence_number(sequence).send().await;
        let output = output.map_err(|error| read_error(&self.doing, &error))?;
        let Some(iterator) = output.shard_iterator else {
            return Err(ReadError::Fault(Fault::Transient(format!("{}: the service gave no iterator", self.doing))));
        };
        if self.at == Cursor::Latest {
            // Should it expire before there is a record, what came since is not left out.
            self.at = Cursor::Since(asked);
        }
        Ok(self.iterator.insert(iterator).clone())
    }

    /// A refused iterator is not tried again.
    async fn read_page(&mut self) -> Result<Page, ReadError> {
        let page = self.read().await;
        if matches!(page, Err(ReadError::Gone(_) | ReadError::Fault(_) | ReadError::Trimmed(_))) {
            self.iterator = None;
        }
        page
    }

    async fn read(&mut self) -> Result<Page, ReadError> {
        let iterator = self.iterator().await?;
        let output = match self.client.get_records().shard_iterator(iterator).send().await {
            Ok(output) => output,
            Err(error) if error.code() == Some("ExpiredIteratorException") => {
                self.iterator = None;
                let iterator = self.iterator().await?;
                let again = self.client.get_records().shard_iterator(iterator).send().await;
                again.map_err(|error| read_error(&self.doing, &error))?
            }
            Err(error) => return Err(read_error(&self.doing, &error)),
        };
        let read = output.records().iter().map(|record| change::event(record, &self.stream, &self.key));
        let mut records = read.collect::<Result<Vec<Record>, Fault>>().map_err(ReadError::Fault)?;
        if let Some(last) = records.last() {
            self.last = Some(last.position.sequence.clone());
        }
        if let Cursor::Since(time) = self.at {
            records.retain(|record| record.timestamp >= time / 1000 * 1000);
        }
        let bytes = output.records().iter().filter_map(|r| usize::try_from(r.dynamodb()?.size_bytes()?).ok()).sum();
        self.iterator = output.next_shard_iterator;
        Ok(Page { records, bytes, behind_millis: None, ended: self.iterator.is_none() })
    }
}

impl Feed for Poll {
    fn seek(&mut self, to: Cursor) {
        (self.at, self.last, self.iterator) = (to, None, None);
    }

    fn page(&mut self, _wait: Duration) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(self.read_page())
    }
}

/// What a failed read means.
fn read_error<E>(doing: &str, error: &SdkError<E, HttpResponse>) -> ReadError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match (error.code(), fault::of(doing, error)) {
        (Some("TrimmedDataAccessException"), fault) => ReadError::Trimmed(fault.to_string()),
        (_, Fault::Throttled { reason, .. }) => ReadError::Throttled(reason),
        (Some("ResourceNotFoundException"), fault) => ReadError::Gone(fault.to_string()),
        (_, fault) => ReadError::Fault(fault),
    }
}
