//! Looks at brokers and topics before a route starts.

use crate::{client, codes};
use esclusa_flow::BoxFuture;
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::KafkaConnection;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::time::{Duration, Instant};

/// A topic as the brokers describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicFacts {
    /// Its name.
    pub topic: String,
    /// Its partitions; 0 if it does not exist.
    pub partitions: usize,
}

/// Asks the brokers for topics, for at most `timeout`.
///
/// # Errors
/// A [`Fault`] with the remedy if no broker answers, or none lets the client in.
pub fn topics(
    connection: &KafkaConnection,
    topics: &[String],
    timeout: Duration,
) -> BoxFuture<'static, Result<Vec<TopicFacts>, Fault>> {
    let (connection, topics) = (connection.clone(), topics.to_vec());
    Box::pin(async move {
        let described = tokio::task::spawn_blocking(move || describe(&connection, &topics, timeout));
        described.await.map_err(|e| Fault::Bug(format!("describe topics: {e}")))?
    })
}

/// The fault of a topic that does not exist.
pub(crate) fn missing(topic: &str) -> Fault {
    Fault::Refused {
        code: codes::NO_TOPIC,
        reason: format!("topic {topic:?} does not exist: create it, or correct its name in routes.toml"),
    }
}

/// Keeps why the brokers do not let the client in: a request itself only times out.
#[derive(Default)]
struct Denials(Mutex<Option<Fault>>);

impl ClientContext for Denials {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        client::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let fault @ Fault::Refused { .. } = client::fault(reason, &error) {
            *self.0.lock() = Some(fault);
        }
    }
}

impl ConsumerContext for Denials {}

fn describe(connection: &KafkaConnection, topics: &[String], timeout: Duration) -> Result<Vec<TopicFacts>, Fault> {
    let doing = format!("connect to {}", connection.bootstrap_servers.join(", "));
    let consumer = BaseConsumer::from_config_and_context(&client::config(connection, &[]), Denials::default())
        .map_err(|e| client::fault(&doing, &e))?;
    let end = Instant::now() + timeout;
    let mut facts = Vec::with_capacity(topics.len());
    for topic in topics {
        facts.push(TopicFacts { topic: topic.clone(), partitions: partitions(&consumer, topic, end, &doing)? });
    }
    Ok(facts)
}

fn partitions(consumer: &BaseConsumer<Denials>, topic: &str, end: Instant, doing: &str) -> Result<usize, Fault> {
    loop {
        // Errors of connections come by way of polls, after the lines of the log that tell of them. A poll without any time would
        // take one of those and end.
        while consumer.poll(Duration::from_millis(20)).is_some() {}
        if let Some(denied) = consumer.context().0.lock().clone() {
            return Err(denied);
        }
        let left = end.saturating_duration_since(Instant::now());
        match consumer.fetch_metadata(Some(topic), left.min(Duration::from_secs(2))) {
            Ok(metadata) => {
                let found = metadata.topics().iter().find(|found| found.name() == topic);
                let refused = found.and_then(|found| found.error()).map(rdkafka::error::RDKafkaErrorCode::from);
                match refused {
                    None => return Ok(found.map_or(0, |found| found.partitions().len())),
                    Some(RDKafkaErrorCode::UnknownTopicOrPartition) => return Ok(0),
                    Some(RDKafkaErrorCode::LeaderNotAvailable) if !left.is_zero() => {
                        std::thread::sleep(Duration::from_millis(100));
                    }
                    Some(code) => {
                        return Err(client::fault(
                            &format!("ask for topic {topic:?}"),
                            &KafkaError::MetadataFetch(code),
                        ));
                    }
                }
            }
            Err(error) if left.is_zero() => return Err(client::fault(doing, &error)),
            Err(_) => {}
        }
    }
}
