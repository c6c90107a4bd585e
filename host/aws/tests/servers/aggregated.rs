//! Records of Kinesis that the Kinesis Producer Library aggregated.

use super::fleet::*;
use super::kinesis::TestStream;
use esclusa_aws::shards::Start;
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

#[tokio::test]
async fn an_aggregated_record_is_settled_event_by_event() {
    // K14, K15
    let stream = TestStream::new(1).await;
    let part = |data: &str| AggregatedPart { key: 0, hash: None, data: data.into() };
    let message = Aggregated { keys: vec!["k".into()], hashes: vec![], parts: vec![part("a"), part("b"), part("c")] }
        .encode_to_vec();
    let record = [&[0xF3, 0x89, 0x9A, 0xC2][..], &message, &md5::compute(&message).0].concat();
    let mut broken = record.clone();
    *broken.last_mut().unwrap() ^= 1;
    stream.put(&[("x".into(), record), ("x".into(), broken.clone())]).await;
    let table = unique("leases");
    let (mut source, keeper) = stream.open(Start::TrimHorizon, leases(&table, "one")).await;
    let mut lane = source.next_lane().await.unwrap().unwrap();
    let batch = next_batch(&mut *lane, Limit { events: 2, ..LIMIT }).await;
    assert_eq!(batch.columns.iter().map(|e| e.data().to_vec()).collect::<Vec<_>>(), [b"a", b"b"]);
    assert!(batch.columns.iter().all(|e| e.key() == "k") && batch.columns.get(1).unwrap().id().ends_with("/1"));
    keeper.unwrap().settle(lane.id(), &progress(&batch, 2)).await.unwrap();
    drop(lane);
    source.close().await;
    let (mut source, keeper) = stream.open(Start::TrimHorizon, leases(&table, "two")).await;
    let mut lane = source.next_lane().await.unwrap().unwrap();
    let batch = next_batch(&mut *lane, LIMIT).await;
    assert_eq!(batch.columns.iter().map(|e| e.data().to_vec()).collect::<Vec<_>>(), [b"c".to_vec(), broken]);
    keeper.unwrap().settle(lane.id(), &progress(&batch, 2)).await.unwrap();
    source.close().await;
}
