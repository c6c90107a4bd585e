//! What a call costs, per event of a batch of 1,000: a plugin that does nothing, and `etl` in the sandbox against the
//! same handler compiled natively; with a new instance each time and with a kept one; and `alert` with a rule that never matches
//! against `etl`. What the figures mean:
//! `docs/reference/performance.md`.
#![expect(clippy::expect_used, reason = "a benchmark")]

#[path = "../tests/sandbox/bare.rs"]
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
mod bare;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use esclusa_flow::BoxFuture;
use esclusa_flow::call_output::CallOutput;
use esclusa_flow::effect::{Action, Effect, PutItem};
use esclusa_flow::event::{BatchOrigin, Columns, NewEvent};
use esclusa_flow::index::CallIndex;
use esclusa_flow::item::{Item, Value};
use esclusa_flow::plugin::Plugin;
use esclusa_flow::reads::{ReadError, Reads, Selection};
use esclusa_flow::settings::{Instances, Limits};
use esclusa_sandbox::{ConfiguredPlugin, PluginFile, RouteSettings, Sandbox, SandboxConfig};
use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// The router's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENTS: usize = 1000;

struct NoReads;

impl Reads for NoReads {
    esclusa_testkit::no_other_reads!();

    fn get<'a>(&'a self, _: &'a str, _: &'a Item) -> BoxFuture<'a, Result<Option<Item>, ReadError>> {
        Box::pin(async { Ok(None) })
    }

    fn query<'a>(&'a self, _: &'a Selection) -> BoxFuture<'a, Result<Vec<Item>, ReadError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

fn origin() -> BatchOrigin {
    BatchOrigin {
        route: "bench".into(),
        source: "events".into(),
        kind: "stream".into(),
        lane: "0".into(),
        ordered: true,
    }
}

/// Web requests of about 250 bytes each.
fn batch() -> Columns {
    let mut columns = Columns::default();
    for i in 0..EVENTS {
        let data = format!(
            "{{\"timestamp\":\"2026-11-22T10:{:02}:{:02}Z\",\"method\":\"GET\",\"path\":\"/items/{i}\",\"status\":200,\
             \"bytes\":{},\"agent\":\"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0\",\
             \"referrer\":\"https://example.org/catalogue/page/{i}\",\"duration\":{}}}",
            i / 60 % 60,
            i % 60,
            i * 37,
            i % 900
        );
        let id = format!("49590338271490256608559692538361571095921575989136588898-{i}");
        let event = NewEvent {
            id: &id,
            key: "items",
            data: data.as_bytes(),
            attributes: &[],
            timestamp: 1_700_000_000_000 + i as u64,
            attempt: 1,
        };
        columns.push(&event).expect("small");
    }
    columns
}

fn configured(runtime: &Runtime, component: Vec<u8>, config: &str, instances: Instances) -> ConfiguredPlugin {
    runtime.block_on(async {
        let sandbox = Sandbox::new(SandboxConfig::default()).expect("a sandbox");
        let loaded = sandbox.load(PluginFile::of("bench", component).expect("a file")).await.expect("a plugin");
        let limits = Limits { memory: 256 << 20, ..Limits::default() };
        let (route, config, secrets) = ("bench".into(), config.to_owned(), Default::default());
        let settings = RouteSettings { route, config, limits, instances, secrets };
        loaded.configure(settings).await.expect("a configuration")
    })
}

fn guest(name: &str) -> Option<Vec<u8>> {
    let dir = std::env::var_os("ESCLUSA_GUESTS").map_or_else(|| PathBuf::from("../../target/guests"), PathBuf::from);
    std::fs::read(dir.join(name)).ok()
}

const KEPT: Instances = Instances::Reuse { max_invocations: u32::MAX, memory_high_water: 128 << 20 };

/// Orders of 67 bytes with short ids.
fn small() -> Columns {
    let mut columns = Columns::default();
    for i in 0..EVENTS {
        let data = format!(
            "{{\"order\":{i:>8},\"sku\":\"A-{:>6}\",\"quantity\":{:>4},\"price\":{:>7}}}",
            i % 997,
            i % 50,
            i * 3
        );
        let event = NewEvent { id: &i.to_string(), data: data.as_bytes(), attempt: 1, ..NewEvent::default() };
        columns.push(&event).expect("small");
    }
    columns
}

fn no_op(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let (origin, events, small) = (origin(), Arc::new(batch()), Arc::new(small()));
    let reads: Arc<dyn Reads> = Arc::new(NoReads);
    let mut group = c.benchmark_group("no-op, batch of 1000");
    group.throughput(Throughput::Elements(EVENTS as u64));
    // With memory for a batch from the beginning, taken again for the next one: the cost of the boundary alone.
    let core = bare::Core {
        memory: r#"(memory (export "memory") 16)"#,
        post: "(global.set $bump (i32.const 65536))".to_owned(),
        ..bare::Core::default()
    };
    let guests = [("bare", Some(core.build())), ("std", guest("hostile.wasm"))];
    for (name, component) in guests {
        let Some(component) = component else { continue };
        for (how, instances) in [("fresh", Instances::Fresh), ("reuse", KEPT)] {
            let plugin = configured(&runtime, component.clone(), "{\"do\": \"nothing\"}", instances);
            for (of, events) in [("", &events), (", small events", &small)] {
                let call = || runtime.block_on(plugin.call(&origin, events, reads.clone())).expect("it works");
                group.bench_function(format!("{name}, {how}{of}"), |b| b.iter(call));
            }
        }
    }
    group.finish();
}

