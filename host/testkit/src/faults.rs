//! A proxy in front of a server of an AWS protocol that injects failures: errors, answers that are lost after the
//! work was done, batches that fail in part.
//!
//! One request per connection, read whole before it is passed on, and so is its answer: not for event streams.
#![expect(clippy::unwrap_used, reason = "a test's proxy panics where its own parts break")]

mod http;
mod partial;

use http::Head;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How a request fails.
#[derive(Debug, Clone)]
pub enum InjectedFailure {
    /// An error of the service; the server does not hear of the request.
    Error {
        /// HTTP status.
        status: u16,
        /// The error's code: `ExpiredTokenException`, `ProvisionedThroughputExceededException`.
        code: &'static str,
    },
    /// The server does as it is asked, and the connection breaks before the answer.
    LostAnswer,
    /// The connection breaks before the server hears of the request.
    LostRequest,
    /// The entries at these indexes fail with the code, the server gets the others. For `PutRecords`, `BatchWriteItem`
    /// (in the list of each table; no code) and the batches of SQS.
    Partial {
        /// Indexes of the entries.
        entries: Vec<usize>,
        /// The code of each.
        code: &'static str,
    },
    /// Success with this JSON; the server does not hear of the request.
    Answer(&'static str),
}

struct FailureRule {
    action: String,
    calls: Range<usize>,
    seen: usize,
    failure: InjectedFailure,
}

#[derive(Default)]
struct FailureScript {
    rules: Vec<FailureRule>,
    requests: Vec<String>,
}

/// A running proxy. It ends when it is dropped.
pub struct FaultProxy {
    url: String,
    script: Arc<Mutex<FailureScript>>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// A proxy on a free port in front of `upstream` (`http://HOST:PORT`).
    pub async fn before(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let upstream = upstream.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let script = Arc::new(Mutex::new(FailureScript::default()));
        let shared = script.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (upstream, script) = (upstream.clone(), shared.clone());
                // A broken connection is the client's to notice.
                tokio::spawn(async move { serve(client, &upstream, &script).await.ok() });
            }
        });
        FaultProxy { url, script, task }
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lets calls of an action fail: the first one from now on is 0. Actions are `PutRecords`, `Publish`, or method and
    /// path if the protocol has no names for them: `POST /v2/email/outbound-emails`. The first rule that fits
    /// applies.
    pub fn fail(&self, action: &str, calls: Range<usize>, failure: InjectedFailure) {
        self.script.lock().unwrap().rules.push(FailureRule { action: action.to_owned(), calls, seen: 0, failure });
    }

    /// How many requests of an action came.
    #[must_use]
    pub fn calls(&self, action: &str) -> usize {
        self.script.lock().unwrap().requests.iter().filter(|request| *request == action).count()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FailureScript {
    /// Counts a request; gives the way in which it fails.
    fn next(&mut self, action: &str) -> Option<InjectedFailure> {
        self.requests.push(action.to_owned());
        let mut failure = None;
        for rule in self.rules.iter_mut().filter(|rule| rule.action == action) {
            if rule.calls.contains(&rule.seen) && failure.is_none() {
                failure = Some(rule.failure.clone());
            }
            rule.seen += 1;
        }
        failure
    }
}

async fn serve(mut client: TcpStream, upstream: &str, script: &Mutex<FailureScript>) -> std::io::Result<()> {
    let (head, body) = http::read(&mut client, true).await?;
    let action = action(&head, &body);
    let failure = script.lock().unwrap().next(&action);
    let (head, body) = match failure {
        None => forward(upstream, head, body).await?,
        Some(InjectedFailure::LostRequest) => return Ok(()),
        Some(InjectedFailure::LostAnswer) => {
            forward(upstream, head, body).await?;
            return Ok(());
        }
        Some(InjectedFailure::Error { status, code }) => error(&head, status, code),
        Some(InjectedFailure::Answer(body)) => (Head::answer(200, "application/x-amz-json-1.1"), body.into()),
        Some(InjectedFailure::Partial { entries, code }) => {
            let mut cut = partial::PartialBatch::new(&action, &body, &entries, code);
            match cut.request() {
                Some(rest) => {
                    let (head, answer) = forward(upstream, head, rest).await?;
                    (head, cut.answer(&answer))
                }
                None => (Head::answer(200, "application/x-amz-json-1.1"), cut.answer(b"{}")),
            }
        }
    };
    client.write_all(&head.with_body(&body)).await?;
    client.shutdown().await
}

async fn forward(upstream: &str, head: Head, body: Vec<u8>) -> std::io::Result<(Head, Vec<u8>)> {
    let mut server = TcpStream::connect(upstream).await?;
    server.write_all(&head.with_body(&body)).await?;
    http::read(&mut server, false).await
}

/// `X-Amz-Target: Service_Version.Action`, `Action=…` in a form, or method and path.
fn action(head: &Head, body: &[u8]) -> String {
    if let Some((_, action)) = head.header("x-amz-target").and_then(|target| target.rsplit_once('.')) {
        return action.to_owned();
    }
    let form = String::from_utf8_lossy(body);
    if let Some(action) = form.split('&').find_map(|field| field.strip_prefix("Action=")) {
        return action.to_owned();
    }
    head.first.split(['?']).next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned()
}

/// An error as the request's protocol writes it.
fn error(request: &Head, status: u16, code: &str) -> (Head, Vec<u8>) {
    let json = request.header("content-type").is_some_and(|content| content.contains("json"));
    if json || request.first.contains("/v2/email") {
        let mut head = Head::answer(status, "application/x-amz-json-1.1");
        head.headers.push(("x-amzn-errortype".to_owned(), code.to_owned()));
        return (head, format!(r#"{{"__type":"{code}","message":"injected"}}"#).into_bytes());
    }
    let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>injected</Message></Error>");
    let query = request.header("content-type").is_some_and(|content| content.contains("form"));
    let body = if query { format!("<ErrorResponse>{error}</ErrorResponse>") } else { error };
    (Head::answer(status, "text/xml"), body.into_bytes())
}

#[cfg(test)]
mod tests;
