//! Records of Kinesis as events, and the requests that poll a shard for them.

use super::StreamName;
use super::aggregate::{self, AggregatedEvent, PayloadKind};
use crate::position::Position;
use crate::shards::polled::{FetchedPage, PageRequests};
use crate::shards::{Cursor, FetchedRecord, Page, PageError, Several, ShardRecord};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types;
use aws_smithy_types::DateTime;
use esclusa_flow::BoxFuture;
use esclusa_flow::fault::Fault;
use esclusa_flow::verdict::Reason;
use prost::bytes::Bytes;
use tokio::task::JoinHandle;

/// The code of an aggregated record that is too large to be taken apart.
const TOO_LARGE: &str = "limit.aggregate";

/// The range of a shard's hash keys; `None`: all.
pub(crate) type Hashes = Option<(u128, u128)>;

/// Takes records apart on a thread for blocking work, since a page may hold 10 MiB. Gives them in order, and the bytes
/// that they took.
pub(crate) fn look(records: Vec<types::Record>, hashes: Hashes) -> JoinHandle<(Vec<FetchedRecord>, usize)> {
    tokio::task::spawn_blocking(move || {
        let size = |record: &types::Record| record.data.as_ref().len() + record.partition_key().map_or(0, str::len);
        let bytes = records.iter().map(size).sum();
        (records.into_iter().map(|record| found(record, hashes)).collect(), bytes)
    })
}

fn found(record: types::Record, hashes: Hashes) -> FetchedRecord {
    let timestamp = record.approximate_arrival_timestamp.map_or(0, millis);
    let sequence = record.sequence_number;
    let data = Bytes::from(record.data.into_inner());
    let refused = match aggregate::open(&data) {
        PayloadKind::Several(aggregate) => {
            let size = aggregate.size().saturating_add(sequence.len());
            let inside =
                move |part: &AggregatedEvent| hashes.is_none_or(|(first, last)| (first..=last).contains(&part.hash));
            let event = move |part: AggregatedEvent| {
                let position = Position { sequence: sequence.clone(), sub: Some(part.sub) };
                let id = position.to_string();
                ShardRecord { position, id, key: part.key, data: part.data, timestamp, refused: None }
            };
            return FetchedRecord::Several(Several {
                events: Box::new(aggregate.filter(inside).map(event)),
                size,
                timestamp,
            });
        }
        PayloadKind::TooLarge(why) => Some(Box::new(Reason::new(TOO_LARGE, format!("an aggregated record: {why}")))),
        PayloadKind::Plain => None,
    };
    let (id, key) = (sequence.clone(), record.partition_key.unwrap_or_default());
    FetchedRecord::One(ShardRecord {
        id,
        position: Position { sequence, sub: None },
        key,
        data: data.into(),
        timestamp,
        refused,
    })
}

fn millis(time: DateTime) -> u64 {
    time.to_millis().ok().and_then(|millis| u64::try_from(millis).ok()).unwrap_or_default()
}

/// A cursor as requests have it: type, sequence number, time.
pub(crate) fn place(cursor: &Cursor) -> (types::ShardIteratorType, Option<String>, Option<DateTime>) {
    use types::ShardIteratorType as Type;
    match cursor {
        Cursor::TrimHorizon => (Type::TrimHorizon, None, None),
        Cursor::Latest => (Type::Latest, None, None),
        Cursor::Since(time) => {
            (Type::AtTimestamp, None, Some(DateTime::from_millis(i64::try_from(*time).unwrap_or(i64::MAX))))
        }
        Cursor::At(sequence) => (Type::AtSequenceNumber, Some(sequence.clone()), None),
        Cursor::After(sequence) => (Type::AfterSequenceNumber, Some(sequence.clone()), None),
        // At and not after it: the record may hold events behind this one.
        Cursor::Behind(position) => (Type::AtSequenceNumber, Some(position.sequence.clone()), None),
    }
}

/// Most records of a page: the service's limit, <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>,
/// 2026-11.
const MOST: i32 = 10_000;

