//! Sources of kind `kafka`, and the keys that outputs of this kind have, too: brokers, security, properties.

use super::STARTING_POSITION_TIMESTAMP;
use super::aws::OF_ROUTE;
use crate::shape::{Default, KeySpec, Section, ValueKind};

pub(crate) static BOOTSTRAP_SERVERS: KeySpec = KeySpec {
    name: "bootstrap_servers",
    kind: ValueKind::OneOrMore,
    default: Default::Required,
    about: "The first brokers to ask, each as host:port; the others are found by themselves.",
};
pub(crate) static SECURITY: KeySpec = KeySpec {
    name: "security",
    kind: ValueKind::Section(&SECURITY_SECTION),
    default: Default::Depends("no encryption and no login"),
    about: "Encryption and login.",
};
pub(crate) static CLIENT: KeySpec = KeySpec {
    name: "client",
    kind: ValueKind::Texts,
    default: Default::Nothing,
    about: "Further properties of librdkafka, by name. Those on which a promise of the router depends are refused.",
};

pub(crate) static PROTOCOL: KeySpec = KeySpec {
    name: "protocol",
    kind: ValueKind::Choice(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]),
    default: Default::Required,
    about: "Kafka's security protocol: SSL is encrypted, SASL logs in.",
};
pub(crate) static MECHANISM: KeySpec = KeySpec {
    name: "mechanism",
    kind: ValueKind::Choice(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]),
    default: Default::Depends("required with SASL"),
    about: "How to log in.",
};
pub(crate) static USERNAME: KeySpec = KeySpec {
    name: "username",
    kind: ValueKind::Text,
    default: Default::Depends("required with SASL"),
    about: "The user.",
};
pub(crate) static PASSWORD: KeySpec = KeySpec {
    name: "password",
    kind: ValueKind::Text,
    default: Default::Depends("required with SASL"),
    about: "The user's password: \"${file:PATH}\" or \"${VAR}\" keeps it out of this file.",
};
pub(crate) static CA: KeySpec = KeySpec {
    name: "ca",
    kind: ValueKind::Path,
    default: Default::Depends("the certificate authorities of the system"),
    about: "File of the certificate authorities that may sign the brokers' certificates, PEM.",
};
pub(crate) static CERTIFICATE: KeySpec = KeySpec {
    name: "certificate",
    kind: ValueKind::Path,
    default: Default::Nothing,
    about: "File of the certificate with which the router identifies itself, PEM.",
};
pub(crate) static KEY: KeySpec = KeySpec {
    name: "key",
    kind: ValueKind::Path,
    default: Default::Depends("required with certificate"),
    about: "File of the certificate's private key, PEM.",
};
pub(crate) static KEY_PASSWORD: KeySpec = KeySpec {
    name: "key_password",
    kind: ValueKind::Text,
    default: Default::Nothing,
    about: "Password of the private key, if it has one.",
};
pub(crate) static SECURITY_SECTION: Section = Section {
    name: "security",
    about: "Encryption and login.",
    keys: &[&PROTOCOL, &MECHANISM, &USERNAME, &PASSWORD, &CA, &CERTIFICATE, &KEY, &KEY_PASSWORD],
    foreign: &[
        ("security_protocol", "write protocol = \"SASL_SSL\""),
        ("sasl_mechanism", "write mechanism = \"SCRAM-SHA-512\""),
        ("sasl_username", "write username = \"USER\""),
        ("sasl_password", "write password = \"${file:PATH}\""),
        ("sasl_jaas_config", "write mechanism, username and password"),
        ("ssl_ca_location", "write ca = \"PATH\""),
        ("ssl_truststore_location", "write ca = \"PATH\", a file of PEM"),
        ("ssl_keystore_location", "write certificate = \"PATH\" and key = \"PATH\", files of PEM"),
        ("ssl_certificate_location", "write certificate = \"PATH\""),
        ("ssl_key_location", "write key = \"PATH\""),
    ],
};

pub(crate) static TOPICS: KeySpec = KeySpec {
    name: "topics",
    kind: ValueKind::OneOrMore,
    default: Default::Depends("the source's name"),
    about: "The topics; each route of the source reads them all.",
};
pub(crate) static STARTING_POSITION: KeySpec = KeySpec {
    name: "starting_position",
    kind: ValueKind::Choice(&["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"]),
    default: Default::Value("TRIM_HORIZON"),
    about: "Start of partitions that exist when the consumer group begins: the oldest record, the next one, or a time. Partitions that are added later are read from their first record.",
};
pub(crate) static GROUP_INSTANCE_ID: KeySpec = KeySpec {
    name: "group_instance_id",
    kind: ValueKind::Text,
    default: Default::Depends("none: each start of the router is a new member"),
    about: "Name of this process among the members of the group, which no other process has. A process that comes back under it before its session ends gets its partitions back, and the others are not disturbed.",
};
pub(crate) static REVOKE_TIMEOUT: KeySpec = KeySpec {
    name: "revoke_timeout",
    kind: ValueKind::Duration { min: "1s", max: "5m", endless: false },
    default: Default::Value("10s"),
    about: "How long a batch in work may take to finish when its partition goes to another member; then it is abandoned.",
};
pub(crate) static KAFKA_SECTION: Section = Section {
    name: "kafka",
    about: "Topics of Kafka: ordered by key within a partition, retained, read by many routes. Each route is a consumer group, whose members share the partitions.",
    keys: &[
        &BOOTSTRAP_SERVERS,
        &TOPICS,
        &STARTING_POSITION,
        &STARTING_POSITION_TIMESTAMP,
        &SECURITY,
        &GROUP_INSTANCE_ID,
        &REVOKE_TIMEOUT,
        &CLIENT,
    ],
    foreign: &[
        ("brokers", "write bootstrap_servers = [\"HOST:PORT\"]"),
        ("servers", "write bootstrap_servers = [\"HOST:PORT\"]"),
        ("topic", "write topics = [\"NAME\"]"),
        ("group_id", "write consumer_group_id = \"NAME\" at the route"),
        ("consumer_group_id", "it is a key of the route, since each route has a place of its own"),
        ("auto_offset_reset", "write starting_position = \"TRIM_HORIZON\" (earliest) or \"LATEST\" (latest)"),
        ("initial_position", "write starting_position = \"TRIM_HORIZON\""),
        ("self_managed_event_source", "write bootstrap_servers = [\"HOST:PORT\"]"),
        ("source_access_configurations", "write security = { protocol = \"SASL_SSL\", … }"),
        ("partitions", "leave it out: the topic has its partitions"),
        ("properties", "write client = { \"NAME\" = \"VALUE\" }"),
        ("batch_size", OF_ROUTE),
        ("maximum_batching_window_in_seconds", OF_ROUTE),
        ("max_batching_window", OF_ROUTE),
        ("function_name", "a route names the plugin: plugin = \"PATH.wasm\""),
    ],
};
