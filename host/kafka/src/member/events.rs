//! What librdkafka tells a member: partitions that come and go, commits that were answered, errors.

use super::Member;
use crate::beginning::{self, places};
use crate::client;
use crate::context::{GroupConsumer, GroupEvents};
use crate::partition::{Partition, lane_id};
use esclusa_flow::fault::Fault;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use std::sync::Weak;

impl GroupEvents for Member {
    fn assigning(&self, consumer: &GroupConsumer, partitions: &TopicPartitionList) -> TopicPartitionList {
        if self.rules.sole {
            self.count_members(consumer);
        }
        let places = places(partitions);
        if places.is_empty() {
            return TopicPartitionList::new();
        }
        // Nothing, if the member stops meanwhile: then no partition is read.
        let begin = self.begin(consumer, &places);
        let list = beginning::list(begin.iter().map(|(place, begin)| (place, begin.next)));
        let Some(consumer) = self.consumer.get().and_then(Weak::upgrade) else { return TopicPartitionList::new() };
        // Before the first record is fetched: those that are in the common queue already would come out of order.
        for (place, begin) in begin {
            let queue = consumer.split_partition_queue(&place.0, place.1);
            if let Some(before) = self.partition(&lane_id(&place.0, place.1)) {
                before.end("it was assigned anew");
            }
            let (released, lag) = (self.released.clone(), self.rules.lag.clone());
            let partition = Partition::new((&place.0, place.1), queue, begin, released, lag);
            self.state.lock().seen.insert(partition.id.clone());
            self.partitions.lock().insert(partition.id.clone(), partition);
        }
        list
    }

    fn assigned(&self, partitions: &TopicPartitionList) {
        let lanes: Vec<String> = places(partitions).iter().map(|(topic, number)| lane_id(topic, *number)).collect();
        if !lanes.is_empty() {
            tracing::info!(route = &*self.rules.route, partitions = lanes.join(" "), "partitions have come");
        }
        self.state.lock().joined = true;
        self.changed.notify_waiters();
    }

    fn revoking(&self, consumer: &GroupConsumer, partitions: &TopicPartitionList, lost: bool) {
        let lanes: Vec<String> = places(partitions).iter().map(|(topic, number)| lane_id(topic, *number)).collect();
        tracing::info!(route = &*self.rules.route, partitions = lanes.join(" "), lost, "partitions go");
        let going: Vec<_> = lanes.iter().filter_map(|lane| self.partition(lane)).collect();
        self.let_go(consumer, &going, lost);
        let mut partitions = self.partitions.lock();
        for lane in &lanes {
            partitions.remove(lane);
        }
    }

    fn committed(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        if let Err(error) = &result {
            self.offsets_refused(error);
            return;
        }
        for element in offsets.elements() {
            let partition = self.partition(&lane_id(element.topic(), element.partition()));
            if let (Some(partition), Some(offset), Ok(())) = (partition, element.offset().to_raw(), element.error()) {
                partition.paid(offset);
            }
        }
        self.offsets_taken();
    }

    fn failed(&self, error: &KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        if matches!(code, None | Some(RDKafkaErrorCode::PartitionEOF)) {
            return;
        }
        let fault = client::fault(if reason.is_empty() { "read" } else { reason }, error);
        let mut state = self.state.lock();
        match &fault {
            Fault::Refused { .. } => state.fault = Some(fault.clone()),
            _ if code == Some(RDKafkaErrorCode::AllBrokersDown) => state.outage = Some(fault.clone()),
            _ => return,
        }
        drop(state);
        tracing::warn!(route = &*self.rules.route, error = %fault, "Kafka");
        if matches!(error, KafkaError::MessageConsumptionFatal(_)) || code == Some(RDKafkaErrorCode::Fatal) {
            self.stop();
        }
        self.partitions.lock().values().for_each(|partition| partition.stir());
        self.changed.notify_waiters();
    }
}
