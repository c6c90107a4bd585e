//! The fuzz target of aggregated records: the decoder against one that knows nothing of budgets and reads the whole message by
//! prost's derived code. `fuzz/` compiles this file and the decoder without the rest of the crate.

use super::aggregate::{self, MOST_BYTES, MOST_EVENTS, PayloadKind};
use prost::Message;
use prost::bytes::Bytes;

#[derive(Clone, PartialEq, Message)]
struct WholeRecord {
    #[prost(string, repeated, tag = "1")]
    keys: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    hashes: Vec<String>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    parts: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct WholePart {
    #[prost(uint64, optional, tag = "1")]
    key: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    hash: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "3")]
    data: Option<Vec<u8>>,
}

/// Key, hash key and payload of an event.
type Event = (String, u128, Vec<u8>);

/// The first byte of the input decides: the rest is a payload as it is, or a message that gets its magic number and its digest.
pub(crate) fn target(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let payload: Bytes = if kind % 2 == 0 {
        Bytes::copy_from_slice(rest)
    } else {
        [&[0xF3, 0x89, 0x9A, 0xC2], rest, &md5::compute(rest).0].concat().into()
    };
    let expected = naive(&payload);
    match aggregate::open(&payload) {
        PayloadKind::Plain => assert_eq!(expected, None, "it is taken for a plain payload"),
        PayloadKind::TooLarge(why) => panic!("{} bytes cannot be too large: {why}", payload.len()),
        PayloadKind::Several(record) => {
            // An entry of a table takes two bytes of the message, and 32 of memory.
            assert!(record.size() <= 20 * payload.len() + 256, "{} bytes of {}", record.size(), payload.len());
            let events: Vec<_> = record.collect();
            assert!(events.iter().zip(0..).all(|(event, sub)| event.sub == sub));
            let bytes: usize = events.iter().map(|event| event.key.len() + event.data.len()).sum();
            assert!(events.len() <= MOST_EVENTS && bytes <= MOST_BYTES, "{} events, {bytes} bytes", events.len());
            let events: Vec<Event> = events.into_iter().map(|event| (event.key, event.hash, event.data)).collect();
            assert_eq!(Some(events), expected, "it is taken for several events");
        }
    }
}

/// The events of a payload; `None`: it is a plain one.
fn naive(payload: &[u8]) -> Option<Vec<Event>> {
    let rest = payload.strip_prefix(&[0xF3, 0x89, 0x9A, 0xC2])?;
    let (message, digest) = rest.split_at_checked(rest.len().checked_sub(16)?)?;
    if md5::compute(message).0 != digest || has_groups(message) {
        return None;
    }
    let record = WholeRecord::decode(message).ok()?;
    if record.keys.iter().any(|key| key.chars().count() > 256) {
        return None;
    }
    let event = |part: &Vec<u8>| {
        let part = WholePart::decode(&part[..]).ok()?;
        let key = record.keys.get(usize::try_from(part.key?).ok()?)?;
        let hash = match part.hash {
            Some(at) => record.hashes.get(usize::try_from(at).ok()?)?.parse().ok()?,
            None => u128::from_be_bytes(md5::compute(key).0),
        };
        Some((key.clone(), hash, part.data?))
    };
    record.parts.iter().map(event).collect()
}

/// True if a field at the top is a group, which the format does not have and prost skips.
fn has_groups(mut rest: &[u8]) -> bool {
    while let Ok((_, kind)) = prost::encoding::decode_key(&mut rest) {
        if matches!(kind, prost::encoding::WireType::StartGroup | prost::encoding::WireType::EndGroup) {
            return true;
        }
        let context = prost::encoding::DecodeContext::default();
        if prost::encoding::skip_field(kind, 1, &mut rest, context).is_err() {
            return false;
        }
    }
    false
}
