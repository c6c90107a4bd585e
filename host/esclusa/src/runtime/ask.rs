//! The source of `http` with `reply = true`: requests wait in memory for the plugin's answer.
//!
//! Nothing is kept: a request whose answer does not come (a crash, a shutdown, its timeout) was not acknowledged,
//! and its sender knows. The answer is given after the commit, never before.

use esclusa_flow::BoxFuture;
use esclusa_flow::batch::{Batch, Claim, Token};
use esclusa_flow::event::{BatchOrigin, Columns, NewEvent};
use esclusa_flow::fault::Fault;
use esclusa_flow::source::{Lane, Limit, Pull, Settled, Source};
use esclusa_flow::verdict::Verdict;
use esclusa_pipeline::meter::epoch_millis;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

/// Requests that may wait before senders are told to come back later.
pub const WAITING: usize = 10_000;
/// Bytes of requests that may wait, their attributes included.
pub const BYTES: usize = 64 << 20;
/// Bytes that an attribute takes beside its name and its value.
const ATTRIBUTE: usize = 48;

/// A request on its way to a plugin.
#[derive(Debug)]
pub struct Question {
    /// Becomes the event's data.
    pub data: Vec<u8>,
    /// Becomes the event's attributes: method, path, query, headers.
    pub attributes: Vec<(String, String)>,
    answer: oneshot::Sender<Answer>,
    /// Its share of [`BYTES`]; a batch has a limit of its own.
    _room: OwnedSemaphorePermit,
}

/// What the sender is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// MIME type.
    pub content_type: String,
    /// Content.
    pub body: Vec<u8>,
}

/// Where requests go in.
#[derive(Debug, Clone)]
pub struct Desk {
    send: mpsc::Sender<Question>,
    receive: Arc<Mutex<mpsc::Receiver<Question>>>,
    room: Arc<Semaphore>,
    next: Arc<AtomicU64>,
}

/// A question that nobody will answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// Too many requests wait already.
    #[error("too many requests wait already; try again later")]
    Full,
    /// The route stopped, or gave the request back.
    #[error("the route stopped before it answered; nothing was done")]
    Gone,
}

impl Desk {
    /// A desk where nobody waits.
    #[must_use]
    pub fn new() -> Self {
        let (send, receive) = mpsc::channel(WAITING);
        let start = epoch_millis().wrapping_mul(1_000_000);
        Desk {
            send,
            receive: Arc::new(Mutex::new(receive)),
            room: Arc::new(Semaphore::new(BYTES)),
            next: Arc::new(AtomicU64::new(start)),
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// [`Unanswered`]; nothing of the request was committed, except where the process was killed in between.
    pub async fn ask(&self, data: Vec<u8>, attributes: Vec<(String, String)>) -> Result<Answer, Unanswered> {
        let (answer, wait) = oneshot::channel();
        let named: usize = attributes.iter().map(|(name, value)| name.len() + value.len() + ATTRIBUTE).sum();
        // One that is larger than all room goes alone.
        let bytes = u32::try_from(data.len().saturating_add(named).clamp(1, BYTES)).unwrap_or(u32::MAX);
        let room = self.room.clone().try_acquire_many_owned(bytes).map_err(|_| Unanswered::Full)?;
        self.send.try_send(Question { data, attributes, answer, _room: room }).map_err(|_| Unanswered::Full)?;
        wait.await.map_err(|_| Unanswered::Gone)
    }

    /// The desk as a source of `route`, with so many workers.
    #[must_use]
    pub fn source(&self, route: Arc<str>, source: Arc<str>, workers: usize) -> Box<dyn Source> {
        let origin = BatchOrigin { route, source, kind: "http".into(), lane: "".into(), ordered: false };
        Box::new(Desks { desk: self.clone(), origin, left: workers.max(1) })
    }
}

impl Default for Desk {
    fn default() -> Self {
        Desk::new()
    }
}

struct Desks {
    desk: Desk,
    origin: BatchOrigin,
    left: usize,
}

impl Source for Desks {
    fn caught_up(&self) -> bool {
        self.left == 0
    }

    fn next_lane(&mut self) -> BoxFuture<'_, Result<Option<Box<dyn Lane>>, Fault>> {
        let worker =
            Worker { desk: self.desk.clone(), origin: self.origin.clone(), first: None, answers: HashMap::new() };
        let lane = self.left.checked_sub(1).map(|left| {
            self.left = left;
            Box::new(worker) as Box<dyn Lane>
        });
        Box::pin(std::future::ready(Ok(lane)))
    }
}

/// One of several that take requests.
struct Worker {
    desk: Desk,
    origin: BatchOrigin,
    /// Taken while waiting, for the next pull.
    first: Option<Question>,
    answers: HashMap<u64, oneshot::Sender<Answer>>,
}

impl Worker {
    fn take(&mut self, question: Question, columns: &mut Columns, claims: &mut Vec<Claim>) {
        // Whoever asked has gone, and may ask again: it would be carried out twice.
        if question.answer.is_closed() {
            return;
        }
        let number = self.desk.next.fetch_add(1, Ordering::Relaxed);
        let attributes: Vec<(&str, &str)> = question.attributes.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let id = number.to_string();
        let event = NewEvent {
            id: &id,
            key: "",
            data: &question.data,
            attributes: &attributes,
            timestamp: epoch_millis(),
            attempt: 1,
        };
        // Where the batch is full the answer is dropped, and the sender is told.
        if columns.push(&event).is_ok() {
            claims.push(Claim::new(Token::Offset(number)));
            self.answers.insert(number, question.answer);
        }
    }
}

impl Lane for Worker {
    fn id(&self) -> &str {
        ""
    }

