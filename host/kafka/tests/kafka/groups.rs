//! Members of a group: partitions that come and go.

use crate::cluster::{Cluster, PATIENCE, unique};
use crate::routes::{Kept, LIMIT, Route, batch, lane, payloads, settings, settle, take, until};
use esclusa_flow::BoxFuture;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::effect::{OutboxMessage, SendMessage};
use esclusa_flow::engine::{Commit, CommitError, Progress, SendError, Sink};
use esclusa_flow::fault::Fault;
use esclusa_flow::source::{Lane, Limit, Pull, Source};
use esclusa_flow::timestamp::Timestamp;
use esclusa_kafka::codes::{INSTANCE_TAKEN, SECOND_MEMBER};
use esclusa_kafka::reader::{KafkaGroup, KafkaSourceSettings, Positioning};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::timeout;

fn member(cluster: &Cluster, topic: &str, group: &str) -> Route {
    Route::new(settings(cluster, topic, group), &Kept::default(), BTreeMap::new())
}

/// Pulls until the lane is lost.
async fn lost(lane: &mut dyn Lane) -> Fault {
    timeout(PATIENCE, async {
        loop {
            match lane.pull(LIMIT).await {
                Err(fault @ Fault::LeaseLost(_)) => return fault,
                _ => lane.ready().await,
            }
        }
    })
    .await
    .expect("the lane is lost")
}

/// The lanes that a source gives until there are so many.
async fn lanes(source: &mut dyn Source, count: usize) -> BTreeMap<String, Box<dyn Lane>> {
    let mut lanes = BTreeMap::new();
    while lanes.len() < count {
        let lane = lane(source).await;
        lanes.insert(lane.id().to_owned(), lane);
    }
    lanes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_goes_waits_for_its_batch_and_the_next_member_reads_on_behind_it() {
    let cluster = Cluster::any();
    let (topic, group) = (cluster.topic(2).await, unique("group"));
    for partition in 0..2 {
        cluster.put(&topic, partition, ["0", "1", "2"]);
    }
    let (one, two) = (member(&cluster, &topic, &group), member(&cluster, &topic, &group));
    let mut first = one.open().await;
    let mut held = lanes(&mut *first, 2).await;
    let limit = Limit { events: 2, ..LIMIT };
    let mut work = Vec::new();
    for lane in held.values_mut() {
        work.push(batch(&mut **lane, limit).await);
    }
    let mut second = two.open().await;
    let joined = lane(&mut *second);
    let settled = async {
        // The group waits: nothing comes to the second member until the batch that is in work is settled.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        for batch in &work {
            one.engine.commit(settle(batch, 2)).await.unwrap();
        }
    };
    let (mut moved, ()) = tokio::join!(joined, settled);
    assert_eq!(take(&two, &mut *moved, 1).await, ["2"], "behind what the first member has settled");
    let gone = held.remove(moved.id()).expect("it was the first member's");
    let mut gone = gone;
    lost(&mut *gone).await;
    let (_, kept) = held.iter_mut().next().unwrap();
    assert_eq!(take(&one, &mut **kept, 1).await, ["2"], "the other partition goes on");
}

/// Takes what it is given at the third try.
#[derive(Default)]
struct Slow(Mutex<u32>);

