//! The schema of the embedded engine, made from the plan.

use esclusa_config::plan::{self, Plan};
use esclusa_embedded::{OutputTarget, QueueSchema, StoreLimits, StoreSchema, StreamSchema};
use esclusa_flow::settings::TableSchema;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// Retention of a stream that no source of kind `stream` reads: the default of Kinesis.
const RETENTION: Duration = Duration::from_secs(24 * 3600);
/// Visibility timeout of a queue that no source reads; a source that reads it later brings its own.
const VISIBILITY: Duration = Duration::from_secs(30);
/// Most receives of a queue that no source reads.
const MAX_RECEIVES: u32 = 5;

/// The schema of a plan.
#[must_use]
pub(crate) fn of(plan: &Plan) -> StoreSchema {
    let mut schema = StoreSchema {
        tables: plan.tables.iter().filter_map(|(name, table)| Some((name.clone(), table_schema(table)?))).collect(),
        objects: plan.objects.iter().filter_map(|(name, store)| Some((name.clone(), directory(store)?))).collect(),
        limits: StoreLimits {
            bytes: plan.limits.bytes,
            dead_letters: plan.limits.dead_letters,
            dead_letter_bytes: plan.limits.dead_letter_bytes,
        },
        ..StoreSchema::default()
    };
    for (name, output) in &plan.outputs {
        match output {
            plan::Output::Stream { stream, partitions } => {
                schema.streams.insert(stream.clone(), StreamSchema { partitions: *partitions, retention: RETENTION });
                schema.outputs.insert(name.clone(), OutputTarget::Stream(stream.clone()));
            }
            plan::Output::Queue { queue } => {
                let queue_schema = QueueSchema {
                    visibility_timeout: VISIBILITY,
                    max_receive_count: MAX_RECEIVES,
                    consumers: BTreeSet::new(),
                };
                schema.queues.insert(queue.clone(), queue_schema);
                schema.outputs.insert(name.clone(), OutputTarget::Queue(queue.clone()));
            }
            _ => {}
        }
    }
    for (name, source) in &plan.sources {
        match source {
            plan::Source::Stream { stream, partitions, retention, .. } => {
                schema.streams.insert(stream.clone(), StreamSchema { partitions: *partitions, retention: *retention });
            }
            plan::Source::Http { reply: false, partitions, .. } => {
                schema
                    .streams
                    .insert(ingest_stream(name), StreamSchema { partitions: *partitions, retention: RETENTION });
            }
            plan::Source::Queue { queue, visibility_timeout, max_receive_count } => {
                // The engine keeps a message until every one of these routes has settled it.
                let consumers =
                    plan.routes.iter().filter(|r| reads_queue(plan, r, queue)).map(|r| r.name.to_string()).collect();
                let queue_schema = QueueSchema {
                    visibility_timeout: *visibility_timeout,
                    max_receive_count: *max_receive_count,
                    consumers,
                };
                schema.queues.insert(queue.clone(), queue_schema);
            }
            _ => {}
        }
    }
    schema
}

/// The stream that keeps the events of an `http` source. No stream of routes.toml can have a slash in its name, so the
/// two never clash.
#[must_use]
pub(crate) fn ingest_stream(source: &str) -> String {
    format!("ingest/{source}")
}

fn reads_queue(plan: &Plan, route: &plan::RouteSpec, queue: &str) -> bool {
    matches!(plan.sources.get(&route.source), Some(plan::Source::Queue { queue: q, .. }) if q == queue)
}

/// `None`: the table is not in the embedded engine.
fn table_schema(table: &plan::TableSpec) -> Option<TableSchema> {
    if let plan::TableSpec::Embedded(layout) = table { Some(layout.clone()) } else { None }
}

/// `None`: the object store is not a directory of the embedded engine.
fn directory(store: &plan::Objects) -> Option<PathBuf> {
    if let plan::Objects::Directory { path } = store { Some(path.clone()) } else { None }
}
