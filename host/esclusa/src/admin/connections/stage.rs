//! How far a connection is with its request: one that asks nothing gives way when room is needed.

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use parking_lot::{Mutex, MutexGuard};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// The stage of a connection.
#[derive(Debug)]
pub(super) struct ConnectionStage(Mutex<Stage>);

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Idle, or in the middle of a request's headers, since then.
    Waiting(Instant),
    /// A request was read; its answer is not whole.
    Asked,
    /// The answer is whole, and not yet in the system's hands.
    Answered,
    /// Given up: no request of it is carried out any more.
    Cut,
}

impl ConnectionStage {
    /// Of a connection that was accepted now.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(ConnectionStage(Mutex::new(Stage::Waiting(Instant::now()))))
    }

    fn now(&self) -> MutexGuard<'_, Stage> {
        self.0.lock()
    }

    /// Since when it has asked nothing; `None` while a request of it is answered.
    pub(super) fn waiting(&self) -> Option<Instant> {
        match *self.now() {
            Stage::Waiting(since) => Some(since),
            _ => None,
        }
    }

    /// Gives it up, unless it has asked something meanwhile.
    pub(super) fn cut(&self) -> bool {
        let mut now = self.now();
        let waits = matches!(*now, Stage::Waiting(_));
        if waits {
            *now = Stage::Cut;
        }
        waits
    }

    /// A request was read; false: too late, the connection was given up.
    pub(super) fn asked(&self) -> bool {
        let mut now = self.now();
        let alive = !matches!(*now, Stage::Cut);
        if alive {
            *now = Stage::Asked;
        }
        alive
    }

    fn answered(&self) {
        let mut now = self.now();
        if matches!(*now, Stage::Asked) {
            *now = Stage::Answered;
        }
    }

    /// Everything written so far is in the system's hands.
    pub(super) fn flushed(&self) {
        let mut now = self.now();
        if matches!(*now, Stage::Answered) {
            *now = Stage::Waiting(Instant::now());
        }
    }
}

/// An answer's body; the answer is whole when it is dropped.
pub(super) struct AnswerBody {
    body: Body,
    stage: Arc<ConnectionStage>,
}

impl AnswerBody {
    /// The body of an answer on the connection of this stage.
    pub(super) fn new(body: Body, stage: Arc<ConnectionStage>) -> Self {
        AnswerBody { body, stage }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.stage.answered();
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
