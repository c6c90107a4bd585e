//! The effective configuration: every key of routes.toml with the value in effect, as JSON. Texts with `${…}` and the
//! headers of webhooks may be secrets and are masked. In all other texts the values of `${…}` are.

use crate::load::LoadedConfig;
use crate::plan::{
    AmbiguousSend, Auth, AwsDefaults, DeliveryMode, DynamodbStreamName, Endpoint, HttpListener, Instances,
    KafkaConnection, KeyPlace, KeySchema, ListenerSource, Network, Objects, Output, RouteSpec, ServiceLocation,
    ShardCoordination, SignatureScheme, SnsReceiver, Source, Start, TableSchema, TableSpec,
};
use crate::syntax::toml_tree::masked;
use crate::syntax::units::{show_duration, show_size};
use esclusa_flow::secrets::{MASK, Secrets};
use serde_json::{Map, Value, json};

/// The configuration in effect, as pretty-printed JSON; ends with a newline.
#[must_use]
pub fn effective(loaded: &LoadedConfig) -> String {
    let plan = &loaded.plan;
    let routes = plan.routes.iter().enumerate().map(|(at, r)| route(r, at, loaded));
    let mut value = json!({
        "version": 1,
        "admin": plan.admin.as_ref().map(|admin| json!({ "listen": admin.listen.to_string() })),
        "engine": {
            "path": plan.engine.display().to_string(),
            "max_bytes": size(plan.limits.bytes as usize),
            "max_dead_letters": plan.limits.dead_letters,
            "max_dead_letter_bytes": size(plan.limits.dead_letter_bytes as usize),
        },
        "aws": aws_section(&plan.aws),
        "listener": by_name(plan.listeners.iter().map(|(name, value)| (name.as_str(), listener(value)))),
        "source": by_name(plan.sources.iter().map(|(name, value)| (&**name, source(value)))),
        "table": by_name(plan.tables.iter().map(|(name, value)| (name.as_str(), table(value)))),
        "objects": by_name(plan.objects.iter().map(|(name, value)| (name.as_str(), objects(value)))),
        "output": by_name(plan.outputs.iter().map(|(name, value)| (name.as_str(), output(name, value, loaded)))),
        "route": routes.collect::<Vec<_>>(),
    });
    mask(&mut value, loaded.locator.secrets());
    format!("{value:#}\n")
}

/// Hides secrets in all texts, not in keys: no `${…}` can be in a key.
fn mask(value: &mut Value, secrets: &Secrets) {
    match value {
        Value::String(text) => *text = secrets.mask(std::mem::take(text)),
        Value::Array(values) => values.iter_mut().for_each(|value| mask(value, secrets)),
        Value::Object(fields) => fields.values_mut().for_each(|value| mask(value, secrets)),
        _ => {}
    }
}

