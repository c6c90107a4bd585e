//! Where the work of a request is done: not on the threads that serve connections, so that health is answered meanwhile.
//!
//! What the router does is handed to the router's own threads. What is computed for an answer runs on threads that may
//! block, in few places at a time, each kind of work in its own: no kind can keep another one waiting.

use super::answer_budget::{AnswerBudget, SMALL};
use super::api_error::ApiError;
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
pub(crate) struct WorkLimits {
    router: Handle,
    /// Bodies are parsed.
    pub parsing: WorkLimit,
    /// Status and items: what takes milliseconds.
    pub looks: WorkLimit,
    /// Accounts are made up, which waits for busy routes.
    pub audits: WorkLimit,
    /// Dead letters are looked through.
    pub searches: WorkLimit,
    /// Tables are read from one end to the other.
    pub scans: WorkLimit,
    /// Plugins are called for somebody who waits.
    pub invocations: WorkLimit,
    /// Dead letters are redriven or dropped.
    pub redrives: WorkLimit,
    /// Routes are paused, configurations are put in force.
    pub changes: WorkLimit,
    /// Replies of plugins, and results of redrives.
    pub replies: AnswerBudget,
}

/// Places for one kind of work.
pub(crate) struct WorkLimit {
    what: &'static str,
    free: Arc<Semaphore>,
    untaken: AnswerBudget,
}

/// A place; it is free again when this is dropped.
pub(crate) struct WorkPermit(#[expect(dead_code, reason = "held for the place")] OwnedSemaphorePermit);

impl WorkLimits {
    /// Work of the router goes there.
    pub(crate) fn new(router: Handle) -> Self {
        WorkLimits {
            router,
            parsing: WorkLimit::new("requests are parsed", 4, 0),
            looks: WorkLimit::new("requests of this kind are answered", 4, 32 << 20),
            audits: WorkLimit::new("audits run", 2, 16 << 20),
            searches: WorkLimit::new("searches of dead letters run", 2, 64 << 20),
            scans: WorkLimit::new("scans of tables run", 4, 0),
            invocations: WorkLimit::new("invocations of plugins run", 4, 64 << 20),
            redrives: WorkLimit::new("redrives run", 8, 0),
            changes: WorkLimit::new("reloads and pauses wait", 8, 0),
            replies: AnswerBudget::new(64 << 20),
        }
    }

    /// Has the router carry something out to its end, whether or not anybody waits for it.
    ///
    /// # Errors
    /// It panicked.
    pub(crate) async fn whole<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.router.spawn(work).await.map_err(|error| failed(&error))
    }

    /// The same, in a place that is taken until then.
    ///
    /// # Errors
    /// There is no place for it, or it panicked.
    pub(crate) async fn whole_in<T: Send + 'static>(
        &self,
        places: &WorkLimit,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<(T, WorkPermit), ApiError> {
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
    ) -> Result<T, ApiError> {
        if bytes <= SMALL { Ok(work()) } else { self.parsing.run(work).await }
    }
}

impl WorkLimit {
    fn new(what: &'static str, places: usize, untaken: usize) -> Self {
        WorkLimit { what, free: Arc::new(Semaphore::new(places)), untaken: AnswerBudget::new(untaken) }
    }

    /// Waits a moment for a place.
    ///
    /// # Errors
    /// None becomes free.
    pub(crate) async fn place(&self) -> Result<WorkPermit, ApiError> {
        match tokio::time::timeout(WAIT, self.free.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(WorkPermit(permit)),
            _ => {
                let why = format!("too many {} already; try again later", self.what);
                Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, why).code("limit.places"))
            }
        }
    }

    /// Does something that may take long, in its turn.
    ///
    /// # Errors
    /// There is no place for it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let place = self.place().await?;
        // The place is taken until the work ends, whether or not anybody waits for it.
        blocking(move || (work(), place)).await.map(|(done, _)| done)
    }

    /// Computes an answer in its turn, and keeps its place until there is room for the answer.
    ///
    /// # Errors
    /// There is no place or no room for it.
    pub(crate) async fn answer<T: Serialize, E: Into<ApiError>>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<Response, ApiError> {
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
        _place: WorkPermit,
    ) -> Result<Response, ApiError> {
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
pub(crate) fn encode(value: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(value).map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// Does something that may block, on a thread of its own.
///
/// # Errors
/// It panicked.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| failed(&error))
}

fn failed(error: &tokio::task::JoinError) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}
