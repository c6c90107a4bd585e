//! An HTTP client that throws faults between the SDK and a server: no server gives partial failures or loses answers.

use aws_config::{BehaviorVersion, Region};
use aws_smithy_runtime_api::client::http::HttpClient;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use esclusa_aws::client::Clients;
use std::sync::{Arc, Mutex};

/// The fate of a request.
pub(crate) enum Fate {
    /// The server answers.
    Pass,
    /// The server does not see it; this is the answer.
    Answer(u16, String),
    /// Likewise, from a server whose clock shows this time, in the form of HTTP.
    Dated(u16, String, String),
    /// The server does not see it, and there is no answer.
    Silence,
    /// The server carries it out, and its answer is lost.
    Lose,
}

/// A request, as far as a test looks at it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Operation of DynamoDB, or method and path.
    pub what: String,
    pub body: String,
    /// When it was signed, by the clock of the client.
    pub signed: String,
}

type Decide = Arc<dyn Fn(&Seen) -> Fate + Send + Sync>;

/// The requests of a client, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Seen>>>);

impl Log {
    pub(crate) fn of(&self, what: &str) -> Vec<Seen> {
        self.0.lock().unwrap().iter().filter(|seen| seen.what.contains(what)).cloned().collect()
    }
}

/// Clients whose requests meet the fate that `decide` gives them, and a log of these requests.
pub(crate) async fn clients(decide: impl Fn(&Seen) -> Fate + Send + Sync + 'static) -> (Clients, Log) {
    let log = Log::default();
    let (decide, seen): (Decide, Log) = (Arc::new(decide), log.clone());
    let real = aws_smithy_http_client::Builder::new().build_http();
    let client: SharedHttpClient = http_client_fn(move |settings, components| {
        let real = real.http_connector(settings, components);
        SharedHttpConnector::new(Faulty { decide: decide.clone(), log: seen.clone(), real })
    });
    let loader = aws_config::defaults(BehaviorVersion::latest()).region(Region::new("us-east-1")).http_client(client);
    (Clients::from_config(loader.load().await), log)
}

/// An error of DynamoDB.
pub(crate) fn error(code: &str) -> Fate {
    Fate::Answer(
        400,
        format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"made up","Message":"made up"}}"#),
    )
}

struct Faulty {
    decide: Decide,
    log: Log,
    real: SharedHttpConnector,
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Faulty")
    }
}

impl HttpConnector for Faulty {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").map(|t| t.rsplit('.').next().unwrap_or(t).to_owned());
        let what = target.unwrap_or_else(|| format!("{} {}", request.method(), request.uri()));
        let body = request.body().bytes().map(|b| String::from_utf8_lossy(b).into_owned()).unwrap_or_default();
        let signed = request.headers().get("x-amz-date").unwrap_or_default().to_owned();
        let seen = Seen { what, body, signed };
        self.log.0.lock().unwrap().push(seen.clone());
        match (self.decide)(&seen) {
            Fate::Pass => self.real.call(request),
            Fate::Answer(status, body) => {
                let status = StatusCode::try_from(status).unwrap();
                HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
            }
            Fate::Dated(status, date, body) => {
                let mut answer = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body));
                answer.headers_mut().insert("date", date);
                HttpConnectorFuture::ready(Ok(answer))
            }
            Fate::Silence => HttpConnectorFuture::new(std::future::pending()),
            Fate::Lose => {
                let answer = self.real.call(request);
                HttpConnectorFuture::new(async move {
                    answer.await?;
                    Err(ConnectorError::timeout("the answer was lost".into()))
                })
            }
        }
    }
}
