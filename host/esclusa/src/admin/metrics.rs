//! `/metrics`: the status in Prometheus' text format. `docs/reference/metrics.md` lists every name.
//!
//! Labels are bounded: their values are names that are or were in routes.toml and words of the router, never anything
//! from an event. Partitions are those of the topics in routes.toml.

use super::AdminServer;
use crate::runtime::backlog::BacklogStatus;
use crate::runtime::listening::ListenerStatus;
use crate::runtime::status::{PartitionStatus, RouteStatus, ShardsStatus, Status, StoreStatus};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use esclusa_http::api_error::ApiError;
use esclusa_pipeline::output_meter::OutputReading;
use std::fmt::Write;
use std::sync::Arc;

/// A metric of each route.
struct Metric {
    name: &'static str,
    kind: &'static str,
    about: &'static str,
    value: fn(&RouteStatus) -> f64,
}

const fn counter(name: &'static str, about: &'static str, value: fn(&RouteStatus) -> f64) -> Metric {
    Metric { name, kind: "counter", about, value }
}

const fn gauge(name: &'static str, about: &'static str, value: fn(&RouteStatus) -> f64) -> Metric {
    Metric { name, kind: "gauge", about, value }
}

/// Removed routes have this metric, too, as long as they have dead letters.
const DEAD_LETTERS: &str = "esclusa_dead_letters";

const METRICS: &[Metric] = &[
    gauge("esclusa_route_healthy", "1 while the route does its work.", |r| f64::from(u8::from(r.health.healthy))),
    gauge("esclusa_route_breaker_open", "1 while the route's breaker is open.", |r| {
        f64::from(u8::from(r.breaker.is_some()))
    }),
    gauge("esclusa_events_in_flight", "Events taken from the source and not settled.", |r| r.reading.in_flight as f64),
    gauge("esclusa_in_flight_bytes", "Bytes of events in flight.", |r| r.in_flight_bytes as f64),
    gauge(DEAD_LETTERS, "Events in the embedded dead letters.", |r| r.dead_letters as f64),
    counter("esclusa_events_released_total", "Times that events were released: they went back to their queue.", |r| {
        r.reading.released as f64
    }),
    counter("esclusa_plugin_calls_total", "Calls of the plugin.", |r| r.reading.calls as f64),
    counter("esclusa_plugin_failed_calls_total", "Calls that failed.", |r| r.reading.failed_calls as f64),
    counter("esclusa_plugin_call_seconds_total", "Time spent in calls.", |r| r.reading.call_micros as f64 / 1e6),
    counter("esclusa_commits_total", "Commits.", |r| r.reading.commits as f64),
    counter("esclusa_commit_seconds_total", "Time spent in commits.", |r| r.reading.commit_micros as f64 / 1e6),
    counter("esclusa_reruns_total", "Commits repeated because a guard did not hold.", |r| r.reading.reruns as f64),
    counter("esclusa_skipped_writes_total", "Writes left out because a guard did not hold.", |r| {
        r.reading.skipped_writes as f64
    }),
    counter("esclusa_messages_sent_total", "Messages sent outside.", |r| r.reading.sent as f64),
];

/// The value of a metric of shards; `None` if the service has not said.
type ShardsValue = fn(&ShardsStatus) -> Option<f64>;

/// Metrics of routes whose source has shards: name, kind, meaning.
const SHARDS: &[(&str, &str, &str, ShardsValue)] = &[
    ("esclusa_shards", "gauge", "Shards that this process works on.", |s| Some(s.working as f64)),
    ("esclusa_shards_unowned", "gauge", "Shards that no process works on.", |s| Some(s.unowned as f64)),
    ("esclusa_shards_behind_seconds", "gauge", "How far behind the shard is that is furthest behind.", |s| {
        Some(s.behind_millis? as f64 / 1e3)
    }),
    ("esclusa_shards_gaps_total", "counter", "Times that records may have been trimmed before they were read.", |s| {
        Some(s.gaps as f64)
    }),
];

