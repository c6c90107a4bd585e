//! Request bodies, read within one budget of bytes that all requests share.
//!
//! A request takes its share before its body is read and keeps it until it is answered; every copy of the body counts.
//! When the budget is spent, a request waits a moment; then the request that has been sending for the longest time is
//! refused to make room. No request waits for what it holds itself: while it did, all others would wait behind it. A
//! body that is too large for the budget with its copies takes all of it, and so goes alone.

use crate::api_error::{ApiError, root_cause};
use crate::connections::Late;
use axum::body::Body;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use esclusa_flow::BoxFuture;
use esclusa_pipeline::budget::{Budget, BytesPermit};
use futures_util::StreamExt;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Bytes of all bodies and their copies together.
pub const TOTAL: usize = 192 << 20;
/// Copies of a body at the same time: as received, as records, and in the journal of the store.
pub(crate) const COPIES: usize = 3;
/// Bytes that an event of a body takes besides its data: its record, and its entry in the store.
const PER_EVENT: usize = 256;
/// A body of unknown length takes its share in steps: the first has this many bytes, each further one doubles the
/// whole.
const STEP: usize = 64 << 10;
/// A request waits at most this long for its share.
const WAIT: Duration = Duration::from_secs(10);
/// A request that has been sending for this long is refused if another one waits for a share.
const SENDING: Duration = Duration::from_secs(5);

/// The budget of all request bodies.
#[derive(Debug)]
pub struct BodyBudget {
    budget: Budget,
    /// Requests whose body is being received, in the order in which they began.
    sending: Arc<Mutex<SendingBodies>>,
    wait: Duration,
    give_way: Duration,
}

#[derive(Debug, Default)]
struct SendingBodies {
    next: u64,
    bodies: BTreeMap<u64, (Instant, Arc<Notify>)>,
}

/// A body with its share of the budget; keep it until the request is answered.
pub struct BudgetedBody {
    /// The whole body.
    pub data: Vec<u8>,
    shares: Vec<BytesPermit>,
}

impl BudgetedBody {
    /// Bytes of its share.
    pub(crate) fn share(&self) -> usize {
        self.shares.iter().map(BytesPermit::bytes).fold(0, usize::saturating_add)
    }

    /// Gives back all of its share but `bytes`.
    fn shrink(&mut self, mut bytes: usize) {
        self.shares.retain_mut(|share| {
            let stays = bytes > 0;
            share.shrink(bytes);
            bytes = bytes.saturating_sub(share.bytes());
            stays
        });
    }
}

/// Most bytes that all bodies with their copies take together if one of them may have `largest`.
#[must_use]
pub fn most(largest: usize) -> usize {
    largest.saturating_mul(COPIES).max(TOTAL)
}

impl Default for BodyBudget {
    /// A budget of [`TOTAL`] bytes, all of them free.
    fn default() -> Self {
        BodyBudget { budget: Budget::new(TOTAL), sending: Arc::default(), wait: WAIT, give_way: SENDING }
    }
}

