//! Clients of the services, all made from one configuration: one chain of credentials, one connection pool.

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::{Builder, ConnectorBuilder, tls};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use esclusa_flow::settings::ServiceLocation;
use std::time::Duration;

/// How long making a connection may take. The SDK's default, set here because setting another timeout may drop it.
const CONNECT: Duration = Duration::from_millis(3100);
/// How long an answer may take to begin. Without a limit a connection that has gone silent stops its reader for good
/// (failures.md K8). Three times the longest poll of SQS.
const ANSWER: Duration = Duration::from_secs(60);

/// Makes clients. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clients {
    shared: SdkConfig,
}

/// The configuration of a service's client at a place. The place's endpoint is set here, since the SDK prefers
/// `AWS_ENDPOINT_URL_SERVICE` to an endpoint of the shared configuration.
macro_rules! at {
    ($service:ident, $clients:expr, $place:expr) => {{
        let builder = $service::config::Builder::from(&$clients.at($place));
        match $place.endpoint_url.as_ref().filter(|url| !url.is_empty()) {
            Some(url) => builder.endpoint_url(url),
            None => builder,
        }
    }};
}

impl Clients {
    /// Reads the environment, the profile and the credentials' chain; `default` is `[aws]`. Nothing is sent yet.
    pub async fn load(default: &ServiceLocation) -> Self {
        let mut loader = defaults();
        if let Some(region) = &default.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(url) = default.endpoint_url.as_ref().filter(|url| !url.is_empty()) {
            loader = loader.endpoint_url(url);
        }
        Clients { shared: loader.load().await }
    }

    /// Clients from a ready configuration, such as one with another HTTP client.
    #[must_use]
    pub fn from_config(shared: SdkConfig) -> Self {
        Clients { shared }
    }

    /// The configuration for a service in the region of `place`.
    fn at(&self, place: &ServiceLocation) -> SdkConfig {
        let mut builder = self.shared.to_builder();
        if let Some(region) = &place.region {
            builder = builder.region(Region::new(region.clone()));
        }
        builder.build()
    }

    /// Kinesis. Retries are left to the reader, which knows its shard's limits (failures.md K13).
    #[must_use]
    pub fn kinesis(&self, place: &ServiceLocation) -> aws_sdk_kinesis::Client {
        aws_sdk_kinesis::Client::from_conf(at!(aws_sdk_kinesis, self, place).build())
    }

    /// DynamoDB.
    #[must_use]
    pub fn dynamodb(&self, place: &ServiceLocation) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::from_conf(at!(aws_sdk_dynamodb, self, place).build())
    }

    /// DynamoDB streams.
    #[must_use]
    pub fn dynamodb_streams(&self, place: &ServiceLocation) -> aws_sdk_dynamodbstreams::Client {
        aws_sdk_dynamodbstreams::Client::from_conf(at!(aws_sdk_dynamodbstreams, self, place).build())
    }

    /// SQS.
    #[must_use]
    pub fn sqs(&self, place: &ServiceLocation) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::from_conf(at!(aws_sdk_sqs, self, place).build())
    }

    /// SNS.
    #[must_use]
    pub fn sns(&self, place: &ServiceLocation) -> aws_sdk_sns::Client {
        aws_sdk_sns::Client::from_conf(at!(aws_sdk_sns, self, place).build())
    }

    /// SES.
    #[must_use]
    pub fn ses(&self, place: &ServiceLocation) -> aws_sdk_sesv2::Client {
        aws_sdk_sesv2::Client::from_conf(at!(aws_sdk_sesv2, self, place).build())
    }

    /// S3; `path_style` puts the bucket into the path, as most servers other than AWS want it.
    #[must_use]
    pub fn s3(&self, place: &ServiceLocation, path_style: bool) -> aws_sdk_s3::Client {
        aws_sdk_s3::Client::from_conf(at!(aws_sdk_s3, self, place).force_path_style(path_style).build())
    }
}

fn defaults() -> ConfigLoader {
    let limits = TimeoutConfig::builder().connect_timeout(CONNECT).read_timeout(ANSWER).build();
    aws_config::defaults(BehaviorVersion::latest()).timeout_config(limits).http_client(http_client())
}

/// The SDK's own HTTP client, with the cryptography that the rest of the router uses.
fn http_client() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        let mut connector = ConnectorBuilder::default().tls_provider(tls).proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.build()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_kinesis::config::Credentials;
    use tokio::net::TcpListener;
    use tokio::time::{Instant, timeout};

    #[tokio::test(start_paused = true)]
    async fn a_request_that_nobody_answers_ends() {
        // K8
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let silent = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok(connection) = listener.accept().await {
                open.push(connection);
            }
        });
        let loader = defaults().region(Region::new("us-east-1"));
        let shared = loader.credentials_provider(Credentials::new("id", "secret", None, None, "test")).load().await;
        let place = ServiceLocation { region: None, endpoint_url: Some(url) };
        let client = Clients::from_config(shared).kinesis(&place);
        let asked = Instant::now();
        let answer = timeout(ANSWER * 10, client.list_shards().stream_name("s").send()).await.expect("it ends");
        assert!(answer.is_err() && asked.elapsed() >= CONNECT, "{answer:?}");
        silent.abort();
    }
}
