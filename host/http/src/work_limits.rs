//! Where the work of a request runs: never on the threads that serve connections, so that health is answered
//! meanwhile.
//!
//! Work of the router runs on the router's own threads. Computing an answer runs on threads that may block. Each kind
//! of work has a limit of its own on how much of it runs at a time, so that no kind keeps another one waiting.

use crate::answer_budget::{AnswerBudget, SMALL};
use crate::api_error::ApiError;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use esclusa_flow::BoxFuture;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{JoinError, JoinHandle};

/// How long a request waits for its turn, and then for room for its answer.
const WAIT: Duration = Duration::from_secs(5);

/// Bytes of large answers that clients have not taken yet, all kinds together: the sum of the limits below.
pub const UNTAKEN: usize = (32 + 16 + 64 + 64 + 64) << 20;

/// The limits of each kind of work.
pub struct WorkLimits {
    router: Handle,
    /// Parsing bodies.
    pub parsing: WorkLimit,
    /// Status and items: milliseconds each.
    pub looks: WorkLimit,
    /// Accounts, which wait for busy routes.
    pub audits: WorkLimit,
    /// Searches of dead letters.
    pub searches: WorkLimit,
    /// Scans of whole tables.
    pub scans: WorkLimit,
    /// Invocations of plugins.
    pub invocations: WorkLimit,
    /// Redrives and drops of dead letters.
    pub redrives: WorkLimit,
    /// Pauses, resumes and reloads.
    pub changes: WorkLimit,
    /// The budget for replies of plugins and for results of redrives.
    pub replies: AnswerBudget,
}

/// The limit of one kind of work.
pub struct WorkLimit {
    what: &'static str,
    free: Arc<Semaphore>,
    untaken: AnswerBudget,
}

/// The permit for one piece of work; dropping it lets the next one begin.
pub struct WorkPermit(#[expect(dead_code, reason = "held until the work is done")] OwnedSemaphorePermit);

impl WorkLimits {
    /// The limits of a listener; `router` runs the work of the router.
    pub fn new(router: Handle) -> Self {
        WorkLimits {
            router,
            parsing: WorkLimit::new("requests are being parsed", 4, 0),
            looks: WorkLimit::new("requests of this kind are being answered", 4, 32 << 20),
            audits: WorkLimit::new("audits run", 2, 16 << 20),
            searches: WorkLimit::new("searches of dead letters run", 2, 64 << 20),
            scans: WorkLimit::new("scans of tables run", 4, 0),
            invocations: WorkLimit::new("invocations of plugins run", 4, 64 << 20),
            redrives: WorkLimit::new("redrives run", 8, 0),
            changes: WorkLimit::new("reloads and pauses run", 8, 0),
            replies: AnswerBudget::new(64 << 20),
        }
    }

    /// Runs work on the router's threads, to its end even if the client leaves: half of a commit or a reload would be
    /// worse than one that nobody waits for.
    ///
    /// # Errors
    /// The work panicked.
    pub async fn whole<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, ApiError> {
        let work: BoxFuture<'static, T> = Box::pin(work);
        self.router.spawn(work).await.map_err(|error| failed(&error))
    }

    /// Like [`whole`](Self::whole), within a limit; the permit comes with the result.
    ///
    /// # Errors
    /// The limit is reached, or the work panicked.
    pub async fn whole_in<T: Send + 'static>(
        &self,
        places: &WorkLimit,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<(T, WorkPermit), ApiError> {
        let place = places.place().await?;
        self.whole(async move { (work.await, place) }).await
    }

    /// Computes something from so many bytes: at once if they are few, else within the limit of parsing.
    ///
    /// # Errors
    /// The limit of parsing is reached.
    pub async fn compute<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        // Handing a small body to another thread would take longer than parsing it.
        if bytes <= SMALL { Ok(work()) } else { self.parsing.run(work).await }
    }
}

impl WorkLimit {
    fn new(what: &'static str, places: usize, untaken: usize) -> Self {
        WorkLimit { what, free: Arc::new(Semaphore::new(places)), untaken: AnswerBudget::new(untaken) }
    }

    /// Waits a moment for a permit.
    ///
    /// # Errors
    /// The limit stays reached.
    pub async fn place(&self) -> Result<WorkPermit, ApiError> {
        match tokio::time::timeout(WAIT, self.free.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(WorkPermit(permit)),
            _ => {
                let why = format!("too many {} already; try again later", self.what);
                Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, why).code("limit.places"))
            }
        }
    }

    /// Runs work that may take long, within this limit.
    ///
    /// # Errors
    /// The limit is reached.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        let place = self.place().await?;
        // The permit goes into the closure: it is kept until the work ends, even if the client has left and this
        // future is dropped.
        blocking(move || (work(), place)).await.map(|(done, _)| done)
    }

    /// Computes an answer within this limit, and keeps its permit until there is room for the answer.
    ///
    /// # Errors
    /// The limit is reached, or there is no room for the answer.
    pub async fn answer<T: Serialize, E: Into<ApiError>>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<Response, ApiError> {
        self.answer_with(Box::new(move || encode(&work().map_err(E::into)?))).await
    }

    /// Likewise, with the bytes of the answer.
    fn answer_with(
        &self,
        work: Box<dyn FnOnce() -> Result<Vec<u8>, ApiError> + Send>,
    ) -> BoxFuture<'_, Result<Response, ApiError>> {
        Box::pin(async move {
            let place = self.place().await?;
            let (bytes, _place) = blocking(move || (work(), place)).await?;
            Ok(json(self.untaken.body(bytes?, WAIT).await?))
        })
    }

    /// The answer to work that was done with this permit.
    ///
    /// # Errors
    /// There is no room for the answer.
    pub async fn done<T: Serialize + Send + 'static>(
        &self,
        value: T,
        _place: WorkPermit,
    ) -> Result<Response, ApiError> {
        let bytes = blocking(move || encode(&value)).await??;
        Ok(json(self.untaken.body_now(bytes)?))
    }
}

/// An answer with a body of JSON.
pub fn json(body: Body) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// A value as JSON.
///
/// # Errors
/// The value has no form in JSON.
pub fn encode(value: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(value).map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// Runs work that may block on a thread for such work.
///
/// # Errors
/// The work panicked.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    let (done, result) = oneshot::channel();
    on_a_thread(Box::new(move || drop(done.send(work())))).await.map_err(|error| failed(&error))?;
    result.await.map_err(|_| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "the work ended without a result"))
}

/// Boxed, so that tokio's tasks are compiled here once, and not again for each kind of work.
fn on_a_thread(work: Box<dyn FnOnce() + Send>) -> JoinHandle<()> {
    tokio::task::spawn_blocking(work)
}

fn failed(error: &JoinError) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}