impl BodyBudget {
    /// Receives the whole body of a request with these headers; it may have `most` bytes.
    ///
    /// # Errors
    /// The body is larger, breaks off, or gets no share.
    pub fn read<'a>(
        &'a self,
        headers: &HeaderMap,
        body: Body,
        most: usize,
    ) -> BoxFuture<'a, Result<BudgetedBody, ApiError>> {
        let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Box::pin(async move {
            let gives_way = Arc::new(Notify::new());
            tokio::select! {
                // A body that is complete at this moment is used, even if the request was just refused for being slow.
                biased;
                held = self.fill(body, declared, most, &gives_way) => held,
                () = gives_way.notified() => Err(full("the request was refused to make room for others: it was sent too slowly")),
            }
        })
    }

    async fn fill(
        &self,
        body: Body,
        declared: Option<usize>,
        most: usize,
        gives_way: &Arc<Notify>,
    ) -> Result<BudgetedBody, ApiError> {
        let (mut held, mut room, mut sends) = (BudgetedBody { data: Vec::new(), shares: Vec::new() }, 0, None);
        if let Some(bytes) = declared.filter(|bytes| *bytes > 0) {
            check(bytes, most)?;
            self.grow(&mut held, bytes.saturating_mul(COPIES)).await?;
            sends = Some(self.begin(gives_way));
            // Reserved only after the share was taken: a header with a large length costs no memory.
            held.data.reserve_exact(bytes);
            room = bytes;
        }
        let mut pieces = body.into_data_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| broken(&error))?;
            let size = held.data.len().saturating_add(piece.len());
            check(size, most)?;
            if size > room {
                // Each step doubles the share: a long body takes few steps, a short one takes little.
                let more = (size - room).max(room).max(STEP.min(most));
                room = room.saturating_add(more).min(most);
                self.grow(&mut held, room.saturating_mul(COPIES)).await?;
                sends.get_or_insert_with(|| self.begin(gives_way));
            }
            held.data.extend_from_slice(&piece);
        }
        drop(sends);
        held.shrink(held.data.len().saturating_mul(COPIES));
        Ok(held)
    }

    /// Takes a share for the events that a body of `size` bytes becomes: `count` of them, each with `more` bytes that the
    /// body does not have.
    ///
    /// # Errors
    /// The budget has no room for them: not now, or not even for them alone.
    pub async fn events(
        &self,
        held: &mut BudgetedBody,
        size: usize,
        (count, more): (usize, usize),
    ) -> Result<(), ApiError> {
        let beside = count.saturating_mul(PER_EVENT.saturating_add(more));
        let whole = held.share().saturating_add(beside);
        // What does not fit beside the copies of a large body has the room of one of them: the body as it was received,
        // which is dropped once the events are made.
        if whole > self.budget.total() && beside > size {
            let copies = "each has a copy of the key and of the attributes, such as path and query";
            let why = format!("the {count} lines would take too much memory, since {copies}: send them in parts");
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, why).code("limit.list"));
        }
        self.grow(held, whole).await
    }

    /// Lets the share of a request be `bytes`, of which it may hold more or less; more than the whole budget count as the whole.
    pub(crate) async fn resize(&self, held: &mut BudgetedBody, bytes: usize) -> Result<(), ApiError> {
        held.shrink(bytes);
        self.grow(held, bytes).await
    }

    /// Lets the share of a request have `bytes`; more than the whole budget count as the whole. What the request holds
    /// already counts, so that it never waits for itself.
    async fn grow(&self, held: &mut BudgetedBody, bytes: usize) -> Result<(), ApiError> {
        let more = bytes.min(self.budget.total()).saturating_sub(held.share());
        if more > 0 {
            held.shares.push(self.share(more).await?);
        }
        Ok(())
    }

    async fn share(&self, bytes: usize) -> Result<BytesPermit, ApiError> {
        if let Some(share) = self.budget.try_take(bytes) {
            return Ok(share);
        }
        let end = Instant::now() + self.wait;
        // Pinned outside of the loop: a request keeps its place in the queue of the budget from one look to the next.
        let mut share = pin!(self.budget.take(bytes));
        loop {
            self.make_room();
            let look = end.min(Instant::now() + self.give_way / 4);
            if let Ok(Some(share)) = timeout_at(look, share.as_mut()).await {
                return Ok(share);
            }
            if Instant::now() >= end {
                return Err(full("the bodies of other requests take all room; try again later"));
            }
        }
    }

    /// Refuses the request that has been sending for the longest time, if that is long enough.
    fn make_room(&self) {
        let mut sending = self.sending.lock();
        if sending.bodies.first_key_value().is_some_and(|(_, (since, _))| since.elapsed() >= self.give_way)
            && let Some((_, (_, gives_way))) = sending.bodies.pop_first()
        {
            gives_way.notify_one();
        }
    }

    /// Lists a request that has a share as sending.
    fn begin(&self, gives_way: &Arc<Notify>) -> SendingGuard {
        let mut sending = self.sending.lock();
        let number = sending.next;
        sending.next = number.wrapping_add(1);
        sending.bodies.insert(number, (Instant::now(), gives_way.clone()));
        SendingGuard { number, sending: self.sending.clone() }
    }
}