/// The value of a metric of what waits; `None` if the source does not say.
type OfBacklog = fn(&BacklogStatus) -> Option<f64>;

/// Metrics of what waits in a route's source: name, meaning.
const BACKLOG: &[(&str, &str, OfBacklog)] = &[
    ("esclusa_backlog_events", "Events that wait in the source, those in flight included.", |b| Some(b.waiting as f64)),
    ("esclusa_backlog_oldest_seconds", "Age of the oldest event that waits.", |b| {
        b.oldest_millis.map(|age| age as f64 / 1e3).or((b.waiting == 0).then_some(0.0))
    }),
    ("esclusa_backlog_work_seconds", "How long this process alone would take for what waits.", |b| b.seconds),
];

/// The value of a metric of a partition; `None` if it is not known.
type OfPartition = fn(&PartitionStatus) -> Option<f64>;

/// Metrics of partitions of Kafka: name, meaning. All are gauges.
const PARTITIONS: &[(&str, &str, OfPartition)] = &[
    ("esclusa_partition_position", "Offset of the next record to settle.", |p| Some(p.position as f64)),
    ("esclusa_partition_end", "Offset behind the last record.", |p| Some(p.end as f64)),
    ("esclusa_partition_behind_records", "How many records the route is behind.", |p| Some(p.behind_records as f64)),
    ("esclusa_partition_behind_seconds", "How far the route is behind.", |p| Some(p.behind_millis? as f64 / 1e3)),
];

/// The value of a metric of an output; the second argument is the time now, in milliseconds since the Unix epoch.
type OfOutput = fn(&OutputReading, u64) -> f64;

/// Metrics of outputs outside of the engine: name, kind, meaning.
const OUTPUTS: &[(&str, &str, &str, OfOutput)] = &[
    ("esclusa_output_pending_messages", "gauge", "Messages that are not delivered yet.", |o, _| o.pending as f64),
    ("esclusa_output_oldest_pending_seconds", "gauge", "How long the oldest of them has waited.", |o, now| {
        o.oldest.map_or(0.0, |since| now.saturating_sub(since.millis()) as f64 / 1e3)
    }),
    ("esclusa_output_failed_tries_in_a_row", "gauge", "Tries that failed since the output last worked.", |o, _| {
        f64::from(o.failed_in_a_row)
    }),
    ("esclusa_output_failed_tries_total", "counter", "Tries of messages that failed.", |o, _| o.failed_tries as f64),
    ("esclusa_output_given_up_total", "counter", "Messages given up.", |o, _| o.given_up as f64),
    ("esclusa_output_sent_total", "counter", "Messages sent.", |o, _| o.sent as f64),
];

/// Files whose content on disk is not what runs: name and meaning.
const STALE: (&str, &str) =
    ("esclusa_configuration_stale", "Files whose content on disk is not what runs: refused, being loaded, or missing.");
/// The value of a metric of a listener.
type OfListener = fn(&ListenerStatus) -> f64;

/// Metrics of listeners: name, meaning. All are gauges.
const LISTENERS: &[(&str, &str, OfListener)] = &[
    ("esclusa_listener_connections", "Connections that are open.", |l| l.connections as f64),
    ("esclusa_listener_max_connections", "Most connections at the same time.", |l| l.max_connections as f64),
];

/// Answers of listeners, by status: name and meaning.
const ANSWERS: (&str, &str) = ("esclusa_listener_answers_total", "Answers by the first digit of their status.");

/// Items that expired, by table: name and meaning.
const EXPIRED: (&str, &str) =
    ("esclusa_table_expired_items_total", "Items that the store deleted because they had expired.");

/// The value of a metric of the store.
type OfStore = fn(&StoreStatus) -> u64;

