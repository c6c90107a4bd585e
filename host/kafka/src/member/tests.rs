//! What a member owes its group.

use super::*;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::Offset;

fn member() -> (Arc<Member>, Arc<Partition>) {
    let rules = Rules {
        route: "r".into(),
        group: Some("g".to_owned()),
        topics: vec!["t".to_owned()],
        all: Vec::new(),
        start: Start::TrimHorizon,
        positions: None,
        sole: false,
        revoke_timeout: Duration::ZERO,
        fence: None,
        lag: Arc::default(),
    };
    let member = Member::new(rules, Handle::current());
    let partition = Partition::new(("t", 0), None, Beginning::default(), Arc::default(), Arc::default());
    member.partitions.lock().insert(partition.id.clone(), partition.clone());
    (member, partition)
}

/// A list of the only partition, with an offset.
fn at(offset: i64) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("t", 0, Offset::Offset(offset)).unwrap();
    list
}

#[tokio::test]
async fn an_offset_is_owed_until_the_group_has_taken_it() {
    let (member, partition) = member();
    partition.settle(&Token::Offset(4)).unwrap();
    assert_eq!(partition.owed(), Some(5));
    for code in
        [RDKafkaErrorCode::RebalanceInProgress, RDKafkaErrorCode::NotCoordinator, RDKafkaErrorCode::RequestTimedOut]
    {
        member.committed(Err(KafkaError::ConsumerCommit(code)), &at(5));
        assert_eq!(partition.owed(), Some(5), "{code}: it is told again");
    }
    // Settled meanwhile: the answer is about an older offset.
    partition.settle(&Token::Offset(8)).unwrap();
    member.committed(Ok(()), &at(5));
    assert_eq!(partition.owed(), Some(9));
    member.committed(Ok(()), &at(9));
    assert_eq!(partition.owed(), None);
}