fn by_name<'a>(values: impl Iterator<Item = (&'a str, Value)>) -> Value {
    Value::Object(values.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

fn source(source: &Source) -> Value {
    match source {
        Source::Stream { stream, partitions, retention, start } => {
            let (word, time) = position(*start);
            json!({ "kind": "stream", "stream": stream, "partitions": partitions, "retention": show_duration(*retention),
                "starting_position": word, "starting_position_timestamp": time })
        }
        Source::Queue { queue, visibility_timeout, max_receive_count } => json!({ "kind": "queue", "queue": queue,
            "visibility_timeout": show_duration(*visibility_timeout), "max_receive_count": max_receive_count }),
        Source::TableChanges { table, start } => {
            json!({ "kind": "table-changes", "table": table, "starting_position": position(*start).0 })
        }
        Source::File { path, follow } => {
            json!({ "kind": "file", "path": path.display().to_string(), "follow": follow })
        }
        Source::Http { on, reply, max_body, timeout, partitions } => joined(
            json!({ "kind": "http", "reply": reply, "max_body": size(*max_body), "timeout": show_duration(*timeout),
                "partitions": partitions }),
            on.as_deref().map_or_else(|| json!({}), on_listener),
        ),
        Source::Generate { interval, per_tick, count, events, key } => json!({ "kind": "generate",
            "interval": show_duration(*interval), "per_tick": per_tick, "count": count, "events": events, "key": key }),
        Source::Schedule { cron, event } => json!({ "kind": "schedule", "cron": cron, "event": event }),
        Source::Kafka { connection, topics, start, group_instance_id, revoke_timeout } => {
            let (word, time) = position(*start);
            let value = json!({ "kind": "kafka", "topics": topics, "starting_position": word,
                "starting_position_timestamp": time, "group_instance_id": group_instance_id,
                "revoke_timeout": show_duration(*revoke_timeout) });
            joined(value, brokers(connection))
        }
        Source::Kinesis { .. } | Source::DynamodbStream { .. } | Source::Sqs { .. } => aws_source(source),
    }
}

/// A listener.
fn listener(listener: &HttpListener) -> Value {
    let path = |path: &std::path::Path| path.display().to_string();
    json!({
        "listen": listener.listen.to_string(),
        "tls": listener.tls.as_ref().map(|tls| json!({ "certificate": path(&tls.certificate), "key": path(&tls.key) })),
        "cors": listener.cors.as_ref().map(|cors| json!({ "origins": cors.origins, "methods": cors.methods,
            "headers": cors.headers, "credentials": cors.credentials, "max_age": show_duration(cors.max_age) })),
        "trusted_proxies": listener.trusted_proxies.iter().map(Network::to_string).collect::<Vec<_>>(),
        "max_connections": listener.max_connections,
        "drain_delay": show_duration(listener.drain_delay),
    })
}

/// What a source has on its listener. Its secrets are masked, however they are written.
fn on_listener(on: &ListenerSource) -> Value {
    let auth = on.auth.as_ref().map(|auth| match auth {
        Auth::Bearer(tokens) => json!({ "bearer": vec![MASK; tokens.len()] }),
        Auth::Basic { user, .. } => json!({ "basic": { "user": user, "password": MASK } }),
        Auth::Hmac { secrets, scheme, tolerance } => {
            let scheme = match scheme {
                SignatureScheme::Github => "github",
                SignatureScheme::Stripe => "stripe",
                SignatureScheme::StandardWebhooks => "standard-webhooks",
            };
            json!({ "hmac": { "secret": vec![MASK; secrets.len()], "scheme": scheme, "tolerance": show_duration(*tolerance) } })
        }
    });
    let key = on.idempotency.as_ref().map(|idempotency| match &idempotency.key {
        KeyPlace::Header(name) => name.clone(),
        KeyPlace::Body(path) => format!("body.{path}"),
    });
    json!({
        "listener": on.listener,
        "endpoints": on.endpoints.iter().map(Endpoint::to_string).collect::<Vec<_>>(),
        "auth": auth,
        "idempotency_key": key,
        "idempotency_ttl": on.idempotency.as_ref().map(|idempotency| show_duration(idempotency.ttl)),
        "rate_limit": json!({ "per_client": on.per_client, "total": on.total }),
    })
}

fn position(start: Start) -> (&'static str, Option<String>) {
    match start {
        Start::TrimHorizon => ("TRIM_HORIZON", None),
        Start::Latest => ("LATEST", None),
        Start::AtTimestamp(millis) => {
            let time = i64::try_from(millis).ok().and_then(chrono::DateTime::from_timestamp_millis);
            ("AT_TIMESTAMP", time.map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)))
        }
    }
}

fn table(table: &TableSpec) -> Value {
    let key = |key: &KeySchema| json!({ "partition_key": key.partition, "sort_key": key.sort });
    let layout = |layout: &TableSchema| {
        let indexes = by_name(layout.indexes.iter().map(|(name, index)| (name.as_str(), key(index))));
        json!({ "partition_key": layout.key.partition, "sort_key": layout.key.sort, "indexes": indexes,
            "changes": layout.changes, "ttl": layout.ttl })
    };
    match table {
        TableSpec::Embedded(known) => joined(json!({ "kind": "embedded" }), layout(known)),
        TableSpec::Dynamodb { name, layout: known, place } => joined(
            joined(json!({ "kind": "dynamodb", "name": name }), known.as_ref().map_or_else(|| json!({}), layout)),
            location(place),
        ),
    }
}

