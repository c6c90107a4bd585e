//! What librdkafka calls back: a consumer's partitions that come and go, its commits, its log.

use crate::client;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use std::sync::{OnceLock, Weak};

/// A consumer of a group.
pub(crate) type GroupConsumer = BaseConsumer<GroupContext>;

/// Is told of the partitions of a consumer. All calls come from the one thread that polls the consumer.
pub(crate) trait GroupEvents: Send + Sync {
    /// Partitions come. Gives the offset to read each from.
    fn assigning(&self, consumer: &GroupConsumer, partitions: &TopicPartitionList) -> TopicPartitionList;

    /// The partitions that came are read from now on.
    fn assigned(&self, partitions: &TopicPartitionList);

    /// Partitions go to another member. `lost`: another member may have them already.
    fn revoking(&self, consumer: &GroupConsumer, partitions: &TopicPartitionList, lost: bool);

    /// The broker has answered a commit of offsets.
    fn committed(&self, result: KafkaResult<()>, offsets: &TopicPartitionList);

    /// Something failed that no call is waiting for.
    fn failed(&self, error: &KafkaError, reason: &str);
}

/// The callbacks of a consumer.
#[derive(Default)]
pub(crate) struct GroupContext {
    events: OnceLock<Weak<dyn GroupEvents>>,
    /// The last reason of an error, so that one that lasts is not reported again and again.
    last: Mutex<String>,
}

impl GroupContext {
    /// Sets who is told. Before that, nothing happens: the consumer is not polled yet.
    pub(crate) fn tell(&self, events: Weak<dyn GroupEvents>) {
        let _ = self.events.set(events);
    }

    fn events(&self) -> Option<std::sync::Arc<dyn GroupEvents>> {
        self.events.get()?.upgrade()
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        client::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition comes this way, too.
        if reason.is_empty() || std::mem::replace(&mut *self.last.lock(), reason.to_owned()) == reason {
            return;
        }
        if let Some(events) = self.events() {
            events.failed(&error, reason);
        }
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &GroupConsumer, event: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let events = self.events();
        let done = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let starts = events.as_ref().map(|events| events.assigning(consumer, partitions));
            let starts = starts.as_ref().unwrap_or(partitions);
            let done = if cooperative { consumer.incremental_assign(starts) } else { consumer.assign(starts) };
            if let Some(events) = events {
                events.assigned(partitions);
            }
            done
        } else {
            if let Some(events) = events {
                events.revoking(consumer, partitions, consumer.assignment_lost());
            }
            if cooperative { consumer.incremental_unassign(partitions) } else { consumer.unassign() }
        };
        if let Err(error) = done {
            tracing::error!(%error, "librdkafka refuses an assignment");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        if let Some(events) = self.events() {
            events.committed(result, offsets);
        }
    }
}
