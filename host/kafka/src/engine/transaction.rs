//! A producer whose messages are committed together with the offsets of one partition: one transaction after the other.
//!
//! Its transactional id is that of the partition in its group. The next owner of the partition initialises a producer with the
//! same id before it reads the offset: that ends what this one has begun, and fences it.

use crate::producer::{self, Delivery, Producer, fault_of, is_full, is_too_large};
use crate::record::Outgoing;
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::KafkaConnection;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// How long a transaction may stay open, if its section does not say otherwise. A reader waits so long behind one whose producer
/// was killed and has no successor.
const OPEN: u64 = 30_000;
/// The longest that one request of a transaction may take.
const REQUEST: Duration = Duration::from_secs(15);

/// The producer of one partition.
pub(crate) struct TransactionalProducer {
    producer: Producer,
    id: String,
}

/// A record of a transaction.
pub(crate) struct TransactionRecord<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// The record.
    pub record: Box<dyn Fn() -> Outgoing<'a> + 'a>,
}

/// The place in a source that a transaction moves.
pub(crate) struct SourceOffset<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The number of the partition.
    pub partition: i32,
    /// The offset of the next record.
    pub next: i64,
    /// The member that pulled the records before it.
    pub member: &'a ConsumerGroupMetadata,
}

/// Why a transaction did not happen.
#[derive(Debug)]
pub(crate) enum NotDone {
    /// It was aborted: it may be tried again as it is.
    Aborted(Fault),
    /// It was aborted because of these records, by index: the broker never takes them.
    Refused(Vec<(usize, Fault)>),
    /// Another owner has the partition, or nobody knows whether it happened: its batch comes again.
    Over(String),
}

impl TransactionalProducer {
    /// Ends what an earlier owner of the id has begun, and fences it.
    ///
    /// # Errors
    /// A [`Fault`] if the brokers do not do that.
    pub(crate) fn begin(connection: &KafkaConnection, id: &str) -> Result<Self, Fault> {
        let number = |name: &str| connection.client.get(name).and_then(|value| value.parse::<u64>().ok());
        let open = number("transaction.timeout.ms").unwrap_or(OPEN);
        // A message must not outlive its transaction.
        let message = number("message.timeout.ms").filter(|time| *time > 0).unwrap_or(open).min(open);
        let (open, message) = (open.to_string(), message.to_string());
        let own = [("transactional.id", id), ("transaction.timeout.ms", &*open), ("message.timeout.ms", &*message)];
        let producer = producer::open(connection, &own)?;
        let begun = producer.init_transactions(REQUEST.saturating_mul(2));
        begun.map_err(|error| {
            let fault = crate::client::fault(&format!("begin with transactional id {id:?}"), &error);
            producer.context().denied().unwrap_or(fault)
        })?;
        Ok(TransactionalProducer { producer, id: id.to_owned() })
    }

    /// Writes records and moves an offset, both or neither. `alone`: each record in a request of its own, since the broker refuses
    /// requests as a whole. After an error this producer is of no use any more: librdkafka goes on with what it has purged.
    ///
    /// # Errors
    /// [`NotDone`]; no transaction is open then, or the next owner of the id ends it.
    pub(crate) fn transact(
        &self,
        records: &[TransactionRecord<'_>],
        offset: &SourceOffset<'_>,
        alone: bool,
    ) -> Result<(), NotDone> {
        self.producer.begin_transaction().map_err(|error| self.judge("begin", &error))?;
        let done = self.write(records, alone).and_then(|()| self.end(offset));
        match done {
            // Whether it happened is not known, or another owner is there: nothing to abort.
            Err(over @ NotDone::Over(_)) => Err(over),
            Err(not_done) => match self.producer.abort_transaction(REQUEST) {
                Ok(()) => Err(not_done),
                Err(error) => Err(NotDone::Over(format!("abort a transaction of {:?}: {error}", self.id))),
            },
            Ok(()) => Ok(()),
        }
    }

    fn write(&self, records: &[TransactionRecord<'_>], alone: bool) -> Result<(), NotDone> {
        let mut deliveries: Vec<Result<Delivery, KafkaError>> = Vec::with_capacity(records.len());
        let until = Instant::now() + REQUEST;
        for record in records {
            let mut handed = producer::enqueue(&self.producer, record.topic, (record.record)());
            while handed.as_ref().is_err_and(is_full) && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
                handed = producer::enqueue(&self.producer, record.topic, (record.record)());
            }
            deliveries.push(handed);
            if alone {
                self.producer.flush(REQUEST).map_err(|error| self.judge("write", &error))?;
            }
        }
        self.producer.flush(REQUEST.saturating_mul(2)).map_err(|error| self.judge("write", &error))?;
        let (mut refused, mut failed) = (Vec::new(), None);
        for (index, (record, handed)) in records.iter().zip(deliveries).enumerate() {
            let result = handed.and_then(|delivery| delivery.blocking_recv().unwrap_or(Err(KafkaError::Canceled)));
            match result {
                Ok(()) => {}
                Err(error) if is_too_large(&error) => refused.push((index, fault_of(record.topic, &error))),
                Err(error) => match fault_of(record.topic, &error) {
                    fault @ Fault::Permanent(_) => refused.push((index, fault)),
                    // One that was not tried because of another one says nothing.
                    fault => failed = failed.or(Some((error, fault))),
                },
            }
        }
        match (refused.is_empty(), failed) {
            (true, None) => Ok(()),
            (true, Some((error, fault))) => Err(match self.judge("write", &error) {
                NotDone::Aborted(_) => NotDone::Aborted(fault),
                over => over,
            }),
            (false, _) => Err(NotDone::Refused(refused)),
        }
    }

    fn end(&self, offset: &SourceOffset<'_>) -> Result<(), NotDone> {
        let mut offsets = TopicPartitionList::new();
        let added = offsets.add_partition_offset(offset.topic, offset.partition, Offset::Offset(offset.next));
        added.map_err(|error| self.judge("move the offset", &error))?;
        let until = Instant::now() + REQUEST;
        loop {
            match self.producer.send_offsets_to_transaction(&offsets, offset.member, REQUEST) {
                Ok(()) => break,
                Err(error) if may_repeat(&error) && Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(error) => return Err(self.judge("move the offset", &error)),
            }
        }
        let until = Instant::now() + REQUEST.saturating_mul(2);
        loop {
            match self.producer.commit_transaction(REQUEST) {
                Ok(()) => return Ok(()),
                // The same commit goes on.
                Err(error) if may_repeat(&error) && Instant::now() < until => {}
                Err(error) if requires_abort(&error) => return Err(self.judge("commit", &error)),
                Err(error) => return Err(NotDone::Over(format!("commit a transaction of {:?}: {error}", self.id))),
            }
        }
    }

    /// What an error means for the transaction.
    fn judge(&self, doing: &str, error: &KafkaError) -> NotDone {
        let code = error.rdkafka_error_code();
        let fatal = self.producer.client().fatal_error();
        let stale = matches!(
            code,
            Some(
                RDKafkaErrorCode::IllegalGeneration
                    | RDKafkaErrorCode::UnknownMemberId
                    | RDKafkaErrorCode::FencedInstanceId
                    | RDKafkaErrorCode::RebalanceInProgress
                    | RDKafkaErrorCode::State
            )
        );
        match fatal {
            Some((_, why)) => NotDone::Over(format!("{doing} with {:?}: {why}", self.id)),
            // The member that pulled the batch is none of the group any more: its next one pulls the batch again.
            None if stale => {
                // Left open, it would hold readers back until its time-out.
                let _ = self.producer.abort_transaction(REQUEST);
                NotDone::Over(format!("{doing} with {:?}: {error}", self.id))
            }
            None => NotDone::Aborted(crate::client::fault(&format!("{doing} with {:?}", self.id), error)),
        }
    }
}

fn may_repeat(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.is_retriable())
}

