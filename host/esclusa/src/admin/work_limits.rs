//! Where the work of a request is done: not on the threads that serve connections, so that health is answered meanwhile.
//!
//! What the router does is handed to the router's own threads. What is computed for an answer runs on threads that may
//! block, in few places at a time, each kind of work in its own: no kind can keep another one waiting.

use super::answer_budget::{SMALL, Untaken};
use super::api_error::Refusal;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a request waits for a place, and then for room for its answer.
const WAIT: Duration = Duration::from_secs(5);

/// Bytes of large answers that clients may leave untaken, of every kind together.
pub(crate) const UNTAKEN: usize = (32 + 16 + 64 + 64 + 64) << 20;

/// Where work goes.
pub(crate) struct Work {
    router: Handle,
    /// Bodies are parsed.
    pub parsing: Places,
    /// Status and items: what takes milliseconds.
    pub looks: Places,
    /// Accounts are made up, which waits for busy routes.
    pub audits: Places,
    /// Dead letters are looked through.
    pub searches: Places,
    /// Tables are read from one end to the other.
    pub scans: Places,
    /// Plugins are called for somebody who waits.
    pub trials: Places,
    /// Dead letters are replayed or dropped.
    pub replays: Places,
    /// Routes are paused, configurations are put in force.
    pub changes: Places,
    /// Replies of plugins, and results of replays.
    pub replies: Untaken,
}

/// Places for one kind of work.
pub(crate) struct Places {
    what: &'static str,
    free: Arc<Semaphore>,
    untaken: Untaken,
}

/// A place; it is free again when this is dropped.
pub(crate) struct Place(#[expect(dead_code, reason = "held for the place")] OwnedSemaphorePermit);

impl Work {
    /// Work of the router goes there.
    pub(crate) fn new(router: Handle) -> Self {
        Work {
            router,
            parsing: Places::new("requests are parsed", 4, 0),
            looks: Places::new("requests of this kind are answered", 4, 32 << 20),
            audits: Places::new("audits run", 2, 16 << 20),
            searches: Places::new("searches of dead letters run", 2, 64 << 20),
            scans: Places::new("scans of tables run", 4, 0),
            trials: Places::new("trials of plugins run", 4, 64 << 20),
            replays: Places::new("replays run", 8, 0),
            changes: Places::new("reloads and pauses wait", 8, 0),
            replies: Untaken::new(64 << 20),
        }
    }

    /// Has the router carry something out to its end, whether or not anybody waits for it.
    ///
    /// # Errors
    /// It panicked.
    pub(crate) async fn whole<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.router.spawn(work).await.map_err(|error| failed(&error))
    }

    /// The same, in a place that is taken until then.
    ///
    /// # Errors
    /// There is no place for it, or it panicked.
    pub(crate) async fn whole_in<T: Send + 'static>(
        &self,
        places: &Places,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<(T, Place), Refusal> {
        let place = places.place().await?;
        self.whole(async move { (work.await, place) }).await
    }

    /// Computes something from so many bytes: at once, or in its turn when there are many.
    ///
    /// # Errors
    /// It is not its turn for too long.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        if bytes <= SMALL { Ok(work()) } else { self.parsing.run(work).await }
    }
}

impl Places {
    fn new(what: &'static str, places: usize, untaken: usize) -> Self {
        Places { what, free: Arc::new(Semaphore::new(places)), untaken: Untaken::new(untaken) }
    }

    /// Waits a moment for a place.
    ///
    /// # Errors
    /// None becomes free.
    pub(crate) async fn place(&self) -> Result<Place, Refusal> {
        match tokio::time::timeout(WAIT, self.free.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Place(permit)),
            _ => {
                let why = format!("too many {} already; try again later", self.what);
                Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why).code("limit.places"))
            }
        }
    }

    /// Does something that may take long, in its turn.
    ///
    /// # Errors
    /// There is no place for it.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        let place = self.place().await?;
        // The place is taken until the work ends, whether or not anybody waits for it.
        blocking(move || (work(), place)).await.map(|(done, _)| done)
    }

    /// Computes an answer in its turn, and keeps its place until there is room for the answer.
    ///
    /// # Errors
    /// There is no place or no room for it.
    pub(crate) async fn answer<T: Serialize, E: Into<Refusal>>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<Response, Refusal> {
        let place = self.place().await?;
        let work = move || (work().map_err(E::into).and_then(|value| encode(&value)), place);
        let (bytes, _place) = blocking(work).await?;
        Ok(json(self.untaken.body(bytes?, WAIT).await?))
    }

    /// The answer to something that was done in a place.
    ///
    /// # Errors
    /// There is no room for it.
    pub(crate) async fn done<T: Serialize + Send + 'static>(
        &self,
        value: T,
        _place: Place,
    ) -> Result<Response, Refusal> {
        let bytes = blocking(move || encode(&value)).await??;
        Ok(json(self.untaken.body_now(bytes)?))
    }
}

/// A body of JSON as an answer.
pub(crate) fn json(body: Body) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// A value as JSON.
///
/// # Errors
/// It has no form in JSON.
pub(crate) fn encode(value: &impl Serialize) -> Result<Vec<u8>, Refusal> {
    serde_json::to_vec(value).map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// Does something that may block, on a thread of its own.
///
/// # Errors
/// It panicked.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| failed(&error))
}

fn failed(error: &tokio::task::JoinError) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}