/// Metrics of the store: name, meaning. All are gauges.
const STORE: &[(&str, &str, OfStore)] = &[
    ("esclusa_store_bytes", "Bytes of the store's files.", |s| s.bytes),
    ("esclusa_store_max_bytes", "Bytes beyond which the store takes nothing from outside.", |s| s.max_bytes),
    ("esclusa_store_dead_letters", "Dead letters of all routes.", |s| s.dead_letters),
    ("esclusa_store_max_dead_letters", "Dead letters beyond which routes wait.", |s| s.max_dead_letters),
    ("esclusa_store_dead_letter_bytes", "Bytes of all dead letters.", |s| s.dead_letter_bytes),
    ("esclusa_store_max_dead_letter_bytes", "Bytes of dead letters beyond which routes wait.", |s| {
        s.max_dead_letter_bytes
    }),
];

/// Answers the metrics.
pub(crate) async fn metrics(State(admin): State<Arc<AdminServer>>) -> Result<Response, ApiError> {
    let shown = admin.snapshot.show(&admin.runtime).await?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shown.metrics.clone()).into_response())
}

/// Every metric of a status, as text for Prometheus.
#[must_use]
pub(crate) fn render(status: &Status) -> String {
    let mut out = String::new();
    process(&mut out, status);
    head(&mut out, "esclusa_plugin_info", "gauge", "The plugin version that serves a route.");
    for route in &status.routes {
        let (plugin, digest) = (&route.plugin, route.plugin.digest.get(..12).unwrap_or_default());
        line(
            &mut out,
            "esclusa_plugin_info",
            &[("route", &route.name), ("plugin", &plugin.name), ("version", &plugin.version), ("digest", digest)],
            1.0,
        );
    }
    head(&mut out, "esclusa_route_state", "gauge", "1 for the state that a route is in.");
    for route in &status.routes {
        line(&mut out, "esclusa_route_state", &[("route", &route.name), ("state", &route.state)], 1.0);
    }
    head(&mut out, "esclusa_events_settled_total", "counter", "Events by how they ended.");
    for route in &status.routes {
        let counts = &route.reading.counts;
        for (outcome, count) in
            [("done", counts.done), ("skipped", counts.skipped), ("filtered", counts.filtered), ("dead", counts.dead)]
        {
            line(
                &mut out,
                "esclusa_events_settled_total",
                &[("route", &route.name), ("outcome", outcome)],
                count as f64,
            );
        }
    }
    for metric in METRICS {
        head(&mut out, metric.name, metric.kind, metric.about);
        for route in &status.routes {
            line(&mut out, metric.name, &[("route", &route.name)], (metric.value)(route));
        }
        if metric.name == DEAD_LETTERS {
            for (route, count) in &status.left_dead_letters {
                line(&mut out, DEAD_LETTERS, &[("route", route)], *count as f64);
            }
        }
    }
    shards(&mut out, status);
    for (name, about, value) in BACKLOG {
        head(&mut out, name, "gauge", about);
        for route in &status.routes {
            if let Some(value) = route.backlog.as_ref().and_then(value) {
                line(&mut out, name, &[("route", &route.name)], value);
            }
        }
    }
    store(&mut out, status);
    tables(&mut out, status);
    listeners(&mut out, status);
    partitions(&mut out, status);
    outputs(&mut out, status);
    out
}

fn process(out: &mut String, status: &Status) {
    head(out, "esclusa_build_info", "gauge", "The version that runs.");
    line(out, "esclusa_build_info", &[("version", &status.version)], 1.0);
    head(out, STALE.0, "gauge", STALE.1);
    line(out, STALE.0, &[], status.stale.len() as f64);
}

fn partitions(out: &mut String, status: &Status) {
    for (name, about, value) in PARTITIONS {
        head(out, name, "gauge", about);
        for route in &status.routes {
            for partition in route.shards.iter().flat_map(|shards| &shards.partitions) {
                if let Some(value) = value(partition) {
                    line(out, name, &[("route", &route.name), ("partition", &partition.lane)], value);
                }
            }
        }
    }
}

