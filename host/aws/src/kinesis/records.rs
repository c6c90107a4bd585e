//! Records of Kinesis as events.

use super::aggregate;
use crate::shards::position::Position;
use crate::shards::{Cursor, Record};
use aws_sdk_kinesis::types;
use aws_smithy_types::DateTime;

/// The events of some records, in order, and the bytes that the records took. `hashes` is the range of the shard.
pub fn events(records: Vec<types::Record>, hashes: Option<(u128, u128)>) -> (Vec<Record>, usize) {
    let (mut events, mut bytes) = (Vec::with_capacity(records.len()), 0);
    for record in records {
        let key = record.partition_key.unwrap_or_default();
        bytes += record.data.as_ref().len() + key.len();
        let timestamp = record.approximate_arrival_timestamp.map_or(0, millis);
        let data = record.data.into_inner();
        match aggregate::events(&data) {
            Some(parts) => {
                let inside = |key: u128| hashes.is_none_or(|(first, last)| (first..=last).contains(&key));
                for (sub, part) in parts.into_iter().enumerate().filter(|(_, part)| inside(part.hash)) {
                    let position = Position { sequence: record.sequence_number.clone(), sub: Some(sub as u64) };
                    events.push(Record {
                        id: position.to_string(),
                        position,
                        key: part.key,
                        data: part.data,
                        timestamp,
                    });
                }
            }
            None => events.push(Record {
                id: record.sequence_number.clone(),
                position: Position { sequence: record.sequence_number, sub: None },
                key,
                data,
                timestamp,
            }),
        }
    }
    (events, bytes)
}

fn millis(time: DateTime) -> u64 {
    time.to_millis().ok().and_then(|millis| u64::try_from(millis).ok()).unwrap_or_default()
}

/// A cursor in the words of requests: type, sequence number, time.
pub fn place(cursor: &Cursor) -> (types::ShardIteratorType, Option<String>, Option<DateTime>) {
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
