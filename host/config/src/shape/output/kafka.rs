//! Outputs of kind `kafka`.

use crate::shape::source::kafka::{BOOTSTRAP_SERVERS, CLIENT, SECURITY};
use crate::shape::{Default, KeySpec, Section, ValueKind};

pub(crate) static TOPIC: KeySpec = KeySpec {
    name: "topic",
    kind: ValueKind::Text,
    default: Default::Depends("the output's name"),
    about: "The topic. A message's key decides its partition.",
};
pub(crate) static KAFKA_SECTION: Section = Section {
    name: "kafka",
    about: "A topic of Kafka. At least once; exactly once from a Kafka source of the same brokers, if the route asks for it and writes nothing else.",
    keys: &[&BOOTSTRAP_SERVERS, &TOPIC, &SECURITY, &CLIENT],
    foreign: &[
        ("brokers", "write bootstrap_servers = [\"HOST:PORT\"]"),
        ("servers", "write bootstrap_servers = [\"HOST:PORT\"]"),
        ("topics", "write topic = \"NAME\": an output has one"),
        ("partitions", "leave it out: the topic has its partitions"),
        ("partition_key", "leave it out: a message has its key from the plugin"),
        ("transactional_id", "leave it out: the router names its transactions"),
        ("properties", "write client = { \"NAME\" = \"VALUE\" }"),
    ],
};
