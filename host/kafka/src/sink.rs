//! Messages as records of a topic: written once and in order by one producer, at-least-once over restarts.

use crate::producer::{Delivery, LateProducer, Producer, enqueue, fault_of, is_full, is_too_large};
use crate::record::Outgoing;
use esclusa_flow::BoxFuture;
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::engine::{SendError, Sink};
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::KafkaConnection;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer as _;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A topic to write to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaSinkSettings {
    /// The brokers.
    pub connection: KafkaConnection,
    /// The topic.
    pub topic: String,
}

/// The header with the id of a message, which is the same in every try: a receiver can leave out what it has seen.
pub(crate) const ID: &str = "esclusa-id";

/// A sink to a topic; it connects with its first message.
#[must_use]
pub fn open(settings: KafkaSinkSettings) -> Arc<dyn Sink> {
    Arc::new(KafkaSink { producer: LateProducer::new(settings.connection), topic: settings.topic })
}

struct KafkaSink {
    producer: LateProducer,
    topic: String,
}

/// A message as a record, with its id as a header.
pub(crate) fn outgoing(message: &OutboxMessage) -> Outgoing<'_> {
    let send = &message.send;
    let mut record = Outgoing::of(send.key.as_deref(), &send.data, &send.attributes);
    record.headers = record.headers.insert(rdkafka::message::Header { key: ID, value: Some(&message.id) });
    record
}

impl Sink for KafkaSink {
    fn send<'a>(&'a self, messages: &'a [OutboxMessage]) -> BoxFuture<'a, Vec<Result<(), SendError>>> {
        Box::pin(async move {
            let producer = match self.producer.get() {
                Ok(producer) => producer,
                // No message is to blame for the settings: all wait.
                Err(fault) => return vec![Err(waiting(fault)); messages.len()],
            };
            let mut results = self.send_together(&producer, messages).await;
            self.send_alone(&producer, messages, &mut results).await;
            if producer.client().fatal_error().is_some() {
                self.producer.end();
            }
            results.into_iter().map(|result| self.judge(result, &producer)).collect()
        })
    }
}

impl KafkaSink {
    /// Hands all messages to the producer, and waits for their results. A message whose turn did not come has none.
    async fn send_together(
        &self,
        producer: &Producer,
        messages: &[OutboxMessage],
    ) -> Vec<Option<Result<(), KafkaError>>> {
        let mut waiting: Vec<Result<Delivery, KafkaError>> = Vec::with_capacity(messages.len());
        let mut stuck = BTreeSet::new();
        for message in messages {
            // A message with a key is not sent before earlier ones of its key (invariant 3).
            if message.send.key.as_ref().is_some_and(|key| stuck.contains(key)) {
                waiting.push(Err(KafkaError::Canceled));
                continue;
            }
            let handed = self.hand_over(producer, message).await;
            if let Err(error) = &handed
                && !is_too_large(error)
            {
                stuck.extend(message.send.key.clone());
            }
            waiting.push(handed);
        }
        let mut results = Vec::with_capacity(messages.len());
        for handed in waiting {
            results.push(match handed {
                Ok(delivery) => Some(delivery.await.unwrap_or(Err(KafkaError::Canceled))),
                Err(KafkaError::Canceled) => None,
                Err(error) => Some(Err(error)),
            });
        }
        results
    }

    /// Hands a message to the producer, once its queue has room: all lanes and routes with this output share the queue.
    async fn hand_over(&self, producer: &Producer, message: &OutboxMessage) -> Result<Delivery, KafkaError> {
        loop {
            match enqueue(producer, &self.topic, outgoing(message)) {
                Err(error) if is_full(&error) => tokio::time::sleep(Duration::from_millis(5)).await,
                handed => return handed,
            }
        }
    }

    /// Sends again, one by one, what was too large together with others: each may fit alone. The order of a key does not hold here
    /// (docs/kafka.md): librdkafka gives up the messages of a request, and the next request may have been written meanwhile.
    async fn send_alone(
        &self,
        producer: &Producer,
        messages: &[OutboxMessage],
        results: &mut [Option<Result<(), KafkaError>>],
    ) {
        for (message, result) in messages.iter().zip(results) {
            if let Some(Err(error)) = result
                && is_too_large(error)
            {
                *result = Some(match self.hand_over(producer, message).await {
                    Ok(delivery) => delivery.await.unwrap_or(Err(KafkaError::Canceled)),
                    Err(error) => Err(error),
                });
            }
        }
    }

    fn judge(&self, result: Option<Result<(), KafkaError>>, producer: &Producer) -> Result<(), SendError> {
        match result {
            Some(Ok(())) => Ok(()),
            None => Err(SendError::NotTried),
            Some(Err(error)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PurgeQueue) => {
                Err(SendError::NotTried)
            }
            Some(Err(error)) => match fault_of(&self.topic, &error) {
                fault @ Fault::Permanent(_) => Err(fault.into()),
                fault => Err(waiting(producer.context().denied().unwrap_or(fault))),
            },
        }
    }
}

/// A fault that an operator can repair: the message waits.
fn waiting(fault: Fault) -> SendError {
    match fault {
        fault @ (Fault::Transient(_) | Fault::Throttled { .. }) => fault.into(),
        fault => Fault::Transient(fault.to_string()).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use esclusa_flow::effect::SendMessage;

    fn message(id: &str) -> OutboxMessage {
        let send = SendMessage { output: "out".into(), key: None, data: vec![b'x'; 100], attributes: Vec::new() };
        OutboxMessage { id: id.into(), send }
    }

    // Nobody listens there: what is in the queue leaves it when its time is over.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_message_that_is_sent_alone_waits_for_room_and_is_not_given_up_unsent() {
        let client = [("queue.buffering.max.messages", "1"), ("message.timeout.ms", "500")];
        let connection = KafkaConnection {
            bootstrap_servers: vec!["127.0.0.1:1".to_owned()],
            client: client.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ..KafkaConnection::default()
        };
        let sink = KafkaSink { producer: LateProducer::new(connection), topic: "t".to_owned() };
        let producer = sink.producer.get().unwrap();
        let others = sink.hand_over(&producer, &message("of another lane")).await.unwrap();
        let too_large = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
        let mut results = [Some(Err(too_large))];
        sink.send_alone(&producer, &[message("1")], &mut results).await;
        let [result] = results;
        assert!(matches!(sink.judge(result, &producer), Err(SendError::Failed(Fault::Transient(_)))), "it waits");
        assert!(others.await.unwrap().is_err());
    }
}
