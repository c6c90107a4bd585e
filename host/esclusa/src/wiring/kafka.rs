//! Wires Kafka: the reader of a route, the engine of a route that writes nothing on AWS, and outputs.
//!
//! Only translates the plan into the settings of `esclusa-kafka`.

use super::{PositionStore, Unreachable};
use esclusa_config::plan::{KafkaConnection, KafkaProgress, Output, Plan, RouteSpec, Source};
use esclusa_flow::engine::{Engine, Sink};
use esclusa_flow::fault::Fault;
use esclusa_flow::lag::Lag;
use esclusa_flow::lane_progress::LaneProgress;
use esclusa_flow::outbox::CommitSender;
use esclusa_flow::{BoxFuture, source};
use esclusa_kafka::check;
use esclusa_kafka::engine::{KafkaEngineSettings, of_group, of_transactions};
use esclusa_kafka::reader::{KafkaGroup, KafkaReader, KafkaSourceSettings, Positioning};
use esclusa_kafka::sink::{self, KafkaSinkSettings};
use std::sync::Arc;
use std::time::Duration;

/// How long a check waits for the brokers of a section.
const CHECK: Duration = Duration::from_secs(10);

/// The topics of a route's source, as the route reads them. Made with the route, and outlives its source.
#[derive(Clone)]
pub(crate) struct KafkaTopics {
    reader: Arc<KafkaReader>,
    lag: Arc<Lag>,
}

impl KafkaTopics {
    /// The topics of a source; `None` if it is not Kafka. A route without a consumer group reads all partitions alone, and commits no
    /// offsets.
    pub(crate) fn of(route: &RouteSpec, source: &Source, positions_in: PositionStore) -> Option<Self> {
        let Source::Kafka { connection, topics, start, group_instance_id, revoke_timeout } = source else {
            return None;
        };
        let lag = Arc::<Lag>::default();
        let group = route.consumer_group.clone().map(|id| KafkaGroup { id, instance: group_instance_id.clone() });
        let reader = KafkaReader::new(KafkaSourceSettings {
            route: route.name.clone(),
            source: route.source.clone(),
            connection: connection.clone(),
            topics: topics.clone(),
            start: *start,
            group,
            positioning: match positions_in {
                PositionStore::Group => Positioning::Group,
                PositionStore::Shared(positions) => Positioning::Shared(positions),
                PositionStore::Own(positions) => Positioning::Own(positions),
            },
            // As much again as may be in flight, so that the next batch is there when one is finished.
            read_ahead: route.in_flight_bytes,
            revoke_timeout: *revoke_timeout,
            lag: lag.clone(),
        });
        Some(KafkaTopics { reader, lag })
    }

    /// How far the route is behind.
    #[must_use]
    pub(crate) fn lag(&self) -> Arc<Lag> {
        self.lag.clone()
    }

    /// The progress of the lanes that this process owns.
    #[must_use]
    pub(crate) fn progress(&self) -> Arc<dyn LaneProgress> {
        self.reader.progress()
    }

    /// Opens the source.
    pub(crate) fn open(&self) -> BoxFuture<'static, Result<Box<dyn source::Source>, Fault>> {
        self.reader.open()
    }

    /// The engine of a route that writes nothing on AWS.
    #[must_use]
    pub(crate) fn engine(
        &self,
        plan: &Plan,
        route: &RouteSpec,
        local: Arc<dyn Engine>,
        sender: CommitSender,
    ) -> Arc<dyn Engine> {
        let settings = KafkaEngineSettings { reader: self.reader.clone(), local, sender };
        if plan.kafka_progress(route) != Some(KafkaProgress::Transaction) {
            return of_group(settings);
        }
        let outputs = route.grants.outputs.iter().chain(&route.on_failure);
        let topic = |name: &String| Some((name.clone(), topic_of(plan.outputs.get(name)?)?));
        of_transactions(settings, outputs.filter_map(topic).collect())
    }
}

/// The sink of an output; `None` if it is not Kafka.
#[must_use]
pub(crate) fn sink(output: &Output) -> Option<Arc<dyn Sink>> {
    topic_of(output).map(sink::open)
}

fn topic_of(output: &Output) -> Option<KafkaSinkSettings> {
    let Output::Kafka { connection, topic } = output else { return None };
    Some(KafkaSinkSettings { connection: connection.clone(), topic: topic.clone() })
}

/// Asks the brokers for every topic that routes use; gives what cannot be used.
pub(crate) async fn check(plan: &Plan) -> Vec<Unreachable> {
    let mut found = Vec::new();
    for (name, source) in &plan.sources {
        let Source::Kafka { connection, topics, .. } = source else { continue };
        let routes = users(plan, |route| route.source == *name);
        note(&mut found, routes, &format!("[source.{name}]"), connection, topics).await;
    }
    for (name, output) in &plan.outputs {
        let Output::Kafka { connection, topic } = output else { continue };
        let routes = users(plan, |r| r.grants.outputs.contains(name) || r.on_failure.as_ref() == Some(name));
        note(&mut found, routes, &format!("[output.{name}]"), connection, std::slice::from_ref(topic)).await;
    }
    found
}

fn users(plan: &Plan, uses: impl Fn(&RouteSpec) -> bool) -> Vec<String> {
    plan.routes.iter().filter(|route| uses(route)).map(|route| route.name.to_string()).collect()
}

/// Notes what is wrong with the topics of a section. One that no route uses may be missing.
async fn note(
    found: &mut Vec<Unreachable>,
    routes: Vec<String>,
    section: &str,
    connection: &KafkaConnection,
    topics: &[String],
) {
    if routes.is_empty() {
        return;
    }
    let whys = match check::topics(connection, topics, CHECK).await {
        Ok(facts) => facts
            .into_iter()
            .filter(|fact| fact.partitions == 0)
            .map(|fact| format!("there is no topic \"{}\": create it, or correct the name", fact.topic))
            .collect(),
        Err(fault) => vec![fault.to_string()],
    };
    found.extend(whys.into_iter().map(|why| Unreachable { routes: routes.clone(), why: format!("{section} {why}") }));
}
