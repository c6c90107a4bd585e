//! The core loop in process: a route with a fake source, engine, plugin and sink, under paused time. The invariants of
//! ARCHITECTURE.md that the pipeline keeps, by number.
#![expect(clippy::unwrap_used, reason = "tests")]

mod ahead;
mod breaker;
mod halt;
mod health;
mod invariants;

use esclusa_flow::BoxFuture;
use esclusa_flow::engine::Sink;
use esclusa_flow::grants::Grants;
use esclusa_flow::retry::{Backoff, RetryPolicy};
use esclusa_flow::secrets::Secrets;
use esclusa_flow::settings::{DeliveryMode, Instances, Limits, RouteSpec};
use esclusa_flow::source::Source;
use esclusa_pipeline::activity::Activity;
use esclusa_pipeline::commit::ProgressKind;
use esclusa_pipeline::context::LaneContext;
use esclusa_pipeline::meter::Meter;
use esclusa_pipeline::output_meter::OutputMeters;
use esclusa_pipeline::route::{LoadedPlugin, Route};
use esclusa_pipeline::serve;
use esclusa_testkit::fakes::{FakeEngine, FakePlugin, FakeSink, FakeSource, Script, World};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::time::Instant;

/// How a route is served.
#[derive(Debug, Clone)]
struct Options {
    runs_ahead: bool,
    batch_size: usize,
    batch_bytes: usize,
    in_flight_bytes: usize,
    concurrency: usize,
    parallelization_factor: usize,
    max_retry_attempts: Option<u32>,
    message_retries: Option<u32>,
    breaker: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            runs_ahead: true,
            batch_size: 3,
            batch_bytes: 1 << 20,
            in_flight_bytes: 16 << 20,
            concurrency: 16,
            parallelization_factor: 1,
            max_retry_attempts: Some(3),
            message_retries: None,
            breaker: Duration::ZERO,
        }
    }
}

impl Options {
    fn spec(&self) -> RouteSpec {
        let backoff = Backoff { base: Duration::from_millis(10), max: Duration::from_millis(200) };
        RouteSpec {
            name: "route".into(),
            source: "log".into(),
            consumer_group: None,
            filter: None,
            plugin: "fake.wasm".into(),
            sha256: None,
            grants: Grants {
                tables: BTreeSet::from(["table".to_owned()]),
                objects: BTreeSet::new(),
                read_objects: BTreeSet::new(),
                outputs: BTreeSet::from(["table".to_owned(), "mail".to_owned()]),
            },
            batch_size: self.batch_size,
            parallelization_factor: self.parallelization_factor,
            batch_bytes: self.batch_bytes,
            batch_window: Duration::ZERO,
            concurrency: self.concurrency,
            in_flight_bytes: self.in_flight_bytes,
            policy: RetryPolicy {
                max_retry_attempts: self.max_retry_attempts,
                max_record_age: None,
                bisect: true,
                release: false,
                backoff,
            },
            message_retries: self.message_retries,
            breaker: self.breaker,
            max_hops: 16,
            on_failure: None,
            delivery: DeliveryMode::ExactlyOnce,
            ordered: true,
            limits: Limits::default(),
            instances: Instances::Fresh,
            enabled: true,
            config: serde_json::Value::Null,
            secrets: Secrets::default(),
        }
    }
}

/// The events `a-0`, `a-1`, … of the lanes `a`, `b`, …
fn lanes(lengths: &[usize]) -> BTreeMap<Arc<str>, Vec<String>> {
    let lane = |(lane, length): (u8, &usize)| {
        let name = char::from(b'a' + lane).to_string();
        let events = (0..*length).map(|event| format!("{name}-{event}")).collect();
        (name.into(), events)
    };
    (0u8..).zip(lengths).map(lane).collect()
}

/// A route in a world, and the future that serves it to its end.
fn route(
    world: &Arc<World>,
    scripts: &BTreeMap<String, Script>,
    options: &Options,
) -> (Arc<Route>, BoxFuture<'static, ()>) {
    let sinks: BTreeMap<String, Arc<dyn Sink>> =
        BTreeMap::from([("mail".to_owned(), Arc::new(FakeSink(world.clone())) as Arc<dyn Sink>)]);
    let spec = options.spec();
    let outputs = OutputMeters::of(&spec.name, sinks.keys());
    let plugin = LoadedPlugin {
        plugin: Arc::new(FakePlugin::new(world.clone(), scripts.clone())),
        name: "fake".to_owned(),
        version: "1".to_owned(),
        since: 0,
        reads: AtomicBool::new(false),
    };
    let meter = Meter::starting_at(world.state().counts);
    let engine = Arc::new(FakeEngine(world.clone()));
    let route =
        Route::new(spec, ("fake".into(), ProgressKind::Position, false), engine, (sinks, outputs), plugin, meter);
    let (probed, counted) = (route.clone(), world.clone());
    world.set_probe(move || probed.meter.read().adds_up());
    let context = Arc::new(LaneContext {
        activity: Arc::new(Activity::default()),
        start: Instant::now(),
        commit_count: Box::new(move || counted.state().commits),
    });
    let (opened, runs_ahead) = (world.clone(), options.runs_ahead);
    let open: serve::OpenSource = Arc::new(move || {
        let source: Box<dyn Source> = Box::new(FakeSource::open(opened.clone(), runs_ahead));
        Box::pin(std::future::ready(Ok(source)))
    });
    let guard = context.activity.guard();
    (route.clone(), serve::serve(route, context, open, guard))
}

/// Serves a route until every event has ended. Virtual time: an hour means for ever.
async fn serve_to_the_end(world: &Arc<World>, scripts: &BTreeMap<String, Script>, options: &Options) -> Arc<Route> {
    let (route, serving) = route(world, scripts, options);
    let served = tokio::time::timeout(Duration::from_secs(3600), serving).await;
    assert!(served.is_ok(), "the route hangs: {:?}", world.state());
    route
}

/// Runs a test under paused time: as soon as every task waits, the clock goes on to the next event.
fn paused<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(test)
}

/// Checks a world: this must hold at any time.
fn check(world: &World) {
    let state = world.state();
    assert_eq!(state.violations, [""; 0]);
    let lanes = state.lanes.iter().map(|(lane, log)| (lane, log.settled));
    for (lane, settled) in lanes {
        let ours = |id: &&String| id.split('-').next() == Some(lane);
        let number = |id: &String| id.split('-').nth(1).unwrap().parse::<usize>().unwrap();
        let written: Vec<usize> = state.effects.iter().filter(ours).map(number).collect();
        // In order, too: the engine takes a commit only at the lane's position, and sees to it that it writes no other event.
        let once: BTreeSet<usize> = written.iter().copied().collect();
        assert_eq!(once.len(), written.len(), "lane {lane} wrote {written:?}");
        assert!(once.last().is_none_or(|last| *last < settled), "lane {lane} is at {settled} and wrote {written:?}");
    }
    assert_eq!(state.lanes.values().map(|lane| lane.settled as u64).sum::<u64>(), state.counts.settled());
}
