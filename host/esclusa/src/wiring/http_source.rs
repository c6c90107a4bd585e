//! The source of kind `http` with `reply = true`: requests wait in memory for the plugin's reply.
//!
//! Requests are not stored: if no reply comes (a crash, a shutdown, the timeout), the sender got no answer and knows
//! that it may send again. The answer is sent after the commit, never before.

use super::http_answer::HttpAnswer;
use super::kept_reply::KeptRequest;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::{Batch, Claim, Token};
use esclusa_flow::engine::KeptAnswer;
use esclusa_flow::event::{BatchOrigin, Columns, NewEvent};
use esclusa_flow::fault::Fault;
use esclusa_flow::hops;
use esclusa_flow::source::{Lane, Limit, Pull, Settled, Source};
use esclusa_flow::verdict::Verdict;
use esclusa_pipeline::meter::epoch_millis;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

/// Most requests that wait; further ones are refused with 503.
pub(crate) const WAITING: usize = 10_000;
/// Most bytes of requests that wait, attributes included.
pub(crate) const BYTES: usize = 64 << 20;
/// Bytes that an attribute takes besides its name and its value.
const ATTRIBUTE: usize = 48;

/// A request that waits for the reply of a plugin.
#[derive(Debug)]
pub(crate) struct PendingRequest {
    /// Becomes the event's data.
    pub data: Vec<u8>,
    /// Becomes the event's attributes: method, path, query, headers.
    pub attributes: Vec<(String, String)>,
    answer: AwaitedAnswer,
    /// Its share of [`BYTES`]. It ends when the request becomes part of a batch, which has a limit of its own.
    _room: OwnedSemaphorePermit,
}

/// The way of an answer to its request.
#[derive(Debug)]
struct AwaitedAnswer {
    sender: oneshot::Sender<HttpAnswer>,
    /// The answer is kept with the commit; `None`: it is not.
    kept: Option<KeptRequest>,
}

/// Passes requests to the routes that read the source. Clones share the requests.
#[derive(Debug, Clone)]
pub(crate) struct HttpSource {
    send: mpsc::Sender<PendingRequest>,
    receive: Arc<Mutex<mpsc::Receiver<PendingRequest>>>,
    room: Arc<Semaphore>,
    next: Arc<AtomicU64>,
}

/// Why a request gets no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// Too many requests wait already.
    #[error("too many requests wait already; try again later")]
    Full,
    /// The route stopped, or dropped the request without settling it.
    #[error("the route stopped before it answered; nothing was done")]
    Gone,
}

impl HttpSource {
    /// A source without requests.
    #[must_use]
    pub(crate) fn new() -> Self {
        let (send, receive) = mpsc::channel(WAITING);
        let start = epoch_millis().wrapping_mul(1_000_000);
        HttpSource {
            send,
            receive: Arc::new(Mutex::new(receive)),
            room: Arc::new(Semaphore::new(BYTES)),
            next: Arc::new(AtomicU64::new(start)),
        }
    }

    /// Passes a request on and waits for its answer.
    ///
    /// # Errors
    /// [`Unanswered`]; no effect of the request was committed, unless the process was killed between commit and
    /// answer.
    pub(crate) async fn ask(
        &self,
        data: Vec<u8>,
        attributes: Vec<(String, String)>,
        kept: Option<KeptRequest>,
    ) -> Result<HttpAnswer, Unanswered> {
        let (sender, wait) = oneshot::channel();
        let named: usize = attributes.iter().map(|(name, value)| name.len() + value.len() + ATTRIBUTE).sum();
        // A request that is larger than the limit may wait when no other one does.
        let bytes = u32::try_from(data.len().saturating_add(named).clamp(1, BYTES)).unwrap_or(u32::MAX);
        let room = self.room.clone().try_acquire_many_owned(bytes).map_err(|_| Unanswered::Full)?;
        let answer = AwaitedAnswer { sender, kept };
        self.send.try_send(PendingRequest { data, attributes, answer, _room: room }).map_err(|_| Unanswered::Full)?;
        wait.await.map_err(|_| Unanswered::Gone)
    }

