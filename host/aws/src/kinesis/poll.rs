//! The requests that a polled shard takes: GetShardIterator and GetRecords.

use super::Target;
use super::records::{Hashes, look, place};
use crate::shards::polled::{Pages, Read};
use crate::shards::{Cursor, Page, ReadError};
use aws_sdk_kinesis::Client;
use esclusa_flow::BoxFuture;
use esclusa_flow::fault::Fault;

/// Most records of a page: the service's limit, <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>,
/// 2026-11.
const MOST: i32 = 10_000;

/// See the module.
pub struct Poll {
    /// Without retries of its own.
    pub client: Client,
    /// The stream.
    pub stream: Target,
    /// The shard, and its hash keys.
    pub shard: String,
    /// Events of others are left out.
    pub hashes: Hashes,
    /// What is done, for errors.
    pub doing: String,
}

impl Pages for Poll {
    fn doing(&self) -> &str {
        &self.doing
    }

    fn iterator<'a>(&'a self, at: &'a Cursor) -> BoxFuture<'a, Result<Option<String>, ReadError>> {
        Box::pin(async move {
            let (kind, sequence, time) = place(at);
            let request = self.client.get_shard_iterator().shard_id(&self.shard).shard_iterator_type(kind);
            let request = request.set_stream_name(self.stream.stream.clone()).set_stream_arn(self.stream.arn.clone());
            let request = request.set_starting_sequence_number(sequence).set_timestamp(time);
            let output = request.send().await.map_err(|error| ReadError::of(&self.doing, &error))?;
            Ok(output.shard_iterator)
        })
    }

    fn page(&self, iterator: String) -> BoxFuture<'_, Result<Read, ReadError>> {
        Box::pin(async move {
            let answer = self.client.get_records().shard_iterator(iterator).limit(MOST).send().await;
            let output = answer.map_err(|error| ReadError::of(&self.doing, &error))?;
            let last = output.records.last().map(|record| record.sequence_number.clone());
            let behind_millis = output.millis_behind_latest.and_then(|millis| u64::try_from(millis).ok());
            let looked = look(output.records, self.hashes).await;
            let (records, bytes) = looked.map_err(|error| ReadError::Fault(Fault::Bug(error.to_string())))?;
            let page = Page { records, bytes, behind_millis, ended: false };
            Ok(Read { page, last, next: output.next_shard_iterator })
        })
    }
}
