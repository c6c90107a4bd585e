//! Aggregated records: honest ones, and those that are made to take more than they are.

use super::*;
use proptest::prelude::*;

#[derive(Clone, PartialEq, Message)]
struct Made {
    #[prost(bytes = "vec", repeated, tag = "1")]
    keys: Vec<Vec<u8>>,
    #[prost(string, repeated, tag = "2")]
    hashes: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    parts: Vec<MadePart>,
}

#[derive(Clone, PartialEq, Message)]
struct MadePart {
    #[prost(uint64, required, tag = "1")]
    key: u64,
    #[prost(uint64, optional, tag = "2")]
    hash: Option<u64>,
    #[prost(bytes = "vec", required, tag = "3")]
    data: Vec<u8>,
}

fn sealed(message: &[u8]) -> Bytes {
    [MAGIC, message, &md5::compute(message).0].concat().into()
}

/// An event as it stands in a message, in as few bytes as there can be.
fn part(key: u8, data: &[u8]) -> Vec<u8> {
    let mut part = vec![8, key, 26, u8::try_from(data.len()).unwrap()];
    part.extend_from_slice(data);
    field(PART, &part)
}

fn field(tag: usize, content: &[u8]) -> Vec<u8> {
    let mut field = vec![u8::try_from(tag).unwrap()];
    prost::encode_length_delimiter(content.len(), &mut field).unwrap();
    field.extend_from_slice(content);
    field
}

fn parts(payload: &Bytes) -> Option<Vec<AggregatedEvent>> {
    match open(payload) {
        PayloadKind::Several(aggregate) => Some(aggregate.collect()),
        _ => None,
    }
}

fn two() -> Made {
    let part = |key, hash, data: &[u8]| MadePart { key, hash, data: data.to_vec() };
    Made {
        keys: vec![b"a".to_vec(), b"b".to_vec()],
        hashes: vec!["7".into()],
        parts: vec![part(1, Some(0), b"first"), part(0, None, b"second")],
    }
}

#[test]
fn an_aggregated_record_is_its_events() {
    let hash = u128::from_str_radix("0cc175b9c0f1b6a831c399e269772661", 16).unwrap();
    let expected = [
        AggregatedEvent { sub: 0, key: "b".into(), hash: 7, data: b"first".to_vec() },
        AggregatedEvent { sub: 1, key: "a".into(), hash, data: b"second".to_vec() },
    ];
    assert_eq!(parts(&sealed(&two().encode_to_vec())).unwrap(), expected);
}

#[test]
fn a_record_whose_digest_is_wrong_is_plain() {
    // K14
    let mut record = sealed(&two().encode_to_vec()).to_vec();
    *record.last_mut().unwrap() ^= 1;
    assert_eq!(parts(&record.into()), None);
    for payload in [&b""[..], MAGIC, &[MAGIC, &[0; 15]].concat(), b"{\"a\":1}"] {
        assert_eq!(parts(&Bytes::copy_from_slice(payload)), None);
    }
}

#[test]
fn an_aggregate_of_nothing_is_nothing() {
    assert_eq!(parts(&sealed(&[])), Some(Vec::new()));
}

#[test]
fn what_is_no_sound_aggregate_is_plain() {
    let key = || field(KEY, b"k");
    let text = |length| field(KEY, "é".repeat(length).as_bytes());
    assert!(parts(&sealed(&[text(256), part(0, b"x")].concat())).is_some());
    for (why, message) in [
        ("a key beyond its table", [key(), part(1, b"x")].concat()),
        ("a hash beyond its table", [key(), field(PART, &[8, 0, 16, 0, 26, 0])].concat()),
        ("a hash that is no number", [key(), field(HASH, b"x"), field(PART, &[8, 0, 16, 0, 26, 0])].concat()),
        ("no key and no data", [key(), field(PART, &[])].concat()),
        ("more than there may be, without key and data", [key(), field(PART, &[]).repeat(MOST_EVENTS + 1)].concat()),
        ("no data", [key(), field(PART, &[8, 0])].concat()),
        ("no key", [key(), field(PART, &[26, 0])].concat()),
        ("a key that Kinesis does not take", [text(257), part(0, b"x")].concat()),
        ("a key that is no text", [field(KEY, &[0xFF]), part(0, b"x")].concat()),
        ("a length beyond the message", vec![26, 200, 1]),
        ("a field without an end", vec![26]),
        ("a key that is a number", vec![8, 1]),
        ("a group", vec![11 << 3 | 3, 11 << 3 | 4]),
        ("a field whose number is too large", vec![0x85, 0xe5, 0x94, 0xfe, 0xd6, 0, 0, 0, 0, 0]),
    ] {
        assert!(matches!(open(&sealed(&message)), PayloadKind::Plain), "{why}");
    }
}

#[test]
fn what_comes_twice_or_is_not_known_is_read_as_protobuf_says() {
    let message = [
        part(1, b"before its table"),
        vec![9 << 3, 1],
        field(KEY, b"a"),
        field(9 << 3 | 2, b"unknown"),
        field(KEY, b"b"),
        field(PART, &[8, 9, 8, 0, 26, 1, b'x', 26, 1, b'y', 34, 0]),
    ];
    let parts = parts(&sealed(&message.concat())).unwrap();
    let parts: Vec<_> = parts.iter().map(|part| (part.sub, part.key.as_str(), part.data.as_slice())).collect();
    assert_eq!(parts, [(0, "b", &b"before its table"[..]), (1, "a", &b"y"[..])]);
}