impl Sink for Slow {
    fn send<'a>(&'a self, messages: &'a [OutboxMessage]) -> BoxFuture<'a, Vec<Result<(), SendError>>> {
        let mut tries = self.0.lock().unwrap();
        *tries += 1;
        let answer = || if *tries < 3 { Err(Fault::Transient("not now".into()).into()) } else { Ok(()) };
        Box::pin(std::future::ready(messages.iter().map(|_| answer()).collect()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_sent_before_the_offset_is_settled_and_recorded_if_there_is_none() {
    let cluster = Cluster::any();
    let (topic, slow) = (cluster.topic(1).await, Arc::new(Slow::default()));
    cluster.put(&topic, 0, ["0"]);
    let sinks = BTreeMap::from([("out".to_owned(), slow.clone() as Arc<dyn Sink>)]);
    let route = Route::new(settings(&cluster, &topic, &unique("group")), &Kept::default(), sinks);
    let mut source = route.open().await;
    let mut lane = lane(&mut *source).await;
    let pulled = batch(&mut *lane, LIMIT).await;
    let send = SendMessage { output: "out".into(), key: None, data: vec![1], attributes: Vec::new() };
    let message = OutboxMessage { id: "m".into(), send };
    let commit = Commit { outbox: vec![message].into(), ..settle(&pulled, 1) };
    // A redrive: its receiver may be away for long.
    let aside = Commit { progress: Progress::None, ..commit.clone() };
    let recorded = route.engine.commit(aside).await.unwrap();
    assert_eq!((recorded.outbox.is_some(), *slow.0.lock().unwrap()), (true, 0));
    let sent = route.engine.commit(commit).await.unwrap();
    assert_eq!((sent.outbox, *slow.0.lock().unwrap()), (None, 3));
}

// Each try would send the messages again until somebody makes room.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_while_there_is_no_room_for_the_dead_letters_of_a_batch() {
    let cluster = Cluster::any();
    let (topic, taken) = (cluster.topic(1).await, Arc::new(Slow(Mutex::new(3))));
    cluster.put(&topic, 0, ["0", "1"]);
    let sinks = BTreeMap::from([("out".to_owned(), taken.clone() as Arc<dyn Sink>)]);
    let kept = Kept::default();
    let route = Route::new(settings(&cluster, &topic, &unique("group")), &kept, sinks);
    let mut source = route.open().await;
    let mut lane = lane(&mut *source).await;
    let pulled = batch(&mut *lane, LIMIT).await;
    let send = SendMessage { output: "out".into(), key: None, data: vec![1], attributes: Vec::new() };
    let message = |id: &str| OutboxMessage { id: id.into(), send: send.clone() };
    let settled = settle(&pulled, pulled.len());
    let sender = settled.sender(Timestamp::default());
    let letter = DeadLetter::of_message(&sender, message("given up"), &Fault::Permanent("never".into()), 1);
    let commit = Commit { outbox: vec![message("m")].into(), dead: vec![letter], ..settled.clone() };
    kept.1.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        let Err(CommitError::Fault(full)) = route.engine.commit(commit.clone()).await else { panic!("taken") };
        assert_eq!((full.code(), *taken.0.lock().unwrap()), (Some("store.dead-letters-full"), 3));
    }
    // A batch without dead letters needs no room.
    kept.1.store(false, Ordering::Relaxed);
    route.engine.commit(commit).await.unwrap();
    assert_eq!(*taken.0.lock().unwrap(), 4);
}

// librdkafka goes on from its own place after a pause and a new assignment, unless it is told where to read.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_comes_back_is_read_behind_what_the_other_member_has_settled() {
    let cluster = Cluster::any();
    let (topic, group) = (cluster.topic(1).await, unique("group"));
    let values: Vec<String> = (0..30).map(|i| i.to_string()).collect();
    cluster.put(&topic, 0, values.iter().map(String::as_str));
    let one = member(&cluster, &topic, &group);
    let mut first = one.open().await;
    let mut lane_one = lane(&mut *first).await;
    assert_eq!(take(&one, &mut *lane_one, 10).await, values[..10]);
    // Read ahead, and dropped with the lane.
    let _ = batch(&mut *lane_one, LIMIT).await;
    drop(lane_one);
    first.close().await;
    drop(first);
    let two = member(&cluster, &topic, &group);
    let mut second = two.open().await;
    let mut lane_two = lane(&mut *second).await;
    assert_eq!(take(&two, &mut *lane_two, 10).await, values[10..20]);
    drop(lane_two);
    second.close().await;
    drop(second);
    let mut first = one.open().await;
    let mut lane_one = lane(&mut *first).await;
    assert_eq!(take(&one, &mut *lane_one, 10).await, values[20..]);
}

// Its partition has come back without a position of its own, as it was when the batch began.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_outlives_two_rebalances_commits_nothing_through_the_partition_that_came_back() {
    let cluster = Cluster::any();
    let (topic, group) = (cluster.topic(1).await, unique("group"));
    cluster.put(&topic, 0, ["0", "1", "2", "3"]);
    let short =
        KafkaSourceSettings { revoke_timeout: Duration::from_millis(100), ..settings(&cluster, &topic, &group) };
    let one = Route::new(short, &Kept::default(), BTreeMap::new());
    let mut first = one.open().await;
    let mut stale = lane(&mut *first).await;
    let outlived = batch(&mut *stale, Limit { events: 1, ..LIMIT }).await;
    // The consumer ends and joins again as a new member, while a lane of the old one has its batch in work.
    first.close().await;
    let two = member(&cluster, &topic, &group);
    let mut second = two.open().await;
    let mut moved = lane(&mut *second).await;
    assert_eq!(take(&two, &mut *moved, 3).await, ["0", "1", "2"]);
    drop(moved);
    second.close().await;
    let mut again = one.open().await;
    let waits = timeout(Duration::from_secs(2), again.next_lane()).await;
    assert!(waits.is_err(), "a lane of its name is there");
    assert!(matches!(stale.lost(), Some(Fault::LeaseLost(_))), "its next call is not made");
    until("the partition is back", || one.lag.lanes().contains_key(stale.id())).await;
    let refused = one.engine.commit(settle(&outlived, 1)).await;
    assert!(matches!(refused, Err(CommitError::Fault(Fault::LeaseLost(_)))), "{refused:?}");
    drop(stale);
    assert_eq!(take(&one, &mut *lane(&mut *again).await, 1).await, ["3"]);
    until("the group is told", || cluster.committed(&group, &topic, 1).get(&0) == Some(&4)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_partition_commits_nothing_and_comes_again() {
    let cluster = Cluster::mock(1);
    let (topic, group) = (cluster.topic(1).await, unique("group"));
    cluster.put(&topic, 0, ["0", "1"]);
    let route = member(&cluster, &topic, &group);
    let mut source = route.open().await;
    let mut first = lane(&mut *source).await;
    let pulled = batch(&mut *first, Limit { events: 1, ..LIMIT }).await;
    let unknown = rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID;
    cluster.mock.as_ref().unwrap().request_errors(rdkafka::types::RDKafkaApiKey::Heartbeat, &[unknown]);
    lost(&mut *first).await;
    let refused = route.engine.commit(settle(&pulled, 1)).await;
    assert!(matches!(refused, Err(CommitError::Fault(Fault::LeaseLost(_)))), "{refused:?}");
    drop(first);
    let mut again = lane(&mut *source).await;
    assert_eq!(take(&route, &mut *again, 2).await, ["0", "1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_moves_is_followed() {
    let cluster = Cluster::mock(2);
    let (topic, group) = (cluster.topic(1).await, unique("group"));
    let mock = cluster.mock.as_ref().unwrap();
    mock.coordinator(rdkafka::mocking::MockCoordinator::Group(group.clone()), 1).unwrap();
    cluster.put(&topic, 0, ["0"]);
    let route = member(&cluster, &topic, &group);
    let mut source = route.open().await;
    let mut lane = lane(&mut *source).await;
    assert_eq!(take(&route, &mut *lane, 1).await, ["0"]);
    until("the group is told", || cluster.committed(&group, &topic, 1).get(&0) == Some(&1)).await;
    mock.coordinator(rdkafka::mocking::MockCoordinator::Group(group.clone()), 2).unwrap();
    cluster.put(&topic, 0, ["1"]);
    // The mock cluster forgets its members with the move: the lane goes on, or it comes again.
    let mut values = Vec::new();
    while values.is_empty() {
        match lane.pull(LIMIT).await {
            Ok(Pull::Batch(pulled)) => {
                if route.engine.commit(settle(&pulled, pulled.len())).await.is_ok() {
                    values.extend(payloads(&pulled));
                }
            }
            Err(Fault::LeaseLost(_)) => {
                drop(lane);
                lane = crate::routes::lane(&mut *source).await;
            }
            _ => lane.ready().await,
        }
    }
    assert!(values.ends_with(&["1".to_owned()]), "{values:?}");
    until("the new coordinator is told", || cluster.committed(&group, &topic, 1).get(&0) == Some(&2)).await;
}

// Callbacks run only while the queue is polled, and max.poll.interval.ms throws a member out that does not poll.
#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_pulls_nothing_stays_a_member_and_reads_ahead_within_its_limit() {
    let cluster = Cluster::mock(1);
    let (topic, group) = (cluster.topic(1).await, unique("group"));
    let value = "x".repeat(10_000);
    cluster.put(&topic, 0, std::iter::repeat_n(value.as_str(), 1000));
    let mut settings = settings(&cluster, &topic, &group);
    settings.read_ahead = 256 << 10;
    settings.connection.client.insert("session.timeout.ms".into(), "6000".into());
    settings.connection.client.insert("max.poll.interval.ms".into(), "6000".into());
    let route = Route::new(settings, &Kept::default(), BTreeMap::new());
    let mut source = route.open().await;
    let mut lane = lane(&mut *source).await;
    take(&route, &mut *lane, 1).await;
    // Longer than a member may go without a poll.
    tokio::time::sleep(Duration::from_secs(8)).await;
    take(&route, &mut *lane, 1).await;
    // What comes without a broker was read ahead.
    cluster.mock.as_ref().unwrap().broker_down(1).unwrap();
    let mut ahead = 0;
    while let Ok(Pull::Batch(pulled)) = lane.pull(LIMIT).await {
        ahead += pulled.len() * value.len();
    }
    assert!((1..1 << 20).contains(&ahead), "10 MB are in the topic, and {ahead} bytes were read ahead");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_member_is_refused_if_each_has_a_store_of_its_own() {
    let Some(cluster) = Cluster::real() else { return };
    let (topic, group) = (cluster.topic(2).await, unique("group"));
    let own = || {
        let kept = Kept::default();
        let mut settings = settings(&cluster, &topic, &group);
        settings.positioning = Positioning::Own(kept.positions(&group));
        Route::new(settings, &kept, BTreeMap::new())
    };
    let (one, two) = (own(), own());
    let mut first = one.open().await;
    let mut held = lanes(&mut *first, 2).await;
    cluster.put(&topic, 0, ["0"]);
    let lane_id = format!("{topic}-0");
    let pulled = batch(&mut **held.get_mut(&lane_id).unwrap(), LIMIT).await;
    let mut second = two.open().await;
    let refused = timeout(PATIENCE, async {
        loop {
            match second.next_lane().await {
                Err(Fault::Refused { code, .. }) => return code,
                Ok(_) => panic!("the second member reads"),
                Err(fault) => eprintln!("{fault}"),
            }
        }
    });
    assert_eq!(refused.await.unwrap(), SECOND_MEMBER);
    for lane in held.values_mut() {
        lost(&mut **lane).await;
    }
    let answer = one.engine.commit(settle(&pulled, 1)).await;
    assert!(matches!(answer, Err(CommitError::Fault(Fault::LeaseLost(_)))), "{answer:?}");
    drop(held);
    // The second one leaves: the first goes on, and has lost nothing.
    second.close().await;
    drop(second);
    let mut again = timeout(PATIENCE, async {
        loop {
            match first.next_lane().await {
                Ok(Some(lane)) if lane.id() == lane_id => return lane,
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(take(&one, &mut *again, 1).await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_member_that_comes_back_has_its_partitions_at_once() {
    let Some(cluster) = Cluster::real() else { return };
    let (topic, group) = (cluster.topic(2).await, unique("group"));
    let open = || {
        let mut settings = settings(&cluster, &topic, &group);
        settings.group = Some(KafkaGroup { id: group.clone(), instance: Some("pod-1".into()) });
        Route::new(settings, &Kept::default(), BTreeMap::new())
    };
    let one = open();
    let mut first = one.open().await;
    let names: BTreeSet<String> = lanes(&mut *first, 2).await.into_keys().collect();
    first.close().await;
    let two = open();
    let mut second = two.open().await;
    assert_eq!(lanes(&mut *second, 2).await.into_keys().collect::<BTreeSet<_>>(), names);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_with_one_instance_id_are_told_and_the_one_that_leaves_makes_room() {
    let Some(cluster) = Cluster::real() else { return };
    let (topic, group) = (cluster.topic(1).await, unique("group"));
    let open = || {
        let mut settings = settings(&cluster, &topic, &group);
        settings.group = Some(KafkaGroup { id: group.clone(), instance: Some("pod-1".into()) });
        Route::new(settings, &Kept::default(), BTreeMap::new())
    };
    let (one, two) = (open(), open());
    let mut first = one.open().await;
    let held = lane(&mut *first).await;
    let mut second = two.open().await;
    let told = timeout(PATIENCE, async {
        loop {
            match first.next_lane().await {
                Err(Fault::Refused { code, .. }) => return code,
                Ok(_) => panic!("it has its only lane"),
                Err(fault) => eprintln!("{fault}"),
            }
        }
    });
    assert_eq!(told.await.unwrap(), INSTANCE_TAKEN);
    drop(held);
    second.close().await;
    drop(second);
    // As a new member.
    lane(&mut *first).await;
}
