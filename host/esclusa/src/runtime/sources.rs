//! Opens the source of a route: what the plan says, as the engine gives it.

use super::ask::Desk;
use super::schema::ingest_stream;
use super::serve::Open;
use esclusa_config::plan;
use esclusa_embedded::{FileSource, GenerateSource, Generated, ScheduleSource, SourceSpec, Start, Store};
use esclusa_flow::fault::Fault;
use esclusa_flow::source::Source;
use std::sync::Arc;

/// How the source of a route is opened, again and again. `desk` is where an `http` source with replies gets its requests.
pub fn opener(store: Store, route: &plan::Route, source: plan::Source, desk: Option<Desk>) -> Open {
    let (kind, _) = super::kind(&source);
    let spec = SourceSpec { route: route.name.clone(), source: route.source.clone(), kind, workers: route.concurrency };
    Arc::new(move || open(&store, spec.clone(), &source, desk.as_ref()))
}

fn open(store: &Store, spec: SourceSpec, source: &plan::Source, desk: Option<&Desk>) -> Result<Box<dyn Source>, Fault> {
    match source {
        plan::Source::Stream { stream, start, .. } => store.stream_source(spec, stream, begin(*start)),
        plan::Source::Queue { queue, .. } => store.queue_source(spec, queue),
        plan::Source::TableChanges { table, start } => store.table_changes_source(spec, table, begin(*start)),
        plan::Source::File { path, follow } => Ok(Box::new(FileSource::new(store.clone(), spec, path, *follow))),
        plan::Source::Http { reply: false, .. } => {
            let stream = ingest_stream(&spec.source);
            store.stream_source(spec, &stream, Start::TrimHorizon)
        }
        plan::Source::Http { reply: true, .. } => {
            let desk = desk.ok_or_else(|| Fault::Bug("an http source with replies has no desk".to_owned()))?;
            Ok(desk.source(spec.route, spec.source, spec.workers))
        }
        plan::Source::Generate { interval, per_tick, count, events, key } => {
            let generated =
                Generated { interval: *interval, per_tick: *per_tick, count: *count, events: events.clone(), key: key.clone() };
            Ok(Box::new(GenerateSource::new(store.clone(), spec, generated)))
        }
        plan::Source::Schedule { cron, event } => Ok(Box::new(ScheduleSource::new(store.clone(), spec, cron, event.clone())?)),
    }
}

fn begin(start: plan::Start) -> Start {
    match start {
        plan::Start::TrimHorizon => Start::TrimHorizon,
        plan::Start::Latest => Start::Latest,
        plan::Start::AtTimestamp(millis) => Start::AtTimestamp(millis),
    }
}
