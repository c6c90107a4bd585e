//! Exactly-once from topic to topic.

use crate::cluster::{Cluster, PATIENCE, unique};
use crate::routes::{LIMIT, batch, lane, payloads, settings, settle};
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::Batch;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::effect::{Action, OutboxMessage, PutItem, SendMessage};
use esclusa_flow::engine::{Commit, CommitError, Committed, Engine, PendingMessages};
use esclusa_flow::fault::Fault;
use esclusa_flow::item::Item;
use esclusa_flow::reads::Reads;
use esclusa_flow::source::Limit;
use esclusa_kafka::engine::{KafkaEngineSettings, of_transactions};
use esclusa_kafka::reader::KafkaReader;
use esclusa_kafka::sink::KafkaSinkSettings;
use esclusa_testkit::sender::sender;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Keeps dead letters, and nothing else.
#[derive(Default)]
struct Letters(Mutex<Vec<DeadLetter>>);

impl Engine for Letters {
    fn reads(&self) -> Arc<dyn Reads> {
        panic!("no test reads")
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>> {
        self.0.lock().unwrap().extend(commit.dead);
        Box::pin(std::future::ready(Ok(Committed::default())))
    }

    fn pending<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<PendingMessages>, Fault>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn confirm<'a>(&'a self, _: &'a str, _: u64, _: Vec<DeadLetter>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A route from one topic to another, exactly-once.
struct Copying {
    reader: Arc<KafkaReader>,
    engine: Arc<dyn Engine>,
    letters: Arc<Letters>,
}

impl Copying {
    fn new(cluster: &Cluster, from: &str, to: &str, group: &str) -> Self {
        let mut settings = settings(cluster, from, group);
        settings.revoke_timeout = Duration::from_millis(200);
        let reader = KafkaReader::new(settings);
        let letters = Arc::new(Letters::default());
        let parts =
            KafkaEngineSettings { reader: reader.clone(), local: letters.clone(), sender: sender(BTreeMap::new()) };
        let connection = cluster.connection(&[]);
        let topics = BTreeMap::from([("out".to_owned(), KafkaSinkSettings { connection, topic: to.to_owned() })]);
        Copying { reader, engine: of_transactions(parts, topics), letters }
    }
}

/// The commit of a batch that sends each of its values on.
fn copied(batch: &Batch) -> Commit {
    let messages = batch.columns.iter().map(|event| OutboxMessage {
        id: event.id().to_owned(),
        send: SendMessage {
            output: "out".into(),
            key: Some(event.key().to_owned()),
            data: event.data().to_vec(),
            attributes: Vec::new(),
        },
    });
    Commit { outbox: Arc::new(messages.collect()), ..settle(batch, batch.len()) }
}

/// What a read-committed consumer that we did not write finds in partition 0, up to its end.
fn committed_values(cluster: &Cluster, topic: &str) -> Vec<String> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &cluster.brokers.0).set("group.id", unique("observer"));
    config.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut place = TopicPartitionList::new();
    place.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&place).unwrap();
    let (mut values, until) = (Vec::new(), Instant::now() + PATIENCE);
    loop {
        assert!(Instant::now() < until, "the end does not come");
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => values.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap()),
            Some(Err(KafkaError::PartitionEOF(_))) => return values,
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_and_offsets_are_committed_together() {
    let Some(cluster) = Cluster::real() else { return };
    let (from, to, group) = (cluster.topic(1).await, cluster.topic(1).await, unique("group"));
    let values: Vec<String> = (0..50).map(|i| i.to_string()).collect();
    cluster.put(&from, 0, values.iter().map(String::as_str));
    let route = Copying::new(&cluster, &from, &to, &group);
    let mut source = route.reader.open().await.unwrap();
    let mut lane = lane(&mut *source).await;
    let mut done = 0;
    while done < 50 {
        let pulled = batch(&mut *lane, Limit { events: 20, ..LIMIT }).await;
        route.engine.commit(copied(&pulled)).await.unwrap();
        done += pulled.len();
        assert_eq!(cluster.committed(&group, &from, 1).get(&0), Some(&i64::try_from(done).unwrap()));
    }
    assert_eq!(committed_values(&cluster, &to), values);
}

