//! Settings of librdkafka's clients, their log, and their errors as faults.

use crate::codes;
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::KafkaConnection;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::time::Duration;

/// The settings of a client: those of its section, with `own`, which win.
pub(crate) fn config(connection: &KafkaConnection, own: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    // Partitions that are added later are seen after this long: librdkafka's default is five minutes.
    config.set("topic.metadata.refresh.interval.ms", "30000").set("client.id", "esclusa");
    config.set("socket.keepalive.enable", "true");
    for (name, value) in &connection.client {
        config.set(name, value);
    }
    config.set("bootstrap.servers", connection.bootstrap_servers.join(","));
    for (name, value) in connection.security.properties() {
        config.set(name, value);
    }
    let tls = connection.security.protocol.as_deref().is_some_and(|protocol| protocol.ends_with("SSL"));
    if tls && connection.security.ca.is_none() {
        // The OpenSSL inside the binary knows no directory of this machine.
        config.set("ssl.ca.location", "probe");
    }
    for (name, value) in own {
        config.set(*name, *value);
    }
    config.set_log_level(RDKafkaLogLevel::Info);
    config
}

/// The fault that an error of librdkafka means; `doing` names the request.
pub(crate) fn fault(doing: &str, error: &KafkaError) -> Fault {
    let reason = format!("{doing}: {}", words(error));
    let Some(code) = error.rdkafka_error_code() else {
        return match error {
            KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) => Fault::Permanent(reason),
            _ => Fault::Transient(reason),
        };
    };
    match code {
        RDKafkaErrorCode::SSL
        | RDKafkaErrorCode::SaslAuthenticationFailed
        | RDKafkaErrorCode::Authentication
        | RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::GroupAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed
        | RDKafkaErrorCode::TransactionalIdAuthorizationFailed => Fault::Refused {
            code: codes::DENIED,
            reason: format!("{reason}: check security of the section, and the rights of its user"),
        },
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => Fault::Refused {
            code: codes::NO_TOPIC,
            reason: format!("{reason}: create the topic, or correct its name in routes.toml"),
        },
        RDKafkaErrorCode::FencedInstanceId => Fault::Refused {
            code: codes::INSTANCE_TAKEN,
            reason: format!("{reason}: another process uses the same group_instance_id"),
        },
        RDKafkaErrorCode::PolicyViolation | RDKafkaErrorCode::ThrottlingQuotaExceeded => {
            Fault::Throttled { reason, after: Duration::from_millis(500) }
        }
        RDKafkaErrorCode::AllBrokersDown
        | RDKafkaErrorCode::BrokerTransportFailure
        | RDKafkaErrorCode::Resolve
        | RDKafkaErrorCode::OperationTimedOut => {
            Fault::Transient(format!("{reason}: is there a network, and is bootstrap_servers right?"))
        }
        _ => Fault::Transient(reason),
    }
}

/// An error in librdkafka's words, without the name of the Rust type.
fn words(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, why, name, value) => format!("{name} = {value:?}: {why}"),
        KafkaError::ClientCreation(why) | KafkaError::Seek(why) | KafkaError::Subscription(why) => why.clone(),
        KafkaError::Transaction(error) => error.string(),
        error => error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string()),
    }
}

/// Writes a line of librdkafka's log to the router's.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::warn!(facility, "librdkafka: {line}");
        }
        RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => tracing::info!(facility, "librdkafka: {line}"),
        RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => tracing::debug!(facility, "librdkafka: {line}"),
    }
}