/// Polls a shard: GetShardIterator and GetRecords.
pub(crate) struct KinesisPages {
    /// Without retries of its own.
    pub client: Client,
    /// The stream.
    pub stream: StreamName,
    /// The shard.
    pub shard: String,
    /// Hash keys of the shard: events of other shards are left out.
    pub hashes: Hashes,
    /// The request in words, for errors.
    pub doing: String,
}

impl PageRequests for KinesisPages {
    fn doing(&self) -> &str {
        &self.doing
    }

    fn iterator<'a>(&'a self, at: &'a Cursor) -> BoxFuture<'a, Result<Option<String>, PageError>> {
        Box::pin(async move {
            let (kind, sequence, time) = place(at);
            let request = self.client.get_shard_iterator().shard_id(&self.shard).shard_iterator_type(kind);
            let request = request.set_stream_name(self.stream.stream.clone()).set_stream_arn(self.stream.arn.clone());
            let request = request.set_starting_sequence_number(sequence).set_timestamp(time);
            let output = request.send().await.map_err(|error| PageError::of(&self.doing, &error))?;
            Ok(output.shard_iterator)
        })
    }

    fn page(&self, iterator: String) -> BoxFuture<'_, Result<FetchedPage, PageError>> {
        Box::pin(async move {
            let answer = self.client.get_records().shard_iterator(iterator).limit(MOST).send().await;
            let output = answer.map_err(|error| PageError::of(&self.doing, &error))?;
            let last = output.records.last().map(|record| record.sequence_number.clone());
            let behind_millis = output.millis_behind_latest.and_then(|millis| u64::try_from(millis).ok());
            let looked = look(output.records, self.hashes).await;
            let (records, bytes) = looked.map_err(|error| PageError::Fault(Fault::Bug(error.to_string())))?;
            let page = Page { records, bytes, behind_millis, ended: false };
            Ok(FetchedPage { page, last, next: output.next_shard_iterator })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_types::Blob;

    /// An aggregated record of `parts` empty events with the keys `a` and `b` in turn.
    fn record(sequence: &str, parts: usize) -> types::Record {
        let mut message = b"\x0a\x01a\x0a\x01b".to_vec();
        for part in 0..parts {
            message.extend([26, 4, 8, u8::from(part % 2 == 1), 26, 0]);
        }
        let data = [&[0xF3, 0x89, 0x9A, 0xC2][..], &message, &md5::compute(&message).0].concat();
        types::Record::builder().sequence_number(sequence).data(Blob::new(data)).partition_key("k").build().unwrap()
    }

    async fn taken(records: Vec<types::Record>, hashes: Hashes) -> Vec<ShardRecord> {
        let (found, _) = look(records, hashes).await.unwrap();
        let events = found.into_iter().map(|found| -> Box<dyn Iterator<Item = ShardRecord>> {
            match found {
                FetchedRecord::One(record) => Box::new(std::iter::once(record)),
                FetchedRecord::Several(several) => several.events,
            }
        });
        events.flatten().collect()
    }

    #[tokio::test]
    async fn events_of_an_aggregate_keep_their_number_also_when_others_belong_to_another_shard() {
        let b = u128::from_be_bytes(md5::compute("b").0);
        let ids = |events: Vec<ShardRecord>| events.into_iter().map(|event| event.id).collect::<Vec<_>>();
        assert_eq!(ids(taken(vec![record("7", 4)], None).await), ["7/0", "7/1", "7/2", "7/3"]);
        assert_eq!(ids(taken(vec![record("7", 4)], Some((b, b))).await), ["7/1", "7/3"]);
    }

    #[tokio::test]
    async fn an_aggregate_that_is_too_large_is_one_event_that_is_given_up_whole() {
        let large = record("8", aggregate::MOST_EVENTS + 1);
        let data = large.data.clone().into_inner();
        let events = taken(vec![record("7", 1), large, record("9", 1)], None).await;
        assert_eq!(events.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), ["7/0", "8", "9/0"]);
        assert_eq!(events[1].refused.as_ref().map(|reason| reason.code.as_str()), Some("limit.aggregate"));
        assert!(events[1].data == data && events[1].key == "k");
        assert!(events[0].refused.is_none() && events[2].refused.is_none());
    }
}
