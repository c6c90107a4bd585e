//! A source of exactly one lane: a file, generated events, a schedule.

use esclusa_flow::BoxFuture;
use esclusa_flow::fault::Fault;
use esclusa_flow::source::{Lane, Source};

/// Opens the one lane of a source.
pub trait OpenLane: Send {
    /// The lane, at its committed position. Cancel-safe: it may be opened again.
    fn open_lane(&self) -> BoxFuture<'_, Result<Box<dyn Lane>, Fault>>;
}

/// A source whose only lane `O` opens.
pub struct SingleLaneSource<O> {
    opener: O,
    given: bool,
}

impl<O: OpenLane> SingleLaneSource<O> {
    /// A source that has not given its lane yet.
    pub(crate) fn of(opener: O) -> Self {
        SingleLaneSource { opener, given: false }
    }
}

impl<O: OpenLane> Source for SingleLaneSource<O> {
    fn caught_up(&self) -> bool {
        self.given
    }

    fn next_lane(&mut self) -> BoxFuture<'_, Result<Option<Box<dyn Lane>>, Fault>> {
        Box::pin(async move {
            if self.given {
                return Ok(None);
            }
            let lane = self.opener.open_lane().await?;
            // Only now: if opening fails or is dropped, the next request tries again.
            self.given = true;
            Ok(Some(lane))
        })
    }
}
