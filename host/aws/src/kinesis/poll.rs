//! A shard that is polled: GetShardIterator and GetRecords.

use super::Target;
use super::records::{events, place};
use crate::fault;
use crate::shards::{Cursor, Feed, Page, ReadError, wall_millis};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::types::ShardIteratorType;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use esclusa_flow::BoxFuture;
use esclusa_flow::fault::Fault;
use std::time::Duration;

/// Most records of a page: the service's limit, <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>,
/// 2026-11.
const MOST: i32 = 10_000;

/// See the module.
pub struct Poll {
    client: Client,
    stream: Target,
    shard: String,
    hashes: Option<(u128, u128)>,
    doing: String,
    /// Where reading began.
    at: Cursor,
    /// The record that was read last.
    last: Option<String>,
    /// Where the next page begins; expires after five minutes.
    iterator: Option<String>,
}

impl Poll {
    /// Reads `shard`; `doing` says so in errors.
    pub fn new(client: Client, stream: Target, shard: &str, hashes: Option<(u128, u128)>, doing: String) -> Self {
        let shard = shard.to_owned();
        Poll { client, stream, shard, hashes, doing, at: Cursor::TrimHorizon, last: None, iterator: None }
    }

    async fn iterator(&mut self) -> Result<String, ReadError> {
        if let Some(iterator) = &self.iterator {
            return Ok(iterator.clone());
        }
        // Behind what was read last, and not at it (reliability K10).
        let (kind, sequence, time) = match &self.last {
            Some(last) => (ShardIteratorType::AfterSequenceNumber, Some(last.clone()), None),
            None => place(&self.at),
        };
        let request = self.client.get_shard_iterator().shard_id(&self.shard).shard_iterator_type(kind);
        let request = request.set_stream_name(self.stream.stream.clone()).set_stream_arn(self.stream.arn.clone());
        let request = request.set_starting_sequence_number(sequence).set_timestamp(time);
        let asked = wall_millis();
        let output = request.send().await.map_err(|error| read_error(&self.doing, &error))?;
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
        let output = match self.client.get_records().shard_iterator(iterator).limit(MOST).send().await {
            Ok(output) => output,
            Err(error) if error.code() == Some("ExpiredIteratorException") => {
                self.iterator = None;
                let iterator = self.iterator().await?;
                let again = self.client.get_records().shard_iterator(iterator).limit(MOST).send().await;
                again.map_err(|error| read_error(&self.doing, &error))?
            }
            Err(error) => return Err(read_error(&self.doing, &error)),
        };
        if let Some(last) = output.records.last() {
            self.last = Some(last.sequence_number.clone());
        }
        let behind_millis = output.millis_behind_latest.and_then(|millis| u64::try_from(millis).ok());
        let (records, bytes) = events(output.records, self.hashes);
        self.iterator = output.next_shard_iterator;
        Ok(Page { records, bytes, behind_millis, ended: self.iterator.is_none() })
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
pub fn read_error<E>(doing: &str, error: &SdkError<E, HttpResponse>) -> ReadError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match (error.code(), fault::of(doing, error)) {
        (_, Fault::Throttled { reason, .. }) => ReadError::Throttled(reason),
        (Some("ResourceNotFoundException"), fault) => ReadError::Gone(fault.to_string()),
        (_, fault) => ReadError::Fault(fault),
    }
}
