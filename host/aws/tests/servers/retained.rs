//! Kinesis held against the conformance suite of retained sources.

use super::fleet::*;
use super::kinesis::TestStream;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::{Batch, Token};
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::engine::{Commit, CommitError, Committed, Engine, PendingMessages, Progress};
use esclusa_flow::fault::Fault;
use esclusa_flow::reads::Reads;
use esclusa_flow::settings::Start;
use esclusa_flow::source::{Lane, Limit, Pull, Source};
use esclusa_testkit::conformance::{self, LogUnderTest};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

/// An engine that only keeps positions.
#[derive(Default)]
struct PositionEngine(Mutex<HashMap<(String, String), Token>>);

impl Engine for PositionEngine {
    fn reads(&self) -> Arc<dyn Reads> {
        panic!("there are no tables")
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>> {
        let Progress::Position { from, to } = commit.progress else { panic!("only positions are kept") };
        let mut positions = self.0.lock().unwrap();
        let place = (commit.route.to_string(), commit.lane.to_string());
        if positions.get(&place) != from.as_ref() {
            return Box::pin(std::future::ready(Err(Fault::LeaseLost("moved".into()).into())));
        }
        positions.insert(place, to);
        Box::pin(std::future::ready(Ok(Committed::default())))
    }

    fn pending<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<PendingMessages>, Fault>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn confirm<'a>(&'a self, _: &'a str, _: u64, _: Vec<DeadLetter>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Tells each lane before a pull that the batch before was settled, as a route does that goes on: the suite pulls on
/// without, and these lanes then give the same batch again.
struct GoingOn<T>(T, Option<Batch>);

impl Source for GoingOn<Box<dyn Source>> {
    fn next_lane(&mut self) -> BoxFuture<'_, Result<Option<Box<dyn Lane>>, Fault>> {
        Box::pin(async { Ok(self.0.next_lane().await?.map(|lane| Box::new(GoingOn(lane, None)) as Box<dyn Lane>)) })
    }

    fn caught_up(&self) -> bool {
        self.0.caught_up()
    }
}

impl Lane for GoingOn<Box<dyn Lane>> {
    fn id(&self) -> &str {
        self.0.id()
    }

    fn pull(&mut self, limit: Limit) -> BoxFuture<'_, Result<Pull, Fault>> {
        Box::pin(async move {
            if let Some(batch) = self.1.take() {
                tell(&mut *self.0, &batch, batch.len());
            }
            let mut pulled = self.0.pull(limit).await?;
            if let Pull::Empty { .. } = pulled {
                // The suite asks at once after an append; a shard may not be read that often.
                self.0.ready().await;
                pulled = self.0.pull(limit).await?;
            }
            if let Pull::Batch(batch) = &pulled {
                let claims = batch.claims.iter().map(|c| esclusa_flow::batch::Claim::new(c.token().clone())).collect();
                self.1 = Some(Batch {
                    origin: batch.origin.clone(),
                    columns: batch.columns.clone(),
                    claims,
                    previous: None,
                });
            }
            Ok(pulled)
        })
    }

    fn ready(&mut self) -> BoxFuture<'_, ()> {
        self.0.ready()
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    block_in_place(|| Handle::current().block_on(future))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_a_retained_source() {
    conformance::log_source(|| {
        let stream = Arc::new(now(TestStream::new(1)));
        let engine = Arc::new(PositionEngine::default());
        let (opener, appender, kept) = (stream.clone(), stream, engine.clone());
        LogUnderTest {
            engine,
            open: Box::new(move |route| {
                let (kept, owner) = (kept.clone(), route.to_owned());
                let positions = alone(Arc::new(move |lane: &str| {
                    let position = kept.0.lock().unwrap().get(&(owner.clone(), lane.to_owned())).cloned();
                    Box::pin(std::future::ready(Ok(position)))
                }));
                let (source, progress_store) = now(opener.open_as(route, Start::TrimHorizon, positions, None));
                assert!(progress_store.is_none());
                Box::new(GoingOn(source, None))
            }),
            append: Box::new(move |payloads| {
                let stream = appender.clone();
                let records: Vec<_> = payloads.into_iter().map(|p| ("key".to_owned(), p.into_bytes())).collect();
                Box::pin(async move { stream.put(&records).await })
            }),
            keep: Box::new(()),
        }
    })
    .await;
}