// A member that was killed in the middle of a transaction: nobody sees what it wrote, and readers wait for nobody.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_owner_has_begun_is_ended_by_the_next_one_before_it_reads() {
    let Some(cluster) = Cluster::real() else { return };
    let (from, to, group) = (cluster.topic(1).await, cluster.topic(1).await, unique("group"));
    cluster.put(&from, 0, ["0", "1"]);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &cluster.brokers.0);
    config.set("transactional.id", format!("esclusa-{group}-{from}-0"));
    let killed: BaseProducer = config.create().unwrap();
    killed.init_transactions(PATIENCE).unwrap();
    killed.begin_transaction().unwrap();
    killed.send(BaseRecord::<(), str>::to(&to).partition(0).payload("half")).unwrap();
    killed.flush(PATIENCE).unwrap();
    // Its offset is in the transaction, too: nobody knows the group's offset until somebody ends that.
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &cluster.brokers.0).set("group.id", &group);
    let reader: BaseConsumer = config.create().unwrap();
    let mut moved = TopicPartitionList::new();
    moved.add_partition_offset(&from, 0, Offset::Offset(1)).unwrap();
    killed.send_offsets_to_transaction(&moved, &reader.group_metadata().unwrap(), PATIENCE).unwrap();
    let route = Copying::new(&cluster, &from, &to, &group);
    let mut source = route.reader.open().await.unwrap();
    let mut lane = lane(&mut *source).await;
    let mut done = 0;
    while done < 2 {
        let pulled = batch(&mut *lane, LIMIT).await;
        route.engine.commit(copied(&pulled)).await.unwrap();
        done += pulled.len();
    }
    assert_eq!(committed_values(&cluster, &to), ["0", "1"]);
    assert!(killed.commit_transaction(PATIENCE).is_err(), "it is fenced");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_outlives_its_revocation_is_committed_by_the_next_owner_alone() {
    let Some(cluster) = Cluster::real() else { return };
    let (from, to, group) = (cluster.topic(2).await, cluster.topic(1).await, unique("group"));
    for partition in 0..2 {
        cluster.put(&from, partition, ["0", "1"]);
    }
    let stale = Copying::new(&cluster, &from, &to, &group);
    let mut first = stale.reader.open().await.unwrap();
    let mut work = BTreeMap::new();
    for _ in 0..2 {
        let mut lane = lane(&mut *first).await;
        let pulled = batch(&mut *lane, Limit { window: Duration::from_secs(1), events: 2, ..LIMIT }).await;
        work.insert(lane.id().to_owned(), (lane, pulled));
    }
    let other = Copying::new(&cluster, &from, &to, &group);
    let mut second = other.reader.open().await.unwrap();
    let mut moved = lane(&mut *second).await;
    let (_, pulled) = &work[moved.id()];
    let refused = stale.engine.commit(copied(pulled)).await;
    assert!(matches!(refused, Err(CommitError::Fault(Fault::LeaseLost(_)))), "{refused:?}");
    let again = batch(&mut *moved, Limit { window: Duration::from_secs(1), events: 2, ..LIMIT }).await;
    assert_eq!(payloads(&again), ["0", "1"]);
    other.engine.commit(copied(&again)).await.unwrap();
    for (id, (_, pulled)) in &work {
        if id != moved.id() {
            // It stayed, through a rebalance: the generation that pulled it is over, and its batch comes again.
            let answer = stale.engine.commit(copied(pulled)).await;
            assert!(matches!(answer, Ok(_) | Err(CommitError::Fault(Fault::LeaseLost(_)))), "{answer:?}");
        }
    }
    let rest = work.keys().find(|id| *id != moved.id()).cloned().unwrap();
    if work.remove(&rest).is_some() && committed_values(&cluster, &to).len() == 2 {
        let mut lane = lane(&mut *first).await;
        let again = batch(&mut *lane, Limit { window: Duration::from_secs(1), events: 2, ..LIMIT }).await;
        stale.engine.commit(copied(&again)).await.unwrap();
    }
    let mut values = committed_values(&cluster, &to);
    values.sort();
    assert_eq!(values, ["0", "0", "1", "1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_the_topic_never_takes_is_a_dead_letter_and_the_others_are_committed() {
    let Some(cluster) = Cluster::real() else { return };
    let (from, to, group) = (cluster.topic(1).await, unique("small"), unique("group"));
    cluster.create(&to, 1, &[("max.message.bytes", "20000")]).await;
    let large = "x".repeat(30_000);
    cluster.put(&from, 0, ["0", large.as_str(), "2"]);
    let route = Copying::new(&cluster, &from, &to, &group);
    let mut source = route.reader.open().await.unwrap();
    let mut lane = lane(&mut *source).await;
    let mut done = 0;
    while done < 3 {
        let pulled = batch(&mut *lane, LIMIT).await;
        route.engine.commit(copied(&pulled)).await.unwrap();
        done += pulled.len();
    }
    assert_eq!(committed_values(&cluster, &to), ["0", "2"]);
    let letters = route.letters.0.lock().unwrap();
    let found: Vec<_> = letters.iter().map(|letter| (letter.event.clone(), letter.data.len())).collect();
    assert_eq!(found, [(format!("{from}-0-1"), 30_000)], "once");
    assert_eq!(cluster.committed(&group, &from, 1).get(&0), Some(&3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_transaction_of_kafka_can_hold_is_refused() {
    let Some(cluster) = Cluster::real() else { return };
    let (from, to, group) = (cluster.topic(1).await, cluster.topic(1).await, unique("group"));
    cluster.put(&from, 0, ["0"]);
    let route = Copying::new(&cluster, &from, &to, &group);
    let mut source = route.reader.open().await.unwrap();
    let mut lane = lane(&mut *source).await;
    let pulled = batch(&mut *lane, LIMIT).await;
    let put = Action::Put(PutItem { table: "t".into(), item: Item::default(), guard: None });
    let answer = route.engine.commit(Commit { actions: vec![put], ..copied(&pulled) }).await;
    assert!(matches!(&answer, Err(CommitError::Refused(refused)) if refused.len() == 1), "{answer:?}");
    assert!(committed_values(&cluster, &to).is_empty());
}
