//! The requests that a shard of a table's stream takes: GetShardIterator and GetRecords.

use super::change;
use crate::shards::polled::{Pages, Read};
use crate::shards::{Cursor, Found, Page, ReadError};
use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use esclusa_flow::BoxFuture;
use esclusa_flow::fault::Fault;
use std::sync::Arc;

/// See the module.
pub struct Poll {
    /// Without retries of its own.
    pub client: Client,
    /// ARN of the stream.
    pub stream: Arc<str>,
    /// The table's partition key.
    pub key: Arc<str>,
    /// The shard.
    pub shard: String,
    /// What is done, for errors.
    pub doing: String,
}

impl Pages for Poll {
    fn doing(&self) -> &str {
        &self.doing
    }

    fn iterator<'a>(&'a self, at: &'a Cursor) -> BoxFuture<'a, Result<Option<String>, ReadError>> {
        Box::pin(async move {
            let (kind, sequence) = match at {
                Cursor::Latest => (ShardIteratorType::Latest, None),
                Cursor::At(sequence) => (ShardIteratorType::AtSequenceNumber, Some(sequence.clone())),
                Cursor::After(sequence) => (ShardIteratorType::AfterSequenceNumber, Some(sequence.clone())),
                Cursor::Behind(position) => (ShardIteratorType::AfterSequenceNumber, Some(position.sequence.clone())),
                // There is no iterator for a time: what is older is left out.
                Cursor::TrimHorizon | Cursor::Since(_) => (ShardIteratorType::TrimHorizon, None),
            };
            let request = self.client.get_shard_iterator().stream_arn(&*self.stream).shard_id(&self.shard);
            let answer = request.shard_iterator_type(kind).set_sequence_number(sequence).send().await;
            Ok(answer.map_err(|error| ReadError::of(&self.doing, &error))?.shard_iterator)
        })
    }

    fn page(&self, iterator: String) -> BoxFuture<'_, Result<Read, ReadError>> {
        Box::pin(async move {
            let answer = self.client.get_records().shard_iterator(iterator).send().await;
            let output = answer.map_err(|error| ReadError::of(&self.doing, &error))?;
            let read =
                output.records().iter().map(|record| change::event(record, &self.stream, &self.key).map(Found::One));
            let records = read.collect::<Result<Vec<Found>, Fault>>().map_err(ReadError::Fault)?;
            let last =
                output.records().last().and_then(|record| Some(record.dynamodb()?.sequence_number()?.to_owned()));
            let bytes = output.records().iter().filter_map(|r| usize::try_from(r.dynamodb()?.size_bytes()?).ok()).sum();
            let page = Page { records, bytes, behind_millis: None, ended: false };
            Ok(Read { page, last, next: output.next_shard_iterator })
        })
    }
}