const ETL: &str = r#"{"table": "requests", "key": {"pk": "path#{path}", "sk": "{timestamp}"}}"#;

const ALERT: &str = r#"{"rule": [{"name": "errors", "when": {"status": [{"numeric": [">=", 500]}]}, "output": "alerts", "message": "{path}"}]}"#;

/// `etl` natively: from the batch as the router has it to the output as the router commits it.
fn native(columns: &Columns) -> impl Fn() -> CallOutput {
    let plugin: etl::Etl = esclusa_plugin::plugin::configure(ETL).expect("a configuration");
    let origin = esclusa_plugin::Origin::default();
    let batch = esclusa_plugin::Batch { origin, columns: columns.clone() };
    move || {
        let (effects, ..) = esclusa_plugin::plugin::call(&plugin, &batch).expect("it works").into_parts();
        CallOutput { effects: effects.into_iter().map(owned).collect(), ..CallOutput::default() }
    }
}

/// An effect of `etl` that no longer borrows from the batch.
fn owned(effect: esclusa_plugin::Effect<'_>) -> Effect {
    let esclusa_plugin::Action::Put(put) = effect.action else { unreachable!("etl puts") };
    let attribute = |(name, value): (Cow<'_, str>, esclusa_plugin::Value<'_>)| {
        let value = match value {
            esclusa_plugin::Value::Text(text) => Value::Text(text.into_owned()),
            esclusa_plugin::Value::Number(text) => Value::Number(text.into_owned()),
            other => unreachable!("not in the sample: {other:?}"),
        };
        (name.into_owned(), value)
    };
    let item = put.item.0.into_iter().map(attribute).collect();
    Effect {
        cause: effect.cause.map(CallIndex),
        action: Action::Put(PutItem { table: put.table.into_owned(), item, guard: None }),
    }
}

fn etl(c: &mut Criterion) {
    let Ok(component) = std::fs::read("../../plugins/etl.wasm") else { return };
    let runtime = Runtime::new().expect("a runtime");
    let (origin, events) = (origin(), Arc::new(batch()));
    let reads: Arc<dyn Reads> = Arc::new(NoReads);
    let mut group = c.benchmark_group("etl, batch of 1000");
    group.throughput(Throughput::Elements(EVENTS as u64));
    let native = native(&events);
    group.bench_function("native", |b| b.iter(&native));
    for (how, instances) in [("fresh", Instances::Fresh), ("reuse", KEPT)] {
        let plugin = configured(&runtime, component.clone(), ETL, instances);
        let call = || runtime.block_on(plugin.call(&origin, &events, reads.clone())).expect("it works");
        assert_eq!(call(), native(), "both give the same");
        group.bench_function(how, |b| b.iter(call));
        let (ours, theirs) = medians(call, &native);
        let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
        println!("etl, {how}: {ours:?} in the sandbox, {theirs:?} natively, in turns: {ratio:.2} of the native speed");
    }
    group.finish();
}

/// `alert` with a rule that never matches, against `etl`, which makes an item of each event: both read each payload.
fn alert(c: &mut Criterion) {
    let (Ok(alert), Ok(etl)) = (std::fs::read("../../plugins/alert.wasm"), std::fs::read("../../plugins/etl.wasm"))
    else {
        return;
    };
    let runtime = Runtime::new().expect("a runtime");
    let (origin, events) = (origin(), Arc::new(batch()));
    let reads: Arc<dyn Reads> = Arc::new(NoReads);
    let mut group = c.benchmark_group("alert that never matches, batch of 1000");
    group.throughput(Throughput::Elements(EVENTS as u64));
    let (alert, etl) = (configured(&runtime, alert, ALERT, KEPT), configured(&runtime, etl, ETL, KEPT));
    let call =
        |plugin: &ConfiguredPlugin| runtime.block_on(plugin.call(&origin, &events, reads.clone())).expect("it works");
    assert_eq!(call(&alert).effects, [], "no rule matches");
    group.bench_function("reuse", |b| b.iter(|| call(&alert)));
    let (of_alert, of_etl) = medians(|| call(&alert), || call(&etl));
    let ratio = of_alert.as_secs_f64() / of_etl.as_secs_f64();
    println!("alert: {of_alert:?}, etl: {of_etl:?}, in turns: alert takes {ratio:.2} of the time of etl");
    group.finish();
}

/// The times of two functions, called in turns, so that other load on the machine slows both.
fn medians<A, B>(mut a: impl FnMut() -> A, mut b: impl FnMut() -> B) -> (Duration, Duration) {
    fn time<T>(f: &mut impl FnMut() -> T) -> Duration {
        let began = Instant::now();
        std::hint::black_box(f());
        began.elapsed()
    }
    let (mut of_a, mut of_b): (Vec<_>, Vec<_>) = (0..501).map(|_| (time(&mut a), time(&mut b))).unzip();
    (*of_a.select_nth_unstable(250).1, *of_b.select_nth_unstable(250).1)
}

criterion_group!(benches, no_op, etl, alert);
criterion_main!(benches);
