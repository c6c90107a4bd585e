//! How a client of Kafka connects, and which of librdkafka's properties its section may set.

use std::collections::BTreeMap;
use std::fmt;

/// How a client connects to the brokers: the keys that sources and outputs share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KafkaConnection {
    /// Brokers to ask first, as `host:port`; at least one.
    pub bootstrap_servers: Vec<String>,
    /// Encryption and authentication.
    pub security: KafkaSecurity,
    /// librdkafka's properties, by name. None of them is refused by [`refused_kafka_property`].
    pub client: BTreeMap<String, String>,
}

/// Encryption and authentication, in librdkafka's words. What is left out has librdkafka's default.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KafkaSecurity {
    /// `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
    pub protocol: Option<String>,
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: Option<String>,
    /// User of the mechanism.
    pub username: Option<String>,
    /// Password of the mechanism.
    pub password: Option<String>,
    /// File with the certificates of authorities that the brokers' certificates are checked against.
    pub ca: Option<String>,
    /// File with the client's own certificate.
    pub certificate: Option<String>,
    /// File with its key.
    pub key: Option<String>,
    /// Password of the key.
    pub key_password: Option<String>,
    /// A hash of each of these files as it was when routes.toml was read: librdkafka reads them once, so a rotated file is another
    /// setting.
    pub contents: Vec<u64>,
}

impl KafkaSecurity {
    /// The files that are named.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        [&self.ca, &self.certificate, &self.key].into_iter().filter_map(|file| file.as_deref())
    }

    /// The properties of librdkafka that say this.
    pub fn properties(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("security.protocol", &self.protocol),
            ("sasl.mechanism", &self.mechanism),
            ("sasl.username", &self.username),
            ("sasl.password", &self.password),
            ("ssl.ca.location", &self.ca),
            ("ssl.certificate.location", &self.certificate),
            ("ssl.key.location", &self.key),
            ("ssl.key.password", &self.key_password),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

/// Without the passwords.
impl fmt::Debug for KafkaSecurity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = |value: &Option<String>| value.as_ref().map(|_| "…");
        f.debug_struct("KafkaSecurity")
            .field("protocol", &self.protocol)
            .field("mechanism", &self.mechanism)
            .field("username", &self.username)
            .field("password", &secret(&self.password))
            .field("ca", &self.ca)
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .field("key_password", &secret(&self.key_password))
            .finish()
    }
}

/// Properties that the router sets itself, or that would break one of its promises, and the reason.
const REFUSED: &[(&str, &str)] = &[
    ("acks", "a message counts as sent when all replicas in sync have it"),
    ("auto.commit.enable", "an offset is committed after the effects of its record"),
    ("auto.commit.interval.ms", "an offset is committed after the effects of its record"),
    ("auto.offset.reset", "starting_position of the source says it"),
    ("bootstrap.servers", "bootstrap_servers says it"),
    ("default.topic.config", "it is no value"),
    ("delivery.report.only.error", "a message counts as sent when the broker has confirmed it"),
    ("delivery.timeout.ms", "it is another name of message.timeout.ms: use that"),
    ("enable.auto.commit", "an offset is committed after the effects of its record"),
    ("enable.auto.offset.store", "an offset is committed after the effects of its record"),
    ("enable.gapless.guarantee", "a message that the broker refuses becomes a dead letter, and the next ones go on"),
    ("enable.idempotence", "messages of a key keep their order, and none is written twice by a retry"),
    ("enable.partition.eof", "the end of a partition tells that its reader has caught up"),
    ("group.id", "consumer_group_id of the route says it"),
    ("group.instance.id", "group_instance_id of the source says it"),
    ("group.protocol", "the router is written for the classic protocol of groups"),
    ("isolation.level", "records of transactions that were aborted never happened"),
    ("max.in.flight", "more than five would break the order of messages"),
    ("max.in.flight.requests.per.connection", "more than five would break the order of messages"),
    ("message.send.max.retries", "a message that is not retried is lost"),
    ("metadata.broker.list", "bootstrap_servers says it"),
    ("partition.assignment.strategy", "the members of a group hand partitions over one by one: cooperative-sticky"),
    ("plugin.library.paths", "it loads foreign code into the router"),
    ("queued.max.messages.kbytes", "in_flight of the route limits what is read ahead"),
    ("request.required.acks", "a message counts as sent when all replicas in sync have it"),
    ("retries", "a message that is not retried is lost"),
    ("statistics.interval.ms", "the router measures the lag itself"),
    ("test.mock.num.brokers", "it replaces the brokers with a mock cluster"),
    ("transactional.id", "it fences the earlier reader of a partition, so the router makes it"),
];

/// Prefixes of names that belong to another key.
const ELSEWHERE: &[&str] = &["sasl.", "security.", "ssl."];
/// Names with these prefixes that `security` has no key for.
const FREE: &[&str] = &[
    "ssl.endpoint.identification.algorithm",
    "ssl.cipher.suites",
    "ssl.curves.list",
    "ssl.sigalgs.list",
    "ssl.crl.location",
    "ssl.keystore.location",
    "ssl.keystore.password",
];

/// Why the section `client` may not set a property of librdkafka; `None`: it may.
#[must_use]
pub fn refused_kafka_property(name: &str) -> Option<&'static str> {
    if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return Some(why);
    }
    let elsewhere = ELSEWHERE.iter().any(|prefix| name.starts_with(prefix)) && !FREE.contains(&name);
    if elsewhere {
        return Some("security says it");
    }
    name.ends_with("_cb").then_some("it is no value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_that_would_break_a_promise_is_refused_with_the_reason() {
        for name in
            ["enable.auto.commit", "isolation.level", "acks", "transactional.id", "sasl.password", "rebalance_cb"]
        {
            assert!(refused_kafka_property(name).is_some(), "{name}");
        }
        for name in
            ["fetch.max.bytes", "compression.type", "ssl.endpoint.identification.algorithm", "session.timeout.ms"]
        {
            assert_eq!(refused_kafka_property(name), None, "{name}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let security =
            KafkaSecurity { username: Some("u".into()), password: Some("secret".into()), ..KafkaSecurity::default() };
        assert!(!format!("{security:?}").contains("secret"));
        assert_eq!(security.properties().collect::<Vec<_>>(), [("sasl.username", "u"), ("sasl.password", "secret")]);
    }
}