/// Takes a request off the list of those that are sending when it is dropped.
struct SendingGuard {
    number: u64,
    sending: Arc<Mutex<SendingBodies>>,
}

impl Drop for SendingGuard {
    fn drop(&mut self) {
        self.sending.lock().bodies.remove(&self.number);
    }
}

/// The error for a body that broke off.
fn broken(why: &(dyn Error + 'static)) -> ApiError {
    let root_cause = root_cause(why);
    let status = if root_cause.is::<Late>() { StatusCode::REQUEST_TIMEOUT } else { StatusCode::BAD_REQUEST };
    ApiError::new(status, format!("the request broke off: {root_cause}"))
}

fn check(bytes: usize, most: usize) -> Result<(), ApiError> {
    if bytes <= most {
        return Ok(());
    }
    let why = format!("the body is too large: it may have {most} bytes here (max_body, for a source of kind http)");
    Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, why).code("limit.body"))
}

fn full(why: &str) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, why).code("limit.bodies")
}

#[cfg(test)]
impl BodyBudget {
    /// A budget of so many bytes, and short waits.
    pub(crate) fn small(total: usize) -> Self {
        let (wait, give_way) = (Duration::from_millis(100), Duration::from_secs(600));
        BodyBudget { budget: Budget::new(total), wait, give_way, ..BodyBudget::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Bytes;
    use axum::response::IntoResponse;
    use futures_util::stream;

    /// The length that a request declares.
    fn length(bytes: usize) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_LENGTH, bytes.into())])
    }

    /// Reads a body of so many bytes, which declares them or comes in pieces.
    async fn read(bodies: &BodyBudget, bytes: usize, declared: bool, most: usize) -> Result<BudgetedBody, ApiError> {
        if declared {
            return bodies.read(&length(bytes), Body::from(vec![0; bytes]), most).await;
        }
        let pieces =
            (0..bytes).step_by(1 << 10).map(move |at| Ok::<_, std::io::Error>(vec![0; (bytes - at).min(1 << 10)]));
        bodies.read(&HeaderMap::new(), Body::from_stream(stream::iter(pieces)), most).await
    }

    /// Half of the body that a request declares.
    fn half(bytes: usize) -> Body {
        let half = stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![0; bytes / 2]))]);
        Body::from_stream(half.chain(stream::pending()))
    }

    fn status(refused: Result<BudgetedBody, ApiError>) -> Option<u16> {
        refused.err().map(|why| why.into_response().status().as_u16())
    }

    #[tokio::test]
    async fn all_bodies_together_stay_within_the_budget_and_free_their_shares() {
        for declared in [true, false] {
            let bodies = BodyBudget::small(8 << 20);
            let mut held = Vec::new();
            let refused = loop {
                match read(&bodies, 1 << 20, declared, 2 << 20).await {
                    Ok(body) => held.push(body),
                    Err(why) => break why,
                }
            };
            assert_eq!(refused.into_response().status(), 503);
            assert!((1..=2).contains(&held.len()), "{} bodies of 1 MiB with their copies in 8 MiB", held.len());
            drop(held);
            assert_eq!(bodies.budget.used(), 0);
            assert!(read(&bodies, 1 << 20, declared, 2 << 20).await.is_ok());
        }
    }

    #[tokio::test]
    async fn the_largest_body_goes_alone() {
        let bodies = BodyBudget::small(TOTAL);
        let held = read(&bodies, 64 << 20, true, 64 << 20).await.unwrap_or_else(|why| panic!("{why:?}"));
        assert_eq!(held.data.len(), 64 << 20);
        assert_eq!(status(read(&bodies, 1, true, 1).await), Some(503), "all room is taken");
        assert_eq!(status(read(&bodies, 2, true, 1).await), Some(413));
        assert_eq!(status(read(&bodies, 2, false, 1).await), Some(413));
    }

    #[tokio::test]
    async fn events_that_could_never_fit_are_refused_at_once_and_nobody_waits_for_them() {
        let bodies = BodyBudget::small(8 << 20);
        let mut held = read(&bodies, 1 << 20, true, 1 << 20).await.unwrap_or_else(|why| panic!("{why:?}"));
        let refused = bodies.events(&mut held, 1 << 20, (1000, 6 << 10)).await.unwrap_err();
        assert!(format!("{refused:?}").contains("limit.list"), "{refused:?}");
        assert_eq!(refused.into_response().status(), 413);
        assert_eq!(bodies.budget.used(), COPIES << 20, "what it holds is its body's");
        let taken = bodies.events(&mut held, 1 << 20, (1000, 4 << 10)).await;
        assert!(taken.is_ok(), "{taken:?}");
    }

    #[tokio::test]
    async fn the_lines_of_a_body_that_takes_all_room_have_that_of_the_body_as_it_was_sent() {
        let size = 10 << 20;
        for declared in [true, false] {
            let bodies = BodyBudget::small(3 * size);
            let mut held = read(&bodies, size, declared, size).await.unwrap_or_else(|why| panic!("{why:?}"));
            let taken = bodies.events(&mut held, size, (size / 1024, 0)).await;
            assert!(taken.is_ok(), "{taken:?}");
            let refused = bodies.events(&mut held, size, (size / 1024, 1024)).await.unwrap_err();
            assert_eq!(refused.into_response().status(), 413);
        }
    }

    #[tokio::test]
    async fn a_body_that_is_larger_than_the_budget_with_its_copies_goes_alone() {
        for declared in [true, false] {
            let bodies = BodyBudget::small(4 << 20);
            let held = read(&bodies, 3 << 20, declared, 5 << 20).await.unwrap_or_else(|why| panic!("{why:?}"));
            assert_eq!(held.data.len(), 3 << 20);
            assert_eq!(status(read(&bodies, 1, true, 1).await), Some(503), "all room is taken");
            drop(held);
            assert!(read(&bodies, 1, true, 1).await.is_ok());
        }
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_keeps_no_more_than_it_has_become() {
        let bodies = BodyBudget::small(8 << 20);
        let held = read(&bodies, 130 << 10, false, 1 << 20).await.unwrap_or_else(|why| panic!("{why:?}"));
        assert_eq!((held.share(), bodies.budget.used()), (COPIES * (130 << 10), COPIES * (130 << 10)));
    }

    #[tokio::test]
    async fn requests_that_were_begun_and_not_sent_give_way() {
        let (wait, give_way) = (Duration::from_secs(600), Duration::from_millis(200));
        let bodies = Arc::new(BodyBudget { wait, give_way, ..BodyBudget::small(4 << 20) });
        let begin = || {
            let bodies = bodies.clone();
            tokio::spawn(async move { status(bodies.read(&length(300 << 10), half(300 << 10), 1 << 20).await) })
        };
        let begun: Vec<_> = (0..4).map(|_| begin()).collect();
        while bodies.budget.used() < 4 * COPIES * (300 << 10) {
            tokio::task::yield_now().await;
        }
        let honest = read(&bodies, 1 << 20, true, 1 << 20).await;
        assert!(honest.is_ok(), "{:?}", status(honest));
        let mut refused = 0;
        for reading in begun.into_iter().take(3) {
            assert_eq!(reading.await.unwrap(), Some(503));
            refused += 1;
        }
        assert_eq!(refused, 3, "the oldest of them");
    }
}