    /// Drops the requests that wait, because no route takes them: their senders are told at once that nothing was done, and do not
    /// wait for their timeout.
    pub(crate) fn refuse_waiting(&self) {
        // A lane that holds the lock is about to see that its route rests, and comes here then.
        if let Ok(mut receive) = self.receive.try_lock() {
            while receive.try_recv().is_ok() {}
        }
    }

    /// The source for `route`: as many lanes as it has pollers.
    #[must_use]
    pub(crate) fn source(&self, route: Arc<str>, source: Arc<str>, pollers: usize) -> Box<dyn Source> {
        let origin = BatchOrigin { route, source, kind: "http".into(), lane: "".into(), ordered: false };
        Box::new(HttpLanes { http_source: self.clone(), origin, left: pollers.max(1) })
    }
}

impl Default for HttpSource {
    fn default() -> Self {
        HttpSource::new()
    }
}

struct HttpLanes {
    http_source: HttpSource,
    origin: BatchOrigin,
    left: usize,
}

impl Source for HttpLanes {
    fn caught_up(&self) -> bool {
        self.left == 0
    }

    fn next_lane(&mut self) -> BoxFuture<'_, Result<Option<Box<dyn Lane>>, Fault>> {
        let poller = HttpLane {
            http_source: self.http_source.clone(),
            origin: self.origin.clone(),
            first: None,
            answers: HashMap::new(),
        };
        let lane = self.left.checked_sub(1).map(|left| {
            self.left = left;
            Box::new(poller) as Box<dyn Lane>
        });
        Box::pin(std::future::ready(Ok(lane)))
    }
}

/// One of several lanes that take requests from the same channel.
struct HttpLane {
    http_source: HttpSource,
    origin: BatchOrigin,
    /// Received in `ready`, for the next pull.
    first: Option<PendingRequest>,
    /// The ways of the answers to the batch in work.
    answers: HashMap<u64, AwaitedAnswer>,
}

/// Requests that become a batch. If the pull is cancelled this is dropped, which tells their senders that nothing was done.
#[derive(Default)]
struct TakenRequests {
    columns: Columns,
    claims: Vec<Claim>,
    answers: HashMap<u64, AwaitedAnswer>,
}

impl TakenRequests {
    fn add(&mut self, request: PendingRequest, number: &AtomicU64) {
        // Its sender has gone and may send it again: then it would be carried out twice.
        if request.answer.sender.is_closed() {
            return;
        }
        let number = number.fetch_add(1, Ordering::Relaxed);
        let mut attributes: Vec<(&str, &str)> =
            request.attributes.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let hops = hops::take(&mut attributes, hops::ATTRIBUTE);
        let id = number.to_string();
        let event = NewEvent {
            id: &id,
            key: "",
            data: &request.data,
            attributes: &attributes,
            timestamp: epoch_millis(),
            attempt: 1,
        };
        // If the batch is full, the sender of the answer is dropped: the request is answered with an error.
        if self.columns.push(&event).is_ok() {
            self.claims.push(Claim::new(Token::Offset(number)).with_hops(hops));
            self.answers.insert(number, request.answer);
        }
    }
}

impl HttpLane {
    /// The batch of these requests, whose answers this lane passes on from now on.
    fn batch(&mut self, TakenRequests { columns, claims, answers }: TakenRequests) -> Batch {
        self.answers = answers;
        Batch { origin: self.origin.clone(), columns: columns.into(), claims, previous: None }
    }
}

impl Lane for HttpLane {
    fn id(&self) -> &str {
        ""
    }

