//! What a member asks the brokers from time to time: where its partitions end, who else is in the group, whether a topic is there again.

use super::Member;
use crate::beginning::{self, Place};
use crate::codes;
use crate::context::GroupConsumer;
use esclusa_flow::fault::Fault;
use rdkafka::consumer::Consumer;
use std::time::{Duration, Instant};

/// How long the brokers may take to show the topics, after a fault: no poll is made meanwhile.
const LOOK_AT_TOPICS: Duration = Duration::from_secs(5);

impl Member {
    /// Measures the ends of its partitions, and looks at what may have ended by itself.
    pub(super) fn measure(&self, consumer: &GroupConsumer) {
        let partitions: Vec<_> = self.partitions.lock().values().cloned().collect();
        if !partitions.is_empty() {
            let places: Vec<Place> = partitions.iter().map(|p| (p.topic.clone(), p.number)).collect();
            match beginning::measure(consumer, &places) {
                Ok((oldest, ends)) => {
                    self.state.lock().outage = None;
                    for (partition, place) in partitions.iter().zip(&places) {
                        partition.measured(oldest.get(place).copied(), ends.get(place).copied());
                    }
                }
                Err(fault) => tracing::debug!(route = &*self.rules.route, error = %fault, "the lag is not known now"),
            }
        }
        if self.rules.sole {
            self.count_members(consumer);
        }
        self.look_at_topics(consumer);
    }

    /// Forgets the fault once the member is in the group and the brokers show all topics.
    fn look_at_topics(&self, consumer: &GroupConsumer) {
        let (noted, joined) = {
            let state = self.state.lock();
            (state.fault.clone(), state.joined)
        };
        let end = Instant::now() + LOOK_AT_TOPICS;
        let shown = |topic: &String| {
            let left = end.saturating_duration_since(Instant::now());
            let metadata = consumer.fetch_metadata(Some(topic), left);
            metadata.is_ok_and(|metadata| {
                metadata.topics().iter().any(|found| found.error().is_none() && !found.partitions().is_empty())
            })
        };
        if noted.is_some() && joined && self.rules.topics.iter().all(shown) {
            // Another one may have come meanwhile.
            self.state.lock().fault.take_if(|fault| Some(&*fault) == noted.as_ref());
        }
    }

    /// Stops all lanes if the group has another member: each process has a store of its own.
    pub(super) fn count_members(&self, consumer: &GroupConsumer) {
        let Some(group) = &self.rules.group else { return };
        let members: usize = match consumer.fetch_group_list(Some(group), Duration::from_secs(5)) {
            Ok(list) => {
                list.groups().iter().filter(|found| found.name() == group).map(|found| found.members().len()).sum()
            }
            Err(error) => {
                tracing::debug!(route = &*self.rules.route, %error, "the members of the group are not known now");
                return;
            }
        };
        let refused = (members > 1).then(|| Fault::Refused {
            code: codes::SECOND_MEMBER,
            reason: format!(
                "group {group:?} has {members} members, and the route writes to the embedded engine of this process: \
                 run one process, or write to tables in DynamoDB"
            ),
        });
        let mut state = self.state.lock();
        if state.refused.is_some() != refused.is_some() {
            if let Some(fault) = &refused {
                tracing::error!(route = &*self.rules.route, error = %fault, code = codes::SECOND_MEMBER, "the lanes stop");
            }
            state.refused = refused;
            drop(state);
            self.partitions.lock().values().for_each(|partition| partition.stir());
            self.changed.notify_waiters();
        }
    }
}
