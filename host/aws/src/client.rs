//! Clients of the services, all made from one configuration: one chain of credentials, one connection pool.

use aws_config::{BehaviorVersion, Region, SdkConfig};

/// Where a service is; what is not said comes from `[aws]`, and then from the environment and the profile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Region.
    pub region: Option<String>,
    /// Endpoint, for servers other than AWS' own.
    pub endpoint_url: Option<String>,
}

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
    pub async fn load(default: &Place) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = &default.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(url) = default.endpoint_url.as_ref().filter(|url| !url.is_empty()) {
            loader = loader.endpoint_url(url);
        }
        Clients { shared: loader.load().await }
    }

    /// The configuration for a service in the region of `place`.
    fn at(&self, place: &Place) -> SdkConfig {
        let mut builder = self.shared.to_builder();
        if let Some(region) = &place.region {
            builder = builder.region(Region::new(region.clone()));
        }
        builder.build()
    }

    /// Kinesis. Retries are left to the reader, which knows its shard's limits (reliability K13).
    #[must_use]
    pub fn kinesis(&self, place: &Place) -> aws_sdk_kinesis::Client {
        aws_sdk_kinesis::Client::from_conf(at!(aws_sdk_kinesis, self, place).build())
    }

    /// DynamoDB.
    #[must_use]
    pub fn dynamodb(&self, place: &Place) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::from_conf(at!(aws_sdk_dynamodb, self, place).build())
    }

    /// DynamoDB streams.
    #[must_use]
    pub fn dynamodb_streams(&self, place: &Place) -> aws_sdk_dynamodbstreams::Client {
        aws_sdk_dynamodbstreams::Client::from_conf(at!(aws_sdk_dynamodbstreams, self, place).build())
    }

    /// SQS.
    #[must_use]
    pub fn sqs(&self, place: &Place) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::from_conf(at!(aws_sdk_sqs, self, place).build())
    }

    /// SNS.
    #[must_use]
    pub fn sns(&self, place: &Place) -> aws_sdk_sns::Client {
        aws_sdk_sns::Client::from_conf(at!(aws_sdk_sns, self, place).build())
    }

    /// SES.
    #[must_use]
    pub fn ses(&self, place: &Place) -> aws_sdk_sesv2::Client {
        aws_sdk_sesv2::Client::from_conf(at!(aws_sdk_sesv2, self, place).build())
    }

    /// S3; `path_style` puts the bucket into the path, as most servers other than AWS want it.
    #[must_use]
    pub fn s3(&self, place: &Place, path_style: bool) -> aws_sdk_s3::Client {
        aws_sdk_s3::Client::from_conf(at!(aws_sdk_s3, self, place).force_path_style(path_style).build())
    }
}