fn requires_abort(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.txn_requires_abort())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
    use rdkafka::config::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer};

    fn connection(servers: &str) -> KafkaConnection {
        KafkaConnection { bootstrap_servers: vec![servers.to_owned()], ..KafkaConnection::default() }
    }

    /// A member of a group that has the only partition of a topic.
    fn member(servers: &str, group: &str, topic: &str) -> BaseConsumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", servers).set("group.id", group).set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[topic]).unwrap();
        while consumer.assignment().unwrap().count() == 0 {
            let _ = consumer.poll(Duration::from_millis(100));
        }
        consumer
    }

    fn transact(producer: &TransactionalProducer, topic: &str, member: &ConsumerGroupMetadata) -> Result<(), NotDone> {
        let record = || Outgoing::of(Some("k"), b"v", &[]);
        let records = [TransactionRecord { topic, record: Box::new(record) }];
        producer.transact(&records, &SourceOffset { topic, partition: 0, next: 1, member }, false)
    }

    /// A topic of Apache Kafka with one partition; `None`: the environment does not name a broker.
    fn topic(prefix: &str) -> Option<(String, String)> {
        let Ok(servers) = std::env::var("KAFKA_BOOTSTRAP_SERVERS") else {
            eprintln!("no KAFKA_BOOTSTRAP_SERVERS: run this with scripts/servers.sh run");
            return None;
        };
        let name = format!("{prefix}-{}", std::process::id());
        let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", &servers).create().unwrap();
        let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(admin.create_topics([&topic], &AdminOptions::new())).unwrap();
        Some((servers, name))
    }

    #[test]
    fn an_earlier_owner_of_a_lane_is_fenced_by_the_next_one() {
        let Some((servers, name)) = topic("fenced") else { return };
        let consumer = member(&servers, &name, &name);
        let (connection, metadata) = (connection(&servers), consumer.group_metadata().unwrap());
        let first = TransactionalProducer::begin(&connection, &name).unwrap();
        transact(&first, &name, &metadata).unwrap();
        let second = TransactionalProducer::begin(&connection, &name).unwrap();
        let refused = transact(&first, &name, &metadata);
        assert!(matches!(refused, Err(NotDone::Over(_))), "{refused:?}");
        transact(&second, &name, &metadata).unwrap();
    }

    // Once librdkafka has noticed that its session ended it holds no member, and the broker lets the offsets of such a transaction pass.
    #[test]
    fn the_member_that_pulled_a_batch_must_still_be_in_the_group() {
        let Some((servers, name)) = topic("stale") else { return };
        let connection = connection(&servers);
        let producer = TransactionalProducer::begin(&connection, &name).unwrap();
        let consumer = member(&servers, &name, &name);
        let pulled = consumer.group_metadata().unwrap();
        transact(&producer, &name, &pulled).unwrap();
        consumer.unsubscribe();
        while consumer.assignment().unwrap().count() > 0 {
            let _ = consumer.poll(Duration::from_millis(100));
        }
        drop(consumer);
        let refused = transact(&producer, &name, &pulled);
        assert!(matches!(refused, Err(NotDone::Over(_))), "{refused:?}");
    }
}
