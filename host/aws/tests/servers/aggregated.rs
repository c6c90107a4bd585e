//! Records of Kinesis that the Kinesis Producer Library aggregated.

use super::fleet::*;
use super::kinesis::TestStream;
use esclusa_flow::settings::Start;
use esclusa_flow::source::Limit;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct Aggregated {
    #[prost(string, repeated, tag = "1")]
    keys: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    hashes: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    parts: Vec<AggregatedPart>,
}

#[derive(Clone, PartialEq, Message)]
struct AggregatedPart {
    #[prost(uint64, required, tag = "1")]
    key: u64,
    #[prost(uint64, optional, tag = "2")]
    hash: Option<u64>,
    #[prost(bytes = "vec", required, tag = "3")]
    data: Vec<u8>,
}

fn record(key: &str, parts: Vec<AggregatedPart>) -> Vec<u8> {
    let message = Aggregated { keys: vec![key.into()], hashes: vec![], parts }.encode_to_vec();
    [&[0xF3, 0x89, 0x9A, 0xC2][..], &message, &md5::compute(&message).0].concat()
}

#[tokio::test]
async fn an_aggregated_record_is_settled_event_by_event() {
    // K14, K15
    let stream = TestStream::new(1).await;
    let part = |data: &str| AggregatedPart { key: 0, hash: None, data: data.into() };
    let record = record("k", vec![part("a"), part("b"), part("c")]);
    let mut broken = record.clone();
    *broken.last_mut().unwrap() ^= 1;
    stream.put(&[("x".into(), record), ("x".into(), broken.clone())]).await;
    let table = unique("leases");
    let (mut source, progress_store) = stream.open(Start::TrimHorizon, leases(&table, "one")).await;
    let mut lane = source.next_lane().await.unwrap().unwrap();
    let batch = next_batch(&mut *lane, Limit { events: 2, ..LIMIT }).await;
    assert_eq!(batch.columns.iter().map(|e| e.data().to_vec()).collect::<Vec<_>>(), [b"a", b"b"]);
    assert!(batch.columns.iter().all(|e| e.key() == "k") && batch.columns.get(1).unwrap().id().ends_with("/1"));
    progress_store.unwrap().settle(lane.id(), &progress(&batch, 2)).await.unwrap();
    drop(lane);
    source.close().await;
    let (mut source, progress_store) = stream.open(Start::TrimHorizon, leases(&table, "two")).await;
    let mut lane = source.next_lane().await.unwrap().unwrap();
    let batch = next_batch(&mut *lane, LIMIT).await;
    assert_eq!(batch.columns.iter().map(|e| e.data().to_vec()).collect::<Vec<_>>(), [b"c".to_vec(), broken]);
    progress_store.unwrap().settle(lane.id(), &progress(&batch, 2)).await.unwrap();
    source.close().await;
}

#[tokio::test]
async fn a_record_of_very_many_events_is_given_batch_by_batch_and_one_that_is_too_large_whole() {
    let stream = TestStream::new(1).await;
    let empty = || AggregatedPart { key: 0, hash: None, data: Vec::new() };
    let many = record(&"k".repeat(256), vec![empty(); 80_000]);
    let too_many = record(&"\u{1F6A2}".repeat(256), vec![empty(); 80_000]);
    stream.put(&[("x".into(), many)]).await;
    stream.put(&[("x".into(), too_many.clone())]).await;
    let (mut source, progress_store) = stream.open(Start::TrimHorizon, leases(&unique("leases"), "one")).await;
    let progress_store = progress_store.unwrap();
    let mut lane = source.next_lane().await.unwrap().unwrap();
    let mut events = 0;
    let whole = Limit { events: 20_000, bytes: 64 << 20, ..LIMIT };
    while events < 80_000 {
        let batch = next_batch(&mut *lane, whole).await;
        assert_eq!(batch.columns.get(0).unwrap().id().split_once('/').unwrap().1, events.to_string());
        assert!(batch.columns.size() <= whole.bytes && batch.claims.iter().all(|claim| claim.refusal().is_none()));
        events += batch.len();
        progress_store.settle(lane.id(), &progress(&batch, batch.len())).await.unwrap();
        tell(&mut *lane, &batch, batch.len());
    }
    let batch = next_batch(&mut *lane, whole).await;
    assert_eq!(batch.columns.get(0).unwrap().data(), too_many);
    assert_eq!((batch.len(), batch.claims[0].refusal().unwrap().code.as_str()), (1, "limit.aggregate"));
    source.close().await;
}
