//! How far a connection is with its request. A silent connection is cut when another one needs its slot.

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use parking_lot::{Mutex, MutexGuard};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// The stage of a connection, shared by its task and its slot.
#[derive(Debug)]
pub(super) struct ConnectionStage(Mutex<Stage>);

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Silent: idle since then, or its request's headers are not complete.
    Waiting(Instant),
    /// A request was read; its answer is not complete.
    Asked,
    /// The answer is complete, and not yet written to the socket.
    Answered,
    /// Cut: no further request of it is served.
    Cut,
}

impl ConnectionStage {
    /// The stage of a connection that was accepted now.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(ConnectionStage(Mutex::new(Stage::Waiting(Instant::now()))))
    }

    fn now(&self) -> MutexGuard<'_, Stage> {
        self.0.lock()
    }

    /// Since when the connection is silent; `None` while a request is being served.
    pub(super) fn waiting(&self) -> Option<Instant> {
        match *self.now() {
            Stage::Waiting(since) => Some(since),
            _ => None,
        }
    }

    /// Cuts the connection if it is still silent; true if so. Looking and cutting are one step, so that no request is
    /// lost that was just read.
    pub(super) fn cut(&self) -> bool {
        let mut now = self.now();
        let waits = matches!(*now, Stage::Waiting(_));
        if waits {
            *now = Stage::Cut;
        }
        waits
    }

    /// Notes that a request was read; false: too late, the connection was cut.
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

    /// Notes that everything written so far is in the socket's buffer.
    pub(super) fn flushed(&self) {
        let mut now = self.now();
        // A flush in the middle of an answer does not end it.
        if matches!(*now, Stage::Answered) {
            *now = Stage::Waiting(Instant::now());
        }
    }
}

/// The body of an answer; dropping it notes that the answer is complete.
pub(super) struct AnswerBody {
    body: Body,
    stage: Arc<ConnectionStage>,
}

impl AnswerBody {
    /// The body of an answer, on the connection with this stage.
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
