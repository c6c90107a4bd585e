//! POSTs messages to a URL of the configuration, one request each, with the message id as `Idempotency-Key`.
//!
//! 2xx is success. 408, 425, 429, 5xx and failures of the connection are tried again; any other status is final.
//!
//! The URL may contain secrets: messages show only its scheme, host and port.

use esclusa_flow::BoxFuture;
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::engine::{SendError, Sink};
use esclusa_flow::fault::Fault;
use esclusa_flow::hops;
use reqwest::{ClientBuilder, StatusCode};
use rustls::crypto::ring::default_provider;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// A URL that takes messages.
pub(crate) struct WebhookSink {
    url: String,
    /// The part of the URL that messages show.
    site: String,
    headers: Vec<(String, String)>,
    timeout: Duration,
    client: OnceLock<reqwest::Client>,
}

impl WebhookSink {
    /// POSTs to `url` with further `headers`; a request may take as long as `timeout`.
    #[must_use]
    pub(crate) fn new(url: String, headers: Vec<(String, String)>, timeout: Duration) -> Self {
        WebhookSink { site: site(&url), url, headers, timeout, client: OnceLock::new() }
    }

    async fn post(&self, message: &OutboxMessage) -> Result<(), Fault> {
        let json = serde_json::from_slice::<&serde_json::value::RawValue>(&message.send.data).is_ok();
        let content_type = if json { "application/json" } else { "application/octet-stream" };
        let client = self.client.get_or_init(|| {
            // Redirects are failures: a message goes only to the URL of the configuration.
            http_client().redirect(reqwest::redirect::Policy::none()).build().unwrap_or_default()
        });
        let mut request = client
            .post(&self.url)
            .timeout(self.timeout)
            .header("content-type", content_type)
            .header("idempotency-key", &message.id);
        // No other attribute is a header. This one tells a route that the message comes back to how often it has.
        if let Some((name, count)) = message.send.attributes.iter().find(|(name, _)| name == hops::ATTRIBUTE) {
            request = request.header(name, count);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let response = request.body(message.send.data.clone()).send().await;
        let response =
            response.map_err(|error| Fault::Transient(format!("{}: {}", self.site, chain(&error.without_url()))))?;
        judge(&self.site, response.status(), response.headers().get("retry-after").and_then(|v| v.to_str().ok()))
    }
}

impl Sink for WebhookSink {
    fn send<'a>(&'a self, messages: &'a [OutboxMessage]) -> BoxFuture<'a, Vec<Result<(), SendError>>> {
        Box::pin(async move {
            let mut results = Vec::with_capacity(messages.len());
            for message in messages {
                let result = self.post(message).await;
                let failed = matches!(result, Err(Fault::Transient(_) | Fault::Throttled { .. }));
                results.push(result.map_err(SendError::from));
                if failed {
                    break;
                }
            }
            // Later messages wait: none may overtake a message that is tried again.
            results.resize(messages.len(), Err(SendError::NotTried));
            results
        })
    }
}

/// Builds an HTTP client. The cryptography of the process is chosen here, once.
pub(crate) fn http_client() -> ClientBuilder {
    // The first call of the process chooses; the others find the same choice made.
    drop(default_provider().install_default());
    reqwest::Client::builder()
}

/// Scheme, host and port of a URL.
fn site(url: &str) -> String {
    reqwest::Url::parse(url).map_or_else(|_| "the URL".to_owned(), |url| url.origin().ascii_serialization())
}

fn judge(site: &str, status: StatusCode, retry_after: Option<&str>) -> Result<(), Fault> {
    if status.is_success() {
        return Ok(());
    }
    let reason = format!("{site} answered {status}");
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let after = retry_after.and_then(wanted).unwrap_or_default();
            Err(Fault::Throttled { reason, after })
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => Err(Fault::Transient(reason)),
        status if status.is_server_error() => Err(Fault::Transient(reason)),
        _ => Err(Fault::Permanent(reason)),
    }
}

/// The wait that a `Retry-After` asks for: seconds, or until a date (RFC 9110, section 10.2.3).
fn wanted(retry_after: &str) -> Option<Duration> {
    if let Ok(seconds) = retry_after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = chrono::DateTime::parse_from_rfc2822(retry_after).ok()?;
    SystemTime::from(date).duration_since(SystemTime::now()).ok()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use esclusa_flow::effect::SendMessage;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn errors_show_only_scheme_host_and_port_of_the_url() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = format!("http://user:pw@127.0.0.1:{port}/services/SECRETHOOK?token=SECRETQ");
        let webhook = WebhookSink::new(url, Vec::new(), Duration::from_secs(10));
        let send = SendMessage { output: "hook".to_owned(), key: None, data: b"{}".to_vec(), attributes: Vec::new() };
        let message = OutboxMessage { id: "0123".to_owned(), send };
        let mut reasons = Vec::new();
        for answer in ["HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", "no HTTP"] {
            let (result, ()) = tokio::join!(webhook.post(&message), async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let read = stream.read(&mut [0; 4096]).await.unwrap();
                assert!(read > 0);
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
            reasons.push(result.unwrap_err().to_string());
        }
        drop(listener);
        reasons.push(webhook.post(&message).await.unwrap_err().to_string());
        for reason in reasons {
            assert!(reason.contains(&format!("http://127.0.0.1:{port}")), "{reason}");
            assert!(!["SECRET", "services", "user", "pw"].iter().any(|secret| reason.contains(secret)), "{reason}");
        }
    }

    #[tokio::test]
    async fn messages_behind_a_failure_are_not_tried() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let webhook = WebhookSink::new(url, Vec::new(), Duration::from_secs(10));
        let send = SendMessage { output: "hook".to_owned(), key: None, data: b"{}".to_vec(), attributes: Vec::new() };
        let messages = ["1", "2", "3"].map(|id| OutboxMessage { id: id.to_owned(), send: send.clone() });
        let serve = async {
            for status in ["400 No", "500 No"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        };
        let (results, ()) = tokio::join!(webhook.send(&messages), serve);
        assert!(
            matches!(
                results[..],
                [
                    Err(SendError::Failed(Fault::Permanent(_))),
                    Err(SendError::Failed(Fault::Transient(_))),
                    Err(SendError::NotTried)
                ]
            ),
            "{results:?}"
        );
    }

    #[test]
    fn a_wait_is_in_seconds_or_until_a_date() {
        assert_eq!(wanted("120"), Some(Duration::from_secs(120)));
        let until = chrono::DateTime::<chrono::Utc>::from(SystemTime::now() + Duration::from_secs(100)).to_rfc2822();
        let wait = wanted(&until).unwrap();
        assert!(wait <= Duration::from_secs(100) && wait > Duration::from_secs(50), "{wait:?}");
        assert_eq!(wanted("Wed, 21 Oct 2015 07:28:00 GMT"), None, "it is over");
        assert_eq!(wanted("soon"), None);
    }

    #[test]
    fn statuses_say_whether_to_try_again() {
        assert!(judge("u", StatusCode::NO_CONTENT, None).is_ok());
        assert!(
            matches!(judge("u", StatusCode::TOO_MANY_REQUESTS, Some("3")), Err(Fault::Throttled { after, .. }) if after.as_secs() == 3)
        );
        assert!(matches!(judge("u", StatusCode::BAD_GATEWAY, None), Err(Fault::Transient(_))));
        assert!(matches!(judge("u", StatusCode::FOUND, None), Err(Fault::Permanent(_))));
        assert!(matches!(judge("u", StatusCode::BAD_REQUEST, None), Err(Fault::Permanent(_))));
    }
}