/// The keys of both objects.
fn joined(mut value: Value, more: Value) -> Value {
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

fn objects(objects: &Objects) -> Value {
    match objects {
        Objects::Directory { path } => json!({ "kind": "directory", "path": path.display().to_string() }),
        Objects::S3 { bucket, prefix, path_style, place } => joined(
            json!({ "kind": "s3", "bucket": bucket, "prefix": prefix, "path_style": path_style }),
            location(place),
        ),
    }
}

fn output(name: &str, output: &Output, loaded: &LoadedConfig) -> Value {
    match output {
        Output::Stream { stream, partitions } => {
            json!({ "kind": "stream", "stream": stream, "partitions": partitions })
        }
        Output::Queue { queue } => json!({ "kind": "queue", "queue": queue }),
        Output::File { path } => json!({ "kind": "file", "path": path.display().to_string() }),
        Output::Console => json!({ "kind": "console" }),
        Output::Webhook { headers, timeout, .. } => json!({ "kind": "webhook",
            "url": loaded.locator.output(name, "url").map(masked),
            "headers": by_name(headers.iter().map(|(name, _)| (name.as_str(), json!(MASK)))),
            "timeout": show_duration(*timeout) }),
        Output::Smtp { from, to, subject, .. } => json!({ "kind": "smtp", "url": server(name, loaded), "from": from,
            "to": to, "subject": subject }),
        Output::Kafka { connection, topic } => joined(json!({ "kind": "kafka", "topic": topic }), brokers(connection)),
        output => aws_output(output),
    }
}

/// How to reach the brokers, without secrets.
fn brokers(connection: &KafkaConnection) -> Value {
    let given = &connection.security;
    let secret = |value: &Option<String>| value.as_ref().map(|_| MASK);
    let security = given.protocol.as_ref().map(|protocol| {
        json!({ "protocol": protocol, "mechanism": given.mechanism, "username": given.username,
            "password": secret(&given.password), "ca": given.ca, "certificate": given.certificate, "key": given.key,
            "key_password": secret(&given.key_password) })
    });
    // Names of properties that hold secrets: `sasl.oauthbearer.client.secret`, `ssl.keystore.password`.
    let shown = |name: &str, value: &str| match name.contains("password") || name.contains("secret") {
        true => json!(MASK),
        false => json!(value),
    };
    let client = by_name(connection.client.iter().map(|(name, value)| (name.as_str(), shown(name, value))));
    json!({ "bootstrap_servers": connection.bootstrap_servers, "security": security, "client": client })
}

/// A mail server's URL with its password masked.
fn server(name: &str, loaded: &LoadedConfig) -> Option<Value> {
    let shown = loaded.locator.output(name, "url").map(masked)?;
    let hidden = shown.as_str().and_then(|url| url::Url::parse(url).ok()).filter(|url| url.password().is_some());
    Some(match hidden {
        Some(mut url) => match url.set_password(Some(MASK)) {
            Ok(()) => json!(url.as_str()),
            // A URL that cannot carry a password is masked as a whole.
            Err(()) => json!(MASK),
        },
        None => shown,
    })
}

fn route(route: &RouteSpec, at: usize, loaded: &LoadedConfig) -> Value {
    // Filter and config are shown as they are written: the plan has the filter in compiled form, and no longer knows which
    // texts of the config were interpolated.
    let written = |key| loaded.locator.route_key(at, key).map(masked);
    let value = json!({
        "name": &*route.name, "source": &*route.source, "consumer_group_id": route.consumer_group, "filter": written("filter"),
        "plugin": route.plugin.display().to_string(), "sha256": route.sha256,
        "tables": route.grants.tables, "objects": route.grants.objects,
        "read_objects": route.grants.read_objects, "outputs": route.grants.outputs,
        "batch_size": route.batch_size, "batch_bytes": size(route.batch_bytes),
        "batch_window": show_duration(route.batch_window), "concurrency": route.concurrency,
        "parallelization_factor": route.parallelization_factor,
        "in_flight": size(route.in_flight_bytes),
        "max_retry_attempts": route.policy.max_retry_attempts.map_or(json!(-1), |max| json!(max)),
        "max_record_age": route.policy.max_record_age.map_or(json!(-1), |max| json!(show_duration(max))),
        "bisect_batch_on_function_error": route.policy.bisect,
        "breaker": show_duration(route.breaker),
        "max_hops": route.max_hops,
        "retry_backoff": { "base": show_duration(route.policy.backoff.base), "max": show_duration(route.policy.backoff.max) },
        "on_failure": route.on_failure,
        "delivery": match route.delivery {
            DeliveryMode::ExactlyOnce => "exactly-once",
            DeliveryMode::AtLeastOnce => "at-least-once",
        },
        "limits": { "memory": size(route.limits.memory), "time": show_duration(route.limits.time),
            "effects": route.limits.effects, "output": size(route.limits.output_bytes),
            "logs": size(route.limits.log_bytes) },
    });
    let (instances, max_invocations, memory_high_water) = match route.instances {
        Instances::Fresh => ("fresh", None, None),
        Instances::Reuse { max_invocations, memory_high_water } => {
            ("reuse", Some(max_invocations), Some(size(memory_high_water)))
        }
    };
    let rest = json!({
        "instances": instances, "max_invocations": max_invocations, "memory_high_water": memory_high_water,
        "enabled": route.enabled, "config": written("config").unwrap_or_else(|| json!({})),
    });
    joined(value, rest)
}

fn size(bytes: usize) -> String {
    show_size(u64::try_from(bytes).unwrap_or(u64::MAX))
}

/// `[aws]`.
fn aws_section(aws: &AwsDefaults) -> Value {
    joined(location(&aws.place), json!({ "dedup_table": aws.dedup_table }))
}

/// The location of a resource.
fn location(place: &ServiceLocation) -> Value {
    json!({ "region": place.region, "endpoint_url": place.endpoint_url })
}

/// A source on AWS; an empty object for any other.
fn aws_source(source: &Source) -> Value {
    match source {
        Source::Kinesis { stream, start, consumer, ordered, coordination, place: at } => {
            let (word, time) = position(*start);
            let value = json!({ "kind": "kinesis", "stream": stream, "starting_position": word,
                "starting_position_timestamp": time, "consumer": consumer, "ordering": ordering(*ordered) });
            joined(joined(value, shared(coordination)), location(at))
        }
        Source::DynamodbStream { of, start, ordered, coordination, place: at } => {
            let (table, arn) = match of {
                DynamodbStreamName::Table(table) => (Some(table), None),
                DynamodbStreamName::Arn(arn) => (None, Some(arn)),
            };
            let value = json!({ "kind": "dynamodb-stream", "table": table, "stream_arn": arn,
                "starting_position": position(*start).0, "ordering": ordering(*ordered) });
            joined(joined(value, shared(coordination)), location(at))
        }
        Source::Sqs { queue, visibility_timeout, max_receive_count, place: at } => {
            let value = json!({ "kind": "sqs", "queue": queue,
                "visibility_timeout": visibility_timeout.map(show_duration), "max_receive_count": max_receive_count });
            joined(value, location(at))
        }
        _ => json!({}),
    }
}

fn ordering(ordered: bool) -> &'static str {
    if ordered { "key" } else { "none" }
}

