//! A source whose lanes end at a time. Its batches have the name of the route, so that the plugin handles them as it
//! did for the route.

use esclusa_flow::BoxFuture;
use esclusa_flow::fault::Fault;
use esclusa_flow::source::{Lane, Limit, Pull, Settled, Source};
use std::sync::Arc;

/// A source whose lanes end at a time.
pub(super) struct BoundedSource {
    source: Box<dyn Source>,
    route: Arc<str>,
    end: u64,
}

impl BoundedSource {
    /// A source whose lanes end with the first batch that lies wholly behind `end`, milliseconds since the Unix epoch.
    pub(super) fn new(source: Box<dyn Source>, route: Arc<str>, end: u64) -> Self {
        BoundedSource { source, route, end }
    }
}

impl Source for BoundedSource {
    fn next_lane(&mut self) -> BoxFuture<'_, Result<Option<Box<dyn Lane>>, Fault>> {
        Box::pin(async move {
            let lane = self.source.next_lane().await?;
            Ok(lane
                .map(|lane| Box::new(BoundedLane { lane, route: self.route.clone(), end: self.end }) as Box<dyn Lane>))
        })
    }

    fn caught_up(&self) -> bool {
        self.source.caught_up()
    }

    fn leased(&self) -> bool {
        self.source.leased()
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        self.source.close()
    }
}

struct BoundedLane {
    lane: Box<dyn Lane>,
    route: Arc<str>,
    end: u64,
}

impl Lane for BoundedLane {
    fn id(&self) -> &str {
        self.lane.id()
    }

    fn pull(&mut self, limit: Limit) -> BoxFuture<'_, Result<Pull, Fault>> {
        Box::pin(async move {
            Ok(match self.lane.pull(limit).await? {
                // A batch that has any event before the end is passed on: the filter of the replay drops the others.
                Pull::Batch(batch) if batch.columns.timestamps.iter().all(|time| *time > self.end) => Pull::Ended,
                Pull::Batch(mut batch) => {
                    batch.origin.route = self.route.clone();
                    Pull::Batch(batch)
                }
                other => other,
            })
        })
    }

    fn ready(&mut self) -> BoxFuture<'_, ()> {
        self.lane.ready()
    }

    fn keep(&mut self) -> BoxFuture<'_, ()> {
        self.lane.keep()
    }

    fn lost(&self) -> Option<Fault> {
        self.lane.lost()
    }

    fn runs_ahead(&self) -> bool {
        self.lane.runs_ahead()
    }

    fn rests(&mut self) {
        self.lane.rests();
    }

    fn settled(&mut self, settled: &[Settled<'_>]) {
        self.lane.settled(settled);
    }
}