    fn pull(&mut self, limit: Limit) -> BoxFuture<'_, Result<Pull, Fault>> {
        Box::pin(async move {
            // A batch that was dropped without being settled left its requests here: dropping them answers them with
            // an error.
            self.answers.clear();
            let (mut taken, next) = (TakenRequests::default(), self.http_source.next.clone());
            if let Some(first) = self.first.take() {
                taken.add(first, &next);
            }
            let deadline = Instant::now() + limit.window;
            let receive = self.http_source.receive.clone();
            // Another lane waits in `ready` with the lock and takes the next request. This lane takes no more than its
            // first one.
            let Ok(mut receive) = receive.try_lock() else {
                let empty = taken.claims.is_empty();
                return Ok(if empty { Pull::Empty { drained: true } } else { Pull::Batch(self.batch(taken)) });
            };
            while taken.claims.len() < limit.events && taken.columns.size() < limit.bytes {
                match receive.try_recv() {
                    Ok(request) => taken.add(request, &next),
                    Err(_) if taken.claims.is_empty() => return Ok(Pull::Empty { drained: true }),
                    Err(_) => match tokio::time::timeout_at(deadline, receive.recv()).await {
                        Ok(Some(request)) => taken.add(request, &next),
                        _ => break,
                    },
                }
            }
            if taken.claims.is_empty() {
                return Ok(Pull::Empty { drained: false });
            }
            Ok(Pull::Batch(self.batch(taken)))
        })
    }

    fn ready(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if self.first.is_none() {
                let receive = self.http_source.receive.clone();
                self.first = receive.lock().await.recv().await;
            }
        })
    }

    fn rests(&mut self) {
        // What is left here is of a batch that was dropped, or of none yet. One route reads the source, so no other takes what waits.
        self.answers.clear();
        self.first = None;
        self.http_source.refuse_waiting();
    }

    fn answers(&self, settling: &[Settled<'_>]) -> Vec<(usize, KeptAnswer)> {
        let kept = settling.iter().enumerate().filter_map(|(at, event)| {
            let Token::Offset(number) = event.token else { return None };
            let kept = self.answers.get(number)?.kept.as_ref()?;
            // Nothing was done for a request that no route takes, or that is to be sent again.
            let over = matches!(event.verdict, Verdict::Done | Verdict::Skipped(_) | Verdict::Dead(_));
            over.then(|| (at, kept.kept(answer(event))))
        });
        kept.collect()
    }

    fn settled(&mut self, settled: &[Settled<'_>]) {
        for event in settled {
            let Token::Offset(number) = event.token else { continue };
            if let Some(AwaitedAnswer { sender, kept }) = self.answers.remove(number) {
                // The answer is kept by now: the same request may come again from here on.
                drop(kept);
                // Fails if the client has gone.
                let _ = sender.send(answer(event));
            }
        }
    }
}

fn answer(event: &Settled<'_>) -> HttpAnswer {
    if let Some(reply) = event.reply {
        return HttpAnswer {
            status: reply.status,
            content_type: reply.content_type.clone(),
            headers: reply.headers.clone(),
            body: reply.body.clone(),
        };
    }
    let (status, code, message) = match event.verdict {
        Verdict::Done | Verdict::Skipped(_) => (204, "", ""),
        Verdict::Filtered => (404, "filtered", "no route takes this request"),
        Verdict::Dead(reason) if reason.code == "rejected" => (422, reason.code.as_str(), reason.message.as_str()),
        Verdict::Dead(reason) => (500, reason.code.as_str(), "the plugin failed; the request is in the dead letters"),
        Verdict::Released(_) => (503, "released", "try again"),
    };
    let body = if code.is_empty() {
        Vec::new()
    } else {
        serde_json::json!({"code": code, "error": message}).to_string().into_bytes()
    };
    HttpAnswer { status, content_type: "application/json".to_owned(), headers: Vec::new(), body }
}

#[cfg(test)]
mod tests {
    use super::{BYTES, HttpAnswer, HttpSource, Unanswered};
    use crate::wiring::kept_reply::RequestsInWork;
    use esclusa_flow::source::{Lane, Limit, Pull};
    use std::time::Duration;
    use tokio::task::JoinHandle;

    const LIMIT: Limit = Limit { events: 1, bytes: 1 << 20, window: Duration::from_secs(3600) };

    /// A request with a key, which waits for its answer in a task.
    fn asked(
        http_source: &HttpSource,
        in_work: &RequestsInWork,
        key: &str,
    ) -> JoinHandle<Result<HttpAnswer, Unanswered>> {
        let kept = in_work.begin(key.into(), None, Duration::ZERO);
        assert!(kept.is_some(), "request {key} is in work already");
        let http_source = http_source.clone();
        tokio::spawn(async move { http_source.ask(Vec::new(), Vec::new(), kept).await })
    }

    async fn lane(http_source: &HttpSource) -> Box<dyn Lane> {
        http_source.source("r".into(), "s".into(), 1).next_lane().await.unwrap().unwrap()
    }

    async fn told(asked: JoinHandle<Result<HttpAnswer, Unanswered>>) {
        let told = tokio::time::timeout(Duration::from_secs(1), asked).await;
        assert!(matches!(told, Ok(Ok(Err(Unanswered::Gone)))), "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn senders_of_a_batch_that_was_dropped_and_of_what_waits_are_told_when_the_route_rests() {
        let (http_source, in_work) = (HttpSource::new(), RequestsInWork::default());
        let mut lane = lane(&http_source).await;
        let in_batch = asked(&http_source, &in_work, "in the batch");
        tokio::task::yield_now().await;
        let Ok(Pull::Batch(batch)) = lane.pull(LIMIT).await else { panic!("a request waits") };
        let first = asked(&http_source, &in_work, "received in `ready`");
        lane.ready().await;
        let waits = asked(&http_source, &in_work, "waits");
        tokio::task::yield_now().await;
        drop(batch);
        lane.rests();
        for (asked_before, key) in [(in_batch, "in the batch"), (first, "received in `ready`"), (waits, "waits")] {
            told(asked_before).await;
            assert!(in_work.begin(key.into(), None, Duration::ZERO).is_some(), "{key} may come again");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pull_that_is_cancelled_tells_the_senders_of_what_it_took() {
        let (http_source, in_work) = (HttpSource::new(), RequestsInWork::default());
        let mut lane = lane(&http_source).await;
        let taken = asked(&http_source, &in_work, "taken");
        tokio::task::yield_now().await;
        let two = Limit { events: 2, ..LIMIT };
        let cancelled = tokio::time::timeout(Duration::from_secs(5), lane.pull(two)).await;
        assert!(cancelled.is_err(), "it waits for another request");
        told(taken).await;
        assert!(in_work.begin("taken".into(), None, Duration::ZERO).is_some(), "it may come again");
    }

    #[tokio::test]
    async fn what_waits_is_bounded_in_bytes_whether_they_are_in_bodies_or_in_headers() {
        for (body, header) in [(1 << 20, 0), (0, 1 << 20)] {
            let http_source = HttpSource::new();
            let attributes = || vec![("header.x".to_owned(), "x".repeat(header))];
            let waiting = |_| {
                let (http_source, attributes) = (http_source.clone(), attributes());
                tokio::spawn(async move { http_source.ask(vec![0; body], attributes, None).await })
            };
            let waiting: Vec<_> = (0..BYTES >> 20).map(waiting).collect();
            for _ in 0..waiting.len() {
                tokio::task::yield_now().await;
            }
            let beyond = http_source.ask(vec![0; body], attributes(), None);
            let refused = tokio::time::timeout(std::time::Duration::from_secs(1), beyond).await;
            assert!(matches!(refused, Ok(Err(Unanswered::Full))), "{refused:?} with {body} and {header} bytes");
        }
    }
}