fn shards(out: &mut String, status: &Status) {
    for (name, kind, about, value) in SHARDS {
        head(out, name, kind, about);
        for route in &status.routes {
            if let Some(value) = route.shards.as_ref().and_then(value) {
                line(out, name, &[("route", &route.name)], value);
            }
        }
    }
}

fn store(out: &mut String, status: &Status) {
    for (name, about, value) in STORE {
        head(out, name, "gauge", about);
        line(out, name, &[], value(&status.store) as f64);
    }
}

fn tables(out: &mut String, status: &Status) {
    head(out, EXPIRED.0, "counter", EXPIRED.1);
    for (table, items) in &status.expired_items {
        line(out, EXPIRED.0, &[("table", table)], *items as f64);
    }
}

fn listeners(out: &mut String, status: &Status) {
    for (name, about, value) in LISTENERS {
        head(out, name, "gauge", about);
        for listener in &status.listeners {
            line(out, name, &[("listener", &listener.name)], value(listener));
        }
    }
    head(out, ANSWERS.0, "counter", ANSWERS.1);
    for listener in &status.listeners {
        for (class, count) in &listener.answers {
            line(out, ANSWERS.0, &[("listener", &listener.name), ("status", class)], *count as f64);
        }
    }
}

fn outputs(out: &mut String, status: &Status) {
    for (name, kind, about, value) in OUTPUTS {
        head(out, name, kind, about);
        for (route, output) in status.routes.iter().flat_map(|r| r.outputs.iter().map(move |output| (r, output))) {
            if let Some(messages) = &output.messages {
                let labels = [("route", route.name.as_str()), ("output", output.name.as_str())];
                line(out, name, &labels, value(messages, status.now));
            }
        }
    }
}

/// Writes what stands before the samples of a metric.
pub(super) fn head(out: &mut String, name: &str, kind: &str, about: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(out, "# HELP {name} {about}\n# TYPE {name} {kind}");
}

/// Writes a sample.
pub(super) fn line(out: &mut String, name: &str, labels: &[(&str, &str)], value: f64) {
    let labels: Vec<String> = labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escape(text))).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let _ = writeln!(out, "{name}{labels} {value}");
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::{Status, render};
    use std::collections::BTreeSet;

    fn status() -> Status {
        let left_dead_letters = [("web".to_owned(), 4)].into();
        let expired_items = [("sessions".to_owned(), 3)].into();
        let (version, routes, listeners) = ("1".to_owned(), Vec::new(), Vec::new());
        let (stale, reloads) = (Vec::new(), Vec::new());
        let store = super::StoreStatus { bytes: 7, max_bytes: 9, ..super::StoreStatus::default() };
        Status { version, pid: 1, now: 0, routes, left_dead_letters, expired_items, listeners, store, stale, reloads }
    }

    #[test]
    fn letters_of_a_route_that_is_gone_are_counted() {
        assert!(render(&status()).contains("\nesclusa_dead_letters{route=\"web\"} 4\n"));
    }

    #[test]
    fn the_fill_of_the_store_is_shown_with_its_limit() {
        let text = render(&status());
        assert!(text.contains("\nesclusa_store_bytes 7\n") && text.contains("\nesclusa_store_max_bytes 9\n"), "{text}");
    }

    #[test]
    fn expired_items_are_counted_by_table() {
        assert!(render(&status()).contains("\nesclusa_table_expired_items_total{table=\"sessions\"} 3\n"));
    }

    fn names(text: &str, start: &str) -> BTreeSet<String> {
        let rest = text.split(start).skip(1);
        rest.map(|rest| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect()).collect()
    }

    #[test]
    fn the_reference_page_lists_exactly_the_metrics_that_there_are() {
        let status = status();
        let mut text = render(&status);
        crate::admin::plugin_metrics::render(&mut text, &[]);
        let page = include_str!("../../../../docs/reference/metrics.md");
        assert_eq!(names(page, "\n| `"), names(&text, "# TYPE "));
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(super::escape("a\"b\\c\nd"), r#"a\"b\\c\nd"#);
    }
}
