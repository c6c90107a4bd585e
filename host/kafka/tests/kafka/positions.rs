//! Where a partition is read from, and what is counted as a gap.

use crate::cluster::{Cluster, unique};
use crate::routes::{Kept, LIMIT, Route, batch, drained, lane, payloads, settings, settle, take, until};
use esclusa_flow::batch::Token;
use esclusa_flow::engine::CommitError;
use esclusa_flow::fault::Fault;
use esclusa_flow::lag::LanePlace;
use esclusa_flow::settings::Start;
use esclusa_flow::source::Limit;
use esclusa_kafka::reader::Positioning;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::collections::BTreeMap;
use std::time::Duration;

fn place(route: &Route, topic: &str) -> Option<LanePlace> {
    route.lag.lanes().get(&format!("{topic}-0"))?.place
}

#[tokio::test(flavor = "multi_thread")]
async fn the_position_of_a_store_wins_over_the_offset_of_the_group() {
    let cluster = Cluster::any();
    let (topic, group, kept) = (cluster.topic(1).await, unique("group"), Kept::default());
    cluster.put(&topic, 0, ["0", "1", "2", "3"]);
    cluster.commit(&group, &topic, 0, 1);
    let mut settings = settings(&cluster, &topic, &group);
    settings.positioning = Positioning::Shared(kept.positions(&group));
    kept.0.lock().unwrap().insert((group.clone(), format!("{topic}-0")), Token::Offset(2));
    let route = Route::new(settings, &kept, BTreeMap::new());
    let mut source = route.open().await;
    let mut lane = lane(&mut *source).await;
    let pulled = batch(&mut *lane, LIMIT).await;
    assert_eq!((payloads(&pulled), pulled.previous.clone()), (vec!["3".to_owned()], Some(Token::Offset(2))));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_start_is_decided_once_for_the_group() {
    let cluster = Cluster::any();
    let (topic, group) = (cluster.topic(2).await, unique("group"));
    cluster.put(&topic, 0, ["old"]);
    cluster.put(&topic, 1, ["old"]);
    let mut settings = settings(&cluster, &topic, &group);
    settings.start = Start::Latest;
    let route = Route::new(settings.clone(), &Kept::default(), BTreeMap::new());
    let mut source = route.open().await;
    let (first, second) = (lane(&mut *source).await, lane(&mut *source).await);
    drop((first, second));
    source.close().await;
    drop(source);
    // Nobody reads meanwhile: what comes now is new, and a later start reads it.
    cluster.put(&topic, 0, ["new"]);
    cluster.put(&topic, 1, ["new"]);
    let route = Route::new(settings, &Kept::default(), BTreeMap::new());
    let mut source = route.open().await;
    for _ in 0..2 {
        let mut lane = lane(&mut *source).await;
        assert_eq!(take(&route, &mut *lane, 1).await, ["new"]);
        std::mem::forget(lane);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_are_read_from_their_start() {
    let Some(cluster) = Cluster::real() else { return };
    let (topic, group) = (cluster.topic(1).await, unique("group"));
    let mut settings = settings(&cluster, &topic, &group);
    settings.start = Start::Latest;
    let route = Route::new(settings, &Kept::default(), BTreeMap::new());
    let mut source = route.open().await;
    let mut first = lane(&mut *source).await;
    drained(&mut *first).await;
    cluster.grow(&topic, 3).await;
    cluster.put(&topic, 1, ["early"]);
    cluster.put(&topic, 2, ["early"]);
    let (mut second, mut third) = (lane(&mut *source).await, lane(&mut *source).await);
    assert_eq!(take(&route, &mut *second, 1).await, ["early"]);
    assert_eq!(take(&route, &mut *third, 1).await, ["early"]);
    assert_eq!(route.lag.gaps(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_beyond_the_end_is_a_counted_gap_and_no_stall() {
    let cluster = Cluster::any();
    let (topic, group) = (cluster.topic(1).await, unique("group"));
    cluster.put(&topic, 0, ["0", "1"]);
    cluster.commit(&group, &topic, 0, 1000);
    let route = Route::new(settings(&cluster, &topic, &group), &Kept::default(), BTreeMap::new());
    let mut source = route.open().await;
    let mut lane = lane(&mut *source).await;
    assert_eq!(take(&route, &mut *lane, 2).await, ["0", "1"]);
    assert_eq!(route.lag.gaps(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_were_deleted_before_they_were_read_are_a_counted_gap() {
    let Some(cluster) = Cluster::real() else { return };
    let (topic, group) = (cluster.topic(1).await, unique("group"));
    cluster.put(&topic, 0, ["0", "1", "2", "3"]);
    cluster.commit(&group, &topic, 0, 1);
    cluster.cut(&topic, 0, 3).await;
    let route = Route::new(settings(&cluster, &topic, &group), &Kept::default(), BTreeMap::new());
    let mut source = route.open().await;
    let mut lane = lane(&mut *source).await;
    assert_eq!(take(&route, &mut *lane, 1).await, ["3"]);
    until("the gap is counted", || route.lag.gaps() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_made_again_under_its_name_starts_over() {
    let Some(cluster) = Cluster::real() else { return };
    let (topic, group) = (cluster.topic(1).await, unique("group"));
    cluster.put(&topic, 0, ["0", "1", "2"]);
    let mut settings = settings(&cluster, &topic, &group);
    settings.start = Start::Latest;
    cluster.commit(&group, &topic, 0, 0);
    let route = Route::new(settings, &Kept::default(), BTreeMap::new());
    let mut source = route.open().await;
    let mut first = lane(&mut *source).await;
    assert_eq!(take(&route, &mut *first, 3).await, ["0", "1", "2"]);
    cluster.delete(&topic).await;
    cluster.create(&topic, 1, &[]).await;
    cluster.put(&topic, 0, ["again"]);
    // The lane goes on, or it is lost and comes again: both read the new topic from its first record.
    let mut values = Vec::new();
    while values.is_empty() {
        match first.pull(LIMIT).await {
            Ok(esclusa_flow::source::Pull::Batch(pulled)) => values.extend(payloads(&pulled)),
            Ok(_) => first.ready().await,
            Err(Fault::LeaseLost(_)) => {
                drop(first);
                first = lane(&mut *source).await;
            }
            Err(_) => first.ready().await,
        }
    }
    assert_eq!(values, ["again"]);
}

// A read-committed reader gets neither aborted records nor those that end transactions, and its group's offset stays below the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_ends_in_records_of_transactions_is_idle_and_has_no_lag() {
    let Some(cluster) = Cluster::real() else { return };
    let topic = cluster.topic(1).await;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &cluster.brokers.0).set("transactional.id", unique("tx"));
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(Duration::from_secs(30)).unwrap();
    let send = |value: &str| producer.send(BaseRecord::<(), str>::to(&topic).partition(0).payload(value)).unwrap();
    producer.begin_transaction().unwrap();
    send("kept");
    producer.commit_transaction(Duration::from_secs(30)).unwrap();
    producer.begin_transaction().unwrap();
    send("aborted");
    producer.flush(Duration::from_secs(30)).unwrap();
    producer.abort_transaction(Duration::from_secs(30)).unwrap();
    let route = Route::reading(&cluster, &topic);
    let mut source = route.open().await;
    let mut lane = lane(&mut *source).await;
    assert_eq!(take(&route, &mut *lane, 1).await, ["kept"]);
    drained(&mut *lane).await;
    until("the end is known", || place(&route, &topic).is_some_and(|place| place.end == 4)).await;
    assert_eq!(place(&route, &topic), Some(LanePlace { position: 1, end: 4, records: 0 }));
    // Opened anew at an offset below the end, with nothing behind it but such records: idle all the same.
    source.close().await;
    drop((lane, source));
    let mut source = route.open().await;
    drained(&mut *crate::routes::lane(&mut *source).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_is_what_is_not_settled() {
    let cluster = Cluster::any();
    let topic = cluster.topic(1).await;
    let values: Vec<String> = (0..50).map(|i| i.to_string()).collect();
    cluster.put(&topic, 0, values.iter().map(String::as_str));
    let route = Route::reading(&cluster, &topic);
    let mut source = route.open().await;
    let mut lane = lane(&mut *source).await;
    until("the lag is known", || place(&route, &topic).is_some_and(|place| place.records == 50)).await;
    take(&route, &mut *lane, 20).await;
    assert_eq!(place(&route, &topic), Some(LanePlace { position: 20, end: 50, records: 30 }));
    assert!(route.lag.lanes()[&format!("{topic}-0")].behind_millis.is_some());
    take(&route, &mut *lane, 30).await;
    drained(&mut *lane).await;
    assert_eq!(place(&route, &topic), Some(LanePlace { position: 50, end: 50, records: 0 }));
    assert_eq!(route.lag.lanes()[&format!("{topic}-0")].behind_millis, Some(0));
}

// A plugin that halts its route leaves a batch behind: what comes after it must not be committed over it.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_was_dropped_keeps_the_next_one_from_being_committed_and_comes_again() {
    let cluster = Cluster::any();
    let topic = cluster.topic(1).await;
    cluster.put(&topic, 0, ["0", "1", "2", "3"]);
    let route = Route::reading(&cluster, &topic);
    let mut source = route.open().await;
    let mut lane = lane(&mut *source).await;
    let two = Limit { events: 2, ..LIMIT };
    let dropped = batch(&mut *lane, two).await;
    assert_eq!(payloads(&dropped), ["0", "1"]);
    drop(dropped);
    let next = batch(&mut *lane, two).await;
    let refused = route.engine.commit(settle(&next, next.len())).await;
    assert!(matches!(refused, Err(CommitError::Fault(Fault::LeaseLost(_)))), "{refused:?}");
    drop((lane, next));
    let mut lane = crate::routes::lane(&mut *source).await;
    assert_eq!(take(&route, &mut *lane, 4).await, ["0", "1", "2", "3"]);
}
