//! Producers: their settings, the results of what they send, and what an error means for a message.

use crate::client;
use crate::record::Outgoing;
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::KafkaConnection;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, NoCustomPartitioner, ProducerContext, ThreadedProducer};
use std::sync::Arc;
use tokio::sync::oneshot;

/// A producer with a thread of its own.
pub(crate) type Producer = ThreadedProducer<ProducerEvents, NoCustomPartitioner>;

/// Largest record that is tried. A broker takes 1,048,588 bytes by default and librdkafka 1,000,000: a record that was read must
/// be writable, so the broker alone decides.
const LARGEST: &str = "1000000000";

/// The result of a record: sent, or why not.
pub(crate) type Delivery = oneshot::Receiver<Result<(), KafkaError>>;

/// The callbacks of a producer.
#[derive(Default)]
pub(crate) struct ProducerEvents {
    /// What was last reported, so that an error that lasts is not reported again and again.
    last: Mutex<String>,
    /// Why the brokers do not let the client in: a record itself only times out.
    denied: Mutex<Option<Fault>>,
}

impl ProducerEvents {
    /// Why the brokers do not let the client in, once.
    pub(crate) fn denied(&self) -> Option<Fault> {
        self.denied.lock().take()
    }
}

impl ClientContext for ProducerEvents {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        client::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let fault = client::fault(reason, &error);
        if let Fault::Refused { .. } = fault {
            *self.denied.lock() = Some(fault);
        }
        if std::mem::replace(&mut *self.last.lock(), reason.to_owned()) != reason {
            tracing::warn!(%error, reason, "Kafka");
        }
    }
}

impl ProducerContext<NoCustomPartitioner> for ProducerEvents {
    type DeliveryOpaque = Box<oneshot::Sender<Result<(), KafkaError>>>;

    fn delivery(&self, result: &DeliveryResult<'_>, done: Self::DeliveryOpaque) {
        // An error: nobody waits any more.
        let _ = done.send(result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone()));
    }
}

/// A producer whose records are written once and in order, as far as one producer goes.
///
/// # Errors
/// A [`Fault`] of the settings.
pub(crate) fn open(connection: &KafkaConnection, own: &[(&str, &str)]) -> Result<Producer, Fault> {
    let mut all = vec![("enable.idempotence", "true"), ("acks", "all")];
    let soft = [
        ("message.max.bytes", LARGEST),
        ("linger.ms", "2"),
        ("queue.buffering.max.kbytes", "65536"),
        // As Java's producer has it: records of a key go to the partition that other producers put them into.
        ("partitioner", "murmur2_random"),
        ("message.timeout.ms", "30000"),
    ];
    let says = |name: &str| connection.client.contains_key(name);
    let other = |name: &str| name == "linger.ms" && says("queue.buffering.max.ms");
    all.extend(soft.iter().filter(|(name, _)| !says(name) && !other(name)));
    all.extend(own);
    Producer::from_config_and_context(&client::config(connection, &all), ProducerEvents::default())
        .map_err(|e| client::fault("make a producer", &e))
}

/// Hands a record to the producer.
///
/// # Errors
/// The error of a record that the producer does not take.
pub(crate) fn enqueue(producer: &Producer, topic: &str, record: Outgoing<'_>) -> Result<Delivery, KafkaError> {
    let (done, result) = oneshot::channel();
    let mut sent: BaseRecord<'_, [u8], [u8], _> = BaseRecord::with_opaque_to(topic, Box::new(done));
    (sent.key, sent.payload) = (record.key.as_deref(), record.value);
    producer.send(sent.headers(record.headers)).map(|()| result).map_err(|(error, _)| error)
}

/// True if the producer's queue has no room now.
pub(crate) fn is_full(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull)
}

/// True if the record, or the request that it was part of, is larger than the broker takes.
pub(crate) fn is_too_large(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize)
    )
}

/// The fault of a record that was not written: permanent if the record is to blame.
pub(crate) fn fault_of(topic: &str, error: &KafkaError) -> Fault {
    let doing = format!("write to topic {topic:?}");
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::InvalidTimestamp,
        ) => Fault::Permanent(format!(
            "{doing}: {error}: the record does not fit max.message.bytes or other settings of the topic"
        )),
        _ => client::fault(&doing, error),
    }
}

/// A producer that is made with its first record, and made anew after an error that ends it.
pub(crate) struct LateProducer {
    connection: KafkaConnection,
    producer: Mutex<Option<Arc<Producer>>>,
}

impl LateProducer {
    /// None is made yet.
    pub(crate) fn new(connection: KafkaConnection) -> Self {
        LateProducer { connection, producer: Mutex::default() }
    }

    /// The producer.
    ///
    /// # Errors
    /// A [`Fault`] of the settings.
    pub(crate) fn get(&self) -> Result<Arc<Producer>, Fault> {
        let mut producer = self.producer.lock();
        if let Some(producer) = &*producer {
            return Ok(producer.clone());
        }
        let made = Arc::new(open(&self.connection, &[])?);
        *producer = Some(made.clone());
        Ok(made)
    }

    /// Drops a producer that does nothing any more.
    pub(crate) fn end(&self) {
        let ended = self.producer.lock().take();
        // Its drop waits for its thread.
        drop(tokio::task::spawn_blocking(move || drop(ended)));
    }
}