    fn pull(&mut self, limit: Limit) -> BoxFuture<'_, Result<Pull, Fault>> {
        Box::pin(async move {
            // Whoever dropped a batch without settling it leaves its senders here: they are told now.
            self.answers.clear();
            let (mut columns, mut claims) = (Columns::default(), Vec::new());
            if let Some(first) = self.first.take() {
                self.take(first, &mut columns, &mut claims);
            }
            let deadline = Instant::now() + limit.window;
            let receive = self.desk.receive.clone();
            // Whoever waits in `ready` holds the lock until a request comes: it takes that one, this worker what it has.
            let Ok(mut receive) = receive.try_lock() else {
                let batch = Batch { origin: self.origin.clone(), columns: columns.into(), claims, previous: None };
                return Ok(if batch.is_empty() { Pull::Empty { drained: true } } else { Pull::Batch(batch) });
            };
            while claims.len() < limit.events && columns.size() < limit.bytes {
                match receive.try_recv() {
                    Ok(question) => self.take(question, &mut columns, &mut claims),
                    Err(_) if claims.is_empty() => return Ok(Pull::Empty { drained: true }),
                    Err(_) => match tokio::time::timeout_at(deadline, receive.recv()).await {
                        Ok(Some(question)) => self.take(question, &mut columns, &mut claims),
                        _ => break,
                    },
                }
            }
            if claims.is_empty() {
                return Ok(Pull::Empty { drained: false });
            }
            Ok(Pull::Batch(Batch { origin: self.origin.clone(), columns: columns.into(), claims, previous: None }))
        })
    }

    fn ready(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if self.first.is_none() {
                let receive = self.desk.receive.clone();
                self.first = receive.lock().await.recv().await;
            }
        })
    }

    fn settled(&mut self, settled: &[Settled<'_>]) {
        for event in settled {
            let Token::Offset(number) = event.token else { continue };
            if let Some(sender) = self.answers.remove(number) {
                // A sender that has gone does not want its answer.
                let _ = sender.send(answer(event));
            }
        }
    }
}

fn answer(event: &Settled<'_>) -> Answer {
    if let Some(reply) = event.reply {
        return Answer { status: reply.status, content_type: reply.content_type.clone(), body: reply.body.clone() };
    }
    let (status, code, message) = match event.verdict {
        Verdict::Done | Verdict::Skipped(_) => (204, "", ""),
        Verdict::Filtered => (404, "filtered", "no route takes this request"),
        Verdict::Dead(reason) if reason.code == "rejected" => (422, reason.code.as_str(), reason.message.as_str()),
        Verdict::Dead(reason) => (500, reason.code.as_str(), "the plugin failed; the request is in the dead letters"),
        Verdict::Returned(_) => (503, "returned", "try again"),
    };
    let body = if code.is_empty() {
        Vec::new()
    } else {
        serde_json::json!({"code": code, "error": message}).to_string().into_bytes()
    };
    Answer { status, content_type: "application/json".to_owned(), body }
}

#[cfg(test)]
mod tests {
    use super::{BYTES, Desk, Unanswered};

    #[tokio::test]
    async fn what_waits_is_bounded_in_bytes_whether_they_are_in_bodies_or_in_headers() {
        for (body, header) in [(1 << 20, 0), (0, 1 << 20)] {
            let desk = Desk::new();
            let attributes = || vec![("header.x".to_owned(), "x".repeat(header))];
            let waiting = |_| {
                let (desk, attributes) = (desk.clone(), attributes());
                tokio::spawn(async move { desk.ask(vec![0; body], attributes).await })
            };
            let waiting: Vec<_> = (0..BYTES >> 20).map(waiting).collect();
            for _ in 0..waiting.len() {
                tokio::task::yield_now().await;
            }
            let beyond = desk.ask(vec![0; body], attributes());
            let told = tokio::time::timeout(std::time::Duration::from_secs(1), beyond).await;
            assert!(matches!(told, Ok(Err(Unanswered::Full))), "{told:?} with {body} and {header} bytes");
        }
    }
}
