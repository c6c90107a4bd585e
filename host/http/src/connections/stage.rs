//! How far a connection is with its requests. A silent connection is cut when another one needs its slot; one whose
//! client does not go on is ended.

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use parking_lot::{Mutex, MutexGuard};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The stage of a connection, shared by its task, its requests and its slot.
#[derive(Debug)]
pub(super) struct ConnectionStage(Mutex<Stage>);

#[derive(Debug)]
struct Stage {
    /// Requests that were read and are being served.
    asked: usize,
    /// Answers that their client has not taken completely.
    answering: usize,
    /// Everything was answered, and not all of it is written to the socket.
    unflushed: bool,
    /// When the last request was read, or the last piece of an answer taken.
    since: Instant,
    /// No further request of it is served.
    cut: bool,
}

/// A request that is being served, or its answer. Dropping it notes the end of that.
pub(super) struct OpenRequest {
    stage: Arc<ConnectionStage>,
    answering: bool,
}

impl ConnectionStage {
    /// The stage of a connection that was accepted now.
    pub(super) fn new() -> Arc<Self> {
        let stage = Stage { asked: 0, answering: 0, unflushed: false, since: Instant::now(), cut: false };
        Arc::new(ConnectionStage(Mutex::new(stage)))
    }

    fn now(&self) -> MutexGuard<'_, Stage> {
        self.0.lock()
    }

    /// Since when the connection is silent; `None` while a request is being served.
    pub(super) fn waiting(&self) -> Option<Instant> {
        let now = self.now();
        now.silent().then_some(now.since)
    }

    /// Cuts the connection if it is still silent; true if so. Looking and cutting are one step, so that no request is
    /// lost that was just read.
    pub(super) fn cut(&self) -> bool {
        let mut now = self.now();
        now.cut = now.cut || now.silent();
        now.cut
    }

    /// Notes that a request was read; `None`: too late, the connection was cut.
    pub(super) fn asked(self: &Arc<Self>) -> Option<OpenRequest> {
        let mut now = self.now();
        (!now.cut).then_some(())?;
        now.asked = now.asked.saturating_add(1);
        now.since = Instant::now();
        Some(OpenRequest { stage: self.clone(), answering: false })
    }

    /// Notes that everything written so far is in the socket's buffer.
    pub(super) fn flushed(&self) {
        let mut now = self.now();
        // A flush in the middle of an answer does not end it.
        if now.unflushed && now.asked == 0 && now.answering == 0 {
            now.unflushed = false;
            now.since = Instant::now();
        }
    }

    /// Ends once the client has neither asked for something nor taken a piece of an answer for `patience`, while
    /// nothing else is awaited than the client.
    pub(super) async fn too_slow(&self, patience: Duration) {
        self.idle_for(patience, |now| now.asked == 0 || now.answering > 0).await;
    }

    /// Ends once the client has been silent for `leaving`: nothing is being served or sent.
    pub(super) async fn left(&self, leaving: Duration) {
        self.idle_for(leaving, Stage::silent).await;
    }

    /// Ends once nothing has happened for `patience`, and the stage is one that waits for the client.
    async fn idle_for(&self, patience: Duration, waits: impl Fn(&Stage) -> bool) {
        loop {
            let due = {
                let now = self.now();
                if waits(&now) { now.since } else { Instant::now() }.checked_add(patience)
            };
            match due {
                Some(due) if due <= Instant::now() => return,
                Some(due) => sleep_until(due).await,
                None => return std::future::pending().await,
            }
        }
    }
}

impl Stage {
    fn silent(&self) -> bool {
        !self.cut && self.asked == 0 && self.answering == 0 && !self.unflushed
    }
}

impl OpenRequest {
    /// The request has its answer, which is being sent.
    pub(super) fn answering(mut self) -> Self {
        let mut now = self.stage.0.lock();
        now.asked = now.asked.saturating_sub(1);
        now.answering = now.answering.saturating_add(1);
        now.since = Instant::now();
        drop(now);
        self.answering = true;
        self
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut now = self.stage.now();
        let open = if self.answering { &mut now.answering } else { &mut now.asked };
        *open = open.saturating_sub(1);
        (now.unflushed, now.since) = (true, Instant::now());
    }
}

/// The body of an answer; dropping it notes that the answer is complete.
pub(super) struct AnswerBody {
    body: Body,
    open: OpenRequest,
}

impl AnswerBody {
    /// The body of the answer to a request.
    pub(super) fn new(body: Body, open: OpenRequest) -> Self {
        AnswerBody { body, open }
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // Asked for once the client has taken what was sent before.
        self.open.stage.now().since = Instant::now();
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