fn shared(coordination: &ShardCoordination) -> Value {
    match coordination {
        ShardCoordination::Leases { table, duration } => json!({ "coordination": "leases",
            "lease_table": table.as_deref().unwrap_or("esclusa-ROUTE"), "lease_duration": show_duration(*duration) }),
        ShardCoordination::None => json!({ "coordination": "none" }),
    }
}

/// An output on AWS; an empty object for any other.
fn aws_output(output: &Output) -> Value {
    match output {
        Output::Kinesis { stream, strict_order, place: at } => {
            joined(json!({ "kind": "kinesis", "stream": stream, "strict_order": strict_order }), location(at))
        }
        Output::Sqs { queue, place: at } => joined(json!({ "kind": "sqs", "queue": queue }), location(at)),
        Output::Sns { receiver, place: at } => {
            let (topic, phone) = match receiver {
                SnsReceiver::Topic(arn) => (Some(arn), None),
                SnsReceiver::Phone(number) => (None, Some(number)),
                SnsReceiver::Attribute => (None, None),
            };
            joined(json!({ "kind": "sns", "topic_arn": topic, "phone_number": phone }), location(at))
        }
        Output::Ses { from, to, subject, rate, ambiguous, place: at } => {
            let ambiguous = match ambiguous {
                AmbiguousSend::Retry => "retry",
                AmbiguousSend::DeadLetter => "dead-letter",
            };
            let value = json!({ "kind": "ses", "from": from, "to": to, "subject": subject, "rate": rate,
                "ambiguous": ambiguous });
            joined(value, location(at))
        }
        Output::S3 { bucket, prefix, path_style, place: at } => {
            let value = json!({ "kind": "s3", "bucket": bucket, "prefix": prefix, "path_style": path_style });
            joined(value, location(at))
        }
        _ => json!({}),
    }
}
