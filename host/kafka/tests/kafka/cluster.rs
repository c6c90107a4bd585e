//! Brokers for a test: Apache Kafka if the environment names it, else librdkafka's mock cluster.

use esclusa_flow::settings::KafkaConnection;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Longest that a test waits for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

static NAMES: AtomicU32 = AtomicU32::new(0);

/// A name that no other test has, also not one of another run.
pub(crate) fn unique(prefix: &str) -> String {
    format!("{prefix}-{}-{}", std::process::id(), NAMES.fetch_add(1, Ordering::Relaxed))
}

/// The addresses of brokers.
#[derive(Debug, Clone)]
pub(crate) struct Brokers(pub String);

/// Brokers, as long as the test needs them.
pub(crate) struct Cluster {
    /// Their addresses.
    pub brokers: Brokers,
    /// The mock cluster, if they are that.
    pub mock: Option<MockCluster<'static, DefaultProducerContext>>,
}

impl Cluster {
    /// Apache Kafka, else the mock cluster.
    pub(crate) fn any() -> Self {
        Self::real().unwrap_or_else(|| Self::mock(1))
    }

    /// Apache Kafka; `None`: the environment does not name it, and the test says so.
    pub(crate) fn real() -> Option<Self> {
        let Ok(bootstrap) = std::env::var("KAFKA_BOOTSTRAP_SERVERS") else {
            eprintln!("no KAFKA_BOOTSTRAP_SERVERS: run this with scripts/servers.sh run");
            return None;
        };
        Some(Cluster { brokers: Brokers(bootstrap), mock: None })
    }

    /// The mock cluster, for faults that a real one shows only by chance.
    pub(crate) fn mock(brokers: i32) -> Self {
        let mock = MockCluster::new(brokers).unwrap();
        Cluster { brokers: Brokers(mock.bootstrap_servers()), mock: Some(mock) }
    }

    /// A connection with these properties.
    pub(crate) fn connection(&self, client: &[(&str, &str)]) -> KafkaConnection {
        KafkaConnection {
            bootstrap_servers: self.brokers.0.split(',').map(str::to_owned).collect(),
            client: client.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            ..KafkaConnection::default()
        }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    /// Creates a topic, and gives its name.
    pub(crate) async fn topic(&self, partitions: i32) -> String {
        let name = unique("topic");
        self.create(&name, partitions, &[]).await;
        name
    }

    /// Creates a topic of this name.
    pub(crate) async fn create(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        if let Some(mock) = &self.mock {
            mock.create_topic(name, partitions, 1).unwrap();
            return;
        }
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (name, value) in settings {
            topic = topic.set(name, value);
        }
        self.admin().create_topics([&topic], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
        let consumer: BaseConsumer = self.config().create().unwrap();
        loop {
            let metadata = consumer.fetch_metadata(Some(name), PATIENCE).unwrap();
            if metadata.topics().iter().any(|t| t.error().is_none() && t.partitions().len() == partitions as usize) {
                return;
            }
        }
    }

    /// Deletes a topic, and waits until it is gone.
    pub(crate) async fn delete(&self, name: &str) {
        self.admin().delete_topics(&[name], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
        let consumer: BaseConsumer = self.config().create().unwrap();
        while consumer.fetch_metadata(None, PATIENCE).unwrap().topics().iter().any(|topic| topic.name() == name) {}
    }

    /// Adds partitions, up to that many.
    pub(crate) async fn grow(&self, name: &str, partitions: usize) {
        let grown = NewPartitions::new(name, partitions);
        self.admin().create_partitions([&grown], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    }

    /// Deletes the records before an offset.
    pub(crate) async fn cut(&self, topic: &str, partition: i32, before: i64) {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, Offset::Offset(before)).unwrap();
        self.admin().delete_records(&offsets, &AdminOptions::new()).await.unwrap();
    }
}

impl std::ops::Deref for Cluster {
    type Target = Brokers;

    fn deref(&self) -> &Brokers {
        &self.brokers
    }
}

impl Brokers {
    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.0);
        config
    }

    /// Appends records to a partition; returns when they are readable.
    pub(crate) fn put<'a>(&self, topic: &str, partition: i32, values: impl IntoIterator<Item = &'a str>) {
        let producer: ThreadedProducer<DefaultProducerContext> = self.config().create().unwrap();
        for value in values {
            let record = BaseRecord::to(topic).partition(partition).key("key").payload(value);
            let header = OwnedHeaders::new().insert(Header { key: "from", value: Some("test") });
            producer.send(record.headers(header)).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }

    /// Appends records without value, key or header as they say.
    pub(crate) fn put_raw(&self, topic: &str, key: Option<&[u8]>, value: Option<&[u8]>, headers: OwnedHeaders) {
        let producer: ThreadedProducer<DefaultProducerContext> = self.config().create().unwrap();
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).partition(0).headers(headers);
        (record.key, record.payload) = (key, value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(PATIENCE).unwrap();
    }

    /// The offsets of a group.
    pub(crate) fn committed(&self, group: &str, topic: &str, partitions: i32) -> BTreeMap<i32, i64> {
        let consumer: BaseConsumer = self.config().set("group.id", group).clone().create().unwrap();
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(topic, 0, partitions - 1);
        let answer = consumer.committed_offsets(asked, PATIENCE).unwrap();
        answer
            .elements()
            .iter()
            .filter_map(|element| Some((element.partition(), element.offset().to_raw().filter(|o| *o >= 0)?)))
            .collect()
    }

    /// Sets the offset of a group that has no members.
    pub(crate) fn commit(&self, group: &str, topic: &str, partition: i32, offset: i64) {
        let consumer: BaseConsumer = self.config().set("group.id", group).clone().create().unwrap();
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        consumer.commit(&offsets, rdkafka::consumer::CommitMode::Sync).unwrap();
    }
}
