//! Records that the Kinesis Producer Library made of several: magic number, protobuf, MD5.
//! <https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>, 2026-11.
//!
//! What does not check is a plain record (reliability K14): any payload may begin with these four bytes.

use prost::Message;

const MAGIC: &[u8] = &[0xF3, 0x89, 0x9A, 0xC2];
const DIGEST: usize = 16;

#[derive(Clone, PartialEq, Message)]
struct AggregatedRecord {
    #[prost(string, repeated, tag = "1")]
    partition_key_table: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    explicit_hash_key_table: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<AggregatedPart>,
}

#[derive(Clone, PartialEq, Message)]
struct AggregatedPart {
    #[prost(uint64, required, tag = "1")]
    partition_key_index: u64,
    #[prost(uint64, optional, tag = "2")]
    explicit_hash_key_index: Option<u64>,
    #[prost(bytes = "vec", required, tag = "3")]
    data: Vec<u8>,
}

/// An event of an aggregated record.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// Its partition key.
    pub key: String,
    /// Where it belongs: the explicit hash key, else the MD5 of the partition key.
    pub hash: u128,
    /// Its payload.
    pub data: Vec<u8>,
}

/// The events of an aggregated record; `None` where the payload is a plain record.
pub fn events(payload: &[u8]) -> Option<Vec<Part>> {
    let rest = payload.strip_prefix(MAGIC)?;
    let (message, digest) = rest.split_at_checked(rest.len().checked_sub(DIGEST)?)?;
    if md5::compute(message).0 != digest {
        return None;
    }
    let AggregatedRecord { partition_key_table, explicit_hash_key_table, records } =
        AggregatedRecord::decode(message).ok()?;
    let part = |part: AggregatedPart| {
        let key = partition_key_table.get(usize::try_from(part.partition_key_index).ok()?)?.clone();
        let hash = match part.explicit_hash_key_index {
            Some(index) => explicit_hash_key_table.get(usize::try_from(index).ok()?)?.parse().ok()?,
            None => u128::from_be_bytes(md5::compute(&key).0),
        };
        Some(Part { key, hash, data: part.data })
    };
    records.into_iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn aggregate(record: &AggregatedRecord) -> Vec<u8> {
        let message = record.encode_to_vec();
        [MAGIC, &message, &md5::compute(&message).0].concat()
    }

    fn part(key: u64, explicit: Option<u64>, data: &[u8]) -> AggregatedPart {
        AggregatedPart { partition_key_index: key, explicit_hash_key_index: explicit, data: data.to_vec() }
    }

    fn two() -> AggregatedRecord {
        AggregatedRecord {
            partition_key_table: vec!["a".into(), "b".into()],
            explicit_hash_key_table: vec!["7".into()],
            records: vec![part(1, Some(0), b"first"), part(0, None, b"second")],
        }
    }

    #[test]
    fn an_aggregated_record_is_its_events() {
        let hash = u128::from_str_radix("0cc175b9c0f1b6a831c399e269772661", 16).unwrap();
        let parts = events(&aggregate(&two())).unwrap();
        assert_eq!(
            parts,
            [
                Part { key: "b".into(), hash: 7, data: b"first".to_vec() },
                Part { key: "a".into(), hash, data: b"second".to_vec() },
            ]
        );
    }

    #[test]
    fn a_record_whose_digest_is_wrong_is_plain() {
        // K14
        let mut record = aggregate(&two());
        *record.last_mut().unwrap() ^= 1;
        assert_eq!(events(&record), None);
        for payload in [&b""[..], MAGIC, &[MAGIC, &[0; 15]].concat(), b"{\"a\":1}"] {
            assert_eq!(events(payload), None);
        }
    }

    #[test]
    fn an_aggregate_of_nothing_is_nothing() {
        assert_eq!(events(&aggregate(&AggregatedRecord::default())), Some(Vec::new()));
    }

    #[test]
    fn an_index_out_of_its_table_makes_a_record_plain() {
        let mut record = two();
        record.records.push(part(2, None, b"x"));
        assert_eq!(events(&aggregate(&record)), None);
    }

    proptest! {
        #[test]
        fn no_payload_breaks_the_decoder(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            let message = [MAGIC, &payload, &md5::compute(&payload).0].concat();
            let _ = events(&message);
            let _ = events(&payload);
        }
    }
}
