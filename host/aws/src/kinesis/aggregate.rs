//! Aggregated records: the Kinesis Producer Library makes one record of several events. Magic number, protobuf, MD5.
//! <https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>, 2026-11.
//!
//! A record that fails any check is a plain one (failures.md K14): any payload may begin with these four bytes.
//!
//! An event may take as little as six bytes of its record, so the events are never all in memory at once: the whole
//! record is checked, in time proportional to its bytes, and its events are made one by one when a batch needs them.

use prost::Message;
use prost::bytes::Bytes;

const MAGIC: &[u8] = &[0xF3, 0x89, 0x9A, 0xC2];
const DIGEST: usize = 16;

/// Fields of the message: number and wire type. <https://protobuf.dev/programming-guides/encoding/>, 2026-11.
const KEY: usize = 1 << 3 | 2;
const HASH: usize = 2 << 3 | 2;
const PART: usize = 3 << 3 | 2;

/// Most characters of a partition key.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecordsRequestEntry.html>, 2026-11.
const KEY_CHARACTERS: usize = 256;

/// Most events of a record: a record of 1 MiB, which is all that the library makes, cannot hold as many.
pub(crate) const MOST_EVENTS: usize = 200_000;

/// Most bytes that the events of a record may take. A shared key counts for each of them, and so does [`EVENT`]. Six
/// times the largest record that Kinesis takes (10 MiB).
pub(crate) const MOST_BYTES: usize = 64 << 20;

/// Bytes that an event takes beside its key and its data: its columns, and its id of up to 64 characters.
const EVENT: usize = 44 + 64;

#[derive(Clone, PartialEq, Message)]
struct AggregatedPart {
    /// Required by the format, as the data is.
    #[prost(uint64, optional, tag = "1")]
    partition_key_index: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    explicit_hash_key_index: Option<u64>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    data: Option<Bytes>,
}

/// An event of an aggregated record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AggregatedEvent {
    /// Its place among the events of the record.
    pub sub: u64,
    /// Its partition key.
    pub key: String,
    /// Its hash key, which decides its shard: the explicit one, else the MD5 of the partition key.
    pub hash: u128,
    /// Its payload.
    pub data: Vec<u8>,
}

/// The kind of a payload.
#[derive(Debug)]
pub(crate) enum PayloadKind {
    /// One event.
    Plain,
    /// Several.
    Several(AggregatedRecord),
    /// Several, more than one record may have; why.
    TooLarge(String),
}

/// The events of an aggregated record, made as they are asked for.
#[derive(Debug)]
pub(crate) struct AggregatedRecord {
    message: Bytes,
    /// Bytes of the message before the next event.
    at: usize,
    next: u64,
    keys: Vec<HashedKey>,
    hashes: Vec<Option<u128>>,
}

/// A key of the table: its place in the message, and its hash.
#[derive(Debug)]
struct HashedKey {
    start: usize,
    end: usize,
    hash: u128,
}

/// Why a payload is not taken as an aggregated record.
#[derive(Debug)]
enum Unfit {
    /// It is none.
    Unsound,
    /// It is too large.
    TooLarge(String),
}

/// Looks at a payload: checks all of an aggregated record and makes none of its events.
pub(crate) fn open(payload: &Bytes) -> PayloadKind {
    match message(payload).ok_or(Unfit::Unsound).and_then(AggregatedRecord::of) {
        Ok(aggregate) => PayloadKind::Several(aggregate),
        Err(Unfit::Unsound) => PayloadKind::Plain,
        Err(Unfit::TooLarge(why)) => PayloadKind::TooLarge(why),
    }
}

/// The message of an aggregated record whose digest is right.
fn message(payload: &Bytes) -> Option<Bytes> {
    let rest = payload.strip_prefix(MAGIC)?;
    let (message, digest) = rest.split_at_checked(rest.len().checked_sub(DIGEST)?)?;
    (md5::compute(message).0 == digest).then(|| payload.slice_ref(message))
}

impl AggregatedRecord {
    fn of(message: Bytes) -> Result<Self, Unfit> {
        let mut aggregate = AggregatedRecord { at: 0, next: 0, keys: Vec::new(), hashes: Vec::new(), message };
        aggregate.read_tables()?;
        aggregate.check_parts()?;
        Ok(aggregate)
    }

    /// Reads both tables, which may stand before, between and behind the events.
    fn read_tables(&mut self) -> Result<(), Unfit> {
        let (message, mut at) = (self.message.clone(), 0);
        while at < message.len() {
            let field = ProtobufField::at(&message, at).ok_or(Unfit::Unsound)?;
            at = field.end;
            match field.tag {
                KEY => self.keys.push(HashedKey::of(&field).ok_or(Unfit::Unsound)?),
                HASH => self.hashes.push(std::str::from_utf8(field.content).map_err(|_| Unfit::Unsound)?.parse().ok()),
                _ => {}
            }
            if self.keys.len().max(self.hashes.len()) > MOST_EVENTS {
                return Err(Unfit::TooLarge(format!("it has keys for more than {MOST_EVENTS} events")));
            }
        }
        self.keys.shrink_to_fit();
        self.hashes.shrink_to_fit();
        Ok(())
    }

