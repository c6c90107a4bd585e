//! What the embedded engine shall hold, made from the plan.

use esclusa_config::plan::{self, Plan};
use esclusa_embedded::{QueueSchema, Schema, StreamSchema, Target};
use esclusa_flow::settings::TableSchema;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// How long events of a stream are kept that no source of kind `stream` says otherwise: Kinesis' default.
const RETENTION: Duration = Duration::from_secs(24 * 3600);
/// A queue that is only written to; whoever reads it later says better.
const VISIBILITY: Duration = Duration::from_secs(30);
/// See [`VISIBILITY`].
const MAX_RECEIVES: u32 = 5;

/// The schema of a plan.
#[must_use]
pub fn of(plan: &Plan) -> Schema {
    let mut schema = Schema {
        tables: plan.tables.iter().filter_map(|(name, table)| Some((name.clone(), table_schema(table)?))).collect(),
        objects: plan.objects.iter().filter_map(|(name, store)| Some((name.clone(), directory(store)?))).collect(),
        ..Schema::default()
    };
    for (name, output) in &plan.outputs {
        match output {
            plan::Output::Stream { stream, partitions } => {
                schema.streams.insert(stream.clone(), StreamSchema { partitions: *partitions, retention: RETENTION });
                schema.outputs.insert(name.clone(), Target::Stream(stream.clone()));
            }
            plan::Output::Queue { queue } => {
                let queue_schema = QueueSchema {
                    visibility_timeout: VISIBILITY,
                    max_receive_count: MAX_RECEIVES,
                    consumers: BTreeSet::new(),
                };
                schema.queues.insert(queue.clone(), queue_schema);
                schema.outputs.insert(name.clone(), Target::Queue(queue.clone()));
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

/// The stream that keeps the events of an `http` source. The slash keeps it apart from streams of routes.toml.
#[must_use]
pub fn ingest_stream(source: &str) -> String {
    format!("ingest/{source}")
}

fn reads_queue(plan: &Plan, route: &plan::RouteSpec, queue: &str) -> bool {
    matches!(plan.sources.get(&route.source), Some(plan::Source::Queue { queue: q, .. }) if q == queue)
}

/// `None`: the table is not the engine's.
fn table_schema(table: &plan::TableSpec) -> Option<TableSchema> {
    if let plan::TableSpec::Embedded(layout) = table { Some(layout.clone()) } else { None }
}

/// `None`: the store is not the engine's.
fn directory(store: &plan::Objects) -> Option<PathBuf> {
    if let plan::Objects::Directory { path } = store { Some(path.clone()) } else { None }
}
