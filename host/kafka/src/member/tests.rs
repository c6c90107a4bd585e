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
        lanes: Arc::default(),
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
    member.committed(Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NotCoordinator)), &at(9));
    assert_ne!(member.state.lock().refusals, offsets::Refusals::default(), "how long is counted");
    member.committed(Ok(()), &at(9));
    assert_eq!(partition.owed(), None);
    assert_eq!(member.state.lock().refusals, offsets::Refusals::default());
}

#[test]
fn a_group_that_refuses_offsets_is_told_of_once_a_minute() {
    let (start, mut refusals) = (Instant::now(), offsets::Refusals::default());
    let mut refused = |seconds| refusals.refused(start + Duration::from_secs(seconds)).map(|long| long.as_secs());
    assert_eq!([0, 1, 59].map(&mut refused), [None; 3], "it may rebalance");
    assert_eq!([60, 61, 119, 120, 130].map(&mut refused), [Some(60), None, None, Some(120), None]);
}