#[test]
fn an_aggregate_within_an_aggregate_is_the_payload_of_an_event() {
    let inner = sealed(&[field(KEY, b"k"), part(0, b"x")].concat());
    let parts = parts(&sealed(&[field(KEY, b"k"), part(0, &inner)].concat())).unwrap();
    assert_eq!(parts.iter().map(|part| part.data.as_slice()).collect::<Vec<_>>(), [&inner[..]]);
}

#[test]
fn a_record_of_half_a_megabyte_of_nothing_and_a_long_key_takes_no_more_than_it_is() {
    // 260,000 parts of two bytes, a key of 30 KB, which was cloned for each.
    let message = [field(KEY, &[b'k'; 30_000]), [26, 0].repeat(260_000)].concat();
    assert!(matches!(open(&sealed(&message)), PayloadKind::Plain));
    // The same with all that the format requires: it is sound, and lies in memory as it came.
    let message = [field(KEY, &[b'k'; 256]), part(0, b"").repeat(80_000)].concat();
    let record = sealed(&message);
    let PayloadKind::Several(aggregate) = open(&record) else { panic!("it is sound") };
    assert!(aggregate.size() < record.len() + 1024, "{} of {}", aggregate.size(), record.len());
    assert_eq!(aggregate.count(), 80_000);
}

#[test]
fn too_many_events_or_bytes_are_too_large_a_record_and_not_expanded() {
    let told = |message: &[u8]| match open(&sealed(message)) {
        PayloadKind::TooLarge(why) => why,
        other => panic!("{other:?}"),
    };
    let key = |length| field(KEY, &b"k".repeat(length));
    let many = |count| [key(1), part(0, b"").repeat(count)].concat();
    assert!(told(&many(MOST_EVENTS + 1)).contains("200001 events"));
    assert!(matches!(open(&sealed(&many(MOST_EVENTS))), PayloadKind::Several(_)));
    let most = MOST_BYTES / (256 + EVENT);
    let large = |count| [key(256), part(0, b"").repeat(count)].concat();
    assert!(told(&large(most + 1)).contains("of at most 67108864"));
    assert!(matches!(open(&sealed(&large(most))), PayloadKind::Several(_)));
    // Tables that no event needs.
    assert!(told(&field(KEY, b"").repeat(1_000_000)).contains("200000 events"));
    assert!(told(&field(HASH, b"").repeat(1_000_000)).contains("200000 events"));
}

#[test]
fn every_record_that_the_library_can_make_is_within_the_limit_of_events() {
    const LARGEST: usize = 1 << 20;
    assert!((LARGEST - MAGIC.len() - DIGEST - field(KEY, b"k").len()) / part(0, b"").len() < MOST_EVENTS);
}

#[test]
fn tables_take_a_small_multiple_of_the_record() {
    let count = 100_000u32;
    let keys: Vec<u8> = (0..count).flat_map(|n| field(KEY, n.to_string().as_bytes())).collect();
    let hashes = field(HASH, b"1").repeat(count as usize);
    let record = sealed(&[keys, hashes, part(0, b"")].concat());
    let PayloadKind::Several(aggregate) = open(&record) else { panic!("it is sound") };
    assert!(aggregate.size() < record.len() * 16, "{} of {}", aggregate.size(), record.len());
}

proptest! {
    #[test]
    fn no_payload_breaks_the_decoder(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let PayloadKind::Several(aggregate) = open(&sealed(&payload)) {
            prop_assert!(aggregate.count() <= payload.len());
        }
        let _ = open(&payload.into());
    }

    #[test]
    fn every_part_of_a_message_is_an_event_of_it(
        keys in proptest::collection::vec("[a-z]{0,20}", 1..5),
        hashes in proptest::collection::vec(any::<u128>(), 1..3),
        parts in proptest::collection::vec(
            (0usize..10, proptest::option::of(0usize..3), proptest::collection::vec(any::<u8>(), 0..50)), 0..20),
    ) {
        let made: Vec<_> = parts.iter().map(|(key, hash, data)| (key % keys.len(), hash.map(|h| h % hashes.len()), data)).collect();
        let message = Made {
            keys: keys.iter().map(|key| key.as_bytes().to_vec()).collect(),
            hashes: hashes.iter().map(u128::to_string).collect(),
            parts: made.iter().map(|(key, hash, data)| {
                MadePart { key: *key as u64, hash: hash.map(|hash| hash as u64), data: data.to_vec() }
            }).collect(),
        };
        let expected: Vec<AggregatedEvent> = made.iter().enumerate().map(|(sub, (key, hash, data))| AggregatedEvent {
            sub: sub as u64,
            key: keys[*key].clone(),
            hash: hash.map_or_else(|| u128::from_be_bytes(md5::compute(&keys[*key]).0), |hash| hashes[hash]),
            data: data.to_vec(),
        }).collect();
        prop_assert_eq!(super::tests::parts(&sealed(&message.encode_to_vec())), Some(expected));
    }
}