    /// Checks every event, and how much they take together.
    fn check_parts(&self) -> Result<(), Unfit> {
        let (mut at, mut events, mut bytes) = (0, 0usize, 0usize);
        while at < self.message.len() {
            let field = ProtobufField::at(&self.message, at).ok_or(Unfit::Unsound)?;
            at = field.end;
            if field.tag == PART {
                let (key, _, data) = self.part(&field).ok_or(Unfit::Unsound)?;
                events += 1;
                bytes = bytes.saturating_add(key.end - key.start).saturating_add(data.len()).saturating_add(EVENT);
            }
        }
        if events > MOST_EVENTS {
            return Err(Unfit::TooLarge(format!("it has {events} events, of at most {MOST_EVENTS}")));
        }
        if bytes > MOST_BYTES {
            return Err(Unfit::TooLarge(format!("its events take {bytes} bytes, of at most {MOST_BYTES}")));
        }
        Ok(())
    }

    /// Key, hash and data of an event; `None` if it lacks one, or if an index is in no table.
    fn part(&self, field: &ProtobufField<'_>) -> Option<(&HashedKey, u128, Bytes)> {
        let AggregatedPart { partition_key_index, explicit_hash_key_index, data } =
            AggregatedPart::decode(self.message.slice_ref(field.content)).ok()?;
        let key = self.keys.get(usize::try_from(partition_key_index?).ok()?)?;
        let hash = match explicit_hash_key_index {
            Some(index) => (*self.hashes.get(usize::try_from(index).ok()?)?)?,
            None => key.hash,
        };
        Some((key, hash, data?))
    }

    /// Bytes of memory that it takes until its last event is made.
    pub(crate) fn size(&self) -> usize {
        let tables = self.keys.capacity() * size_of::<HashedKey>() + self.hashes.capacity() * size_of::<Option<u128>>();
        self.message.len() + tables + size_of::<AggregatedRecord>()
    }
}

impl Iterator for AggregatedRecord {
    type Item = AggregatedEvent;

    fn next(&mut self) -> Option<AggregatedEvent> {
        loop {
            // All of this was checked: the message ends behind a field.
            let field = ProtobufField::at(&self.message, self.at)?;
            let end = field.end;
            let part = (field.tag == PART).then(|| self.part(&field)).flatten().and_then(|(key, hash, data)| {
                let key = std::str::from_utf8(self.message.get(key.start..key.end)?).ok()?.to_owned();
                Some(AggregatedEvent { sub: self.next, key, hash, data: data.to_vec() })
            });
            self.at = end;
            if part.is_some() {
                self.next += 1;
                return part;
            }
        }
    }
}

impl HashedKey {
    /// `None` if it is no partition key that Kinesis would take.
    fn of(field: &ProtobufField<'_>) -> Option<Self> {
        let text = std::str::from_utf8(field.content).ok()?;
        if text.chars().nth(KEY_CHARACTERS).is_some() {
            return None;
        }
        let hash = u128::from_be_bytes(md5::compute(text).0);
        Some(HashedKey { start: field.end.checked_sub(text.len())?, end: field.end, hash })
    }
}

/// A field of a message.
struct ProtobufField<'a> {
    /// Number and wire type.
    tag: usize,
    /// Its bytes, if the field has a length.
    content: &'a [u8],
    /// Start of the next field.
    end: usize,
}

impl<'a> ProtobufField<'a> {
    /// The field at a place of a message; `None` at the end, and if there is none that can be read.
    fn at(message: &'a [u8], at: usize) -> Option<Self> {
        let mut rest = message.get(at..)?;
        // A number of a field has 29 bits.
        let tag = varint(&mut rest).filter(|tag| u32::try_from(*tag).is_ok())?;
        let length = match tag & 7 {
            0 => varint(&mut rest).map(|_| 0)?,
            1 => 8,
            2 => varint(&mut rest)?,
            5 => 4,
            // Groups, which the format does not have.
            _ => return None,
        };
        // A known field of another type is none.
        if tag >> 3 == 0 || (tag >> 3 <= 3 && tag & 7 != 2) {
            return None;
        }
        let (content, behind) = rest.split_at_checked(length)?;
        Some(ProtobufField { tag, content, end: message.len().checked_sub(behind.len())? })
    }
}

fn varint(rest: &mut &[u8]) -> Option<usize> {
    prost::decode_length_delimiter(rest).ok()
}

#[cfg(test)]
mod tests;
