//! Opens the source of a route: of the embedded engine, of HTTP, of AWS, or of Kafka.

use super::SourceParts;
use super::aws::Cloud;
use super::http_source::HttpSource;
use super::store_schema::ingest_stream;
use esclusa_config::plan;
use esclusa_embedded::{FileSource, GenerateSource, GeneratorSettings, ScheduleSource, SourceSpec, Store};
use esclusa_flow::fault::Fault;
use esclusa_flow::lag::Lag;
use esclusa_flow::settings::Start;
use esclusa_flow::source::{Positions, Source};
use esclusa_pipeline::serve::OpenSource;
use std::sync::Arc;

/// A function that opens the source of a route, as often as needed, and the lag of the route if its source has shards or partitions.
/// `routes` is how many routes read the source. `http_source` passes requests to an `http` source with replies.
pub(crate) fn opener(
    store: Store,
    cloud: Option<&Cloud>,
    route: &plan::RouteSpec,
    source: plan::Source,
    routes: u32,
    http_source: Option<HttpSource>,
    SourceParts { progress_store, kafka }: SourceParts,
) -> (OpenSource, Option<Arc<Lag>>) {
    if let Some(kafka) = kafka {
        let lag = kafka.lag();
        return (Arc::new(move || kafka.open()), Some(lag));
    }
    let spec = reader(route, &source);
    let cloud = cloud.filter(|_| source.on_aws());
    let cloud = cloud.map(|cloud| Arc::new(cloud.opener(route, &source, routes, positions(&store, &spec))));
    let lag = cloud.as_ref().and_then(|cloud| cloud.lag());
    let open: OpenSource = Arc::new(move || {
        let opened = match &cloud {
            Some(_) => None,
            None => Some(open(&store, spec.clone(), &source, http_source.as_ref())),
        };
        let (cloud, progress_store) = (cloud.clone(), progress_store.clone());
        Box::pin(async move {
            let Some(cloud) = cloud else {
                return opened.unwrap_or_else(|| Err(Fault::Bug("there is no source".to_owned())));
            };
            let (source, progress) = cloud.open().await?;
            progress_store.set(progress);
            Ok(source)
        })
    });
    (open, lag)
}

/// A route as a reader of its source.
pub(super) fn reader(route: &plan::RouteSpec, source: &plan::Source) -> SourceSpec {
    let kind = source.kind().into();
    SourceSpec { route: route.name.clone(), source: route.source.clone(), kind, pollers: route.concurrency }
}

/// The positions of lanes in the embedded engine.
pub(super) fn positions(store: &Store, spec: &SourceSpec) -> Positions {
    let (store, spec) = (store.clone(), spec.clone());
    Arc::new(move |lane| {
        let position = store.position(&spec, lane);
        Box::pin(std::future::ready(position))
    })
}

fn open(
    store: &Store,
    spec: SourceSpec,
    source: &plan::Source,
    http_source: Option<&HttpSource>,
) -> Result<Box<dyn Source>, Fault> {
    match source {
        plan::Source::Stream { stream, start, .. } => store.stream_source(spec, stream, *start),
        plan::Source::Queue { queue, .. } => store.queue_source(spec, queue),
        plan::Source::TableChanges { table, start } => store.table_changes_source(spec, table, *start),
        plan::Source::File { path, follow } => Ok(Box::new(FileSource::new(store.clone(), spec, path, *follow))),
        plan::Source::Http { reply: false, .. } => {
            let stream = ingest_stream(&spec.source);
            store.stream_source(spec, &stream, Start::TrimHorizon)
        }
        plan::Source::Http { reply: true, .. } => {
            let http_source = http_source
                .ok_or_else(|| Fault::Bug("an http source with replies is opened without its requests".to_owned()))?;
            Ok(http_source.source(spec.route, spec.source, spec.pollers))
        }
        plan::Source::Generate { interval, per_tick, count, events, key } => {
            let generated = GeneratorSettings {
                interval: *interval,
                per_tick: *per_tick,
                count: *count,
                events: events.clone(),
                key: key.clone(),
            };
            Ok(Box::new(GenerateSource::new(store.clone(), spec, generated)))
        }
        plan::Source::Kinesis { .. } | plan::Source::DynamodbStream { .. } | plan::Source::Sqs { .. } => {
            Err(Fault::Bug("a source on AWS is opened without AWS".to_owned()))
        }
        plan::Source::Kafka { .. } => Err(Fault::Bug("a source in Kafka is opened without Kafka".to_owned())),
        plan::Source::Schedule { cron, event } => {
            Ok(Box::new(ScheduleSource::new(store.clone(), spec, cron, event.clone())?))
        }
    }
}
