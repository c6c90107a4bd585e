//! Connection checks: whether the resources of a route can be reached, and the remedy if not. Each check asks for a
//! description or for a single item, which changes nothing.

use crate::client::Clients;
use crate::fault::{self, Remedy};
use crate::objects::S3Store;
use crate::tables::{DynamoTable, open_table};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use esclusa_flow::settings::ServiceLocation;
use std::error::Error;

/// The resource that is checked, for the message.
struct ConnectionCheck<'a> {
    /// The resource, such as `table HttpRequests`.
    pub resource: &'a str,
    /// Its region.
    pub region: &'a str,
    /// The setting that names it, such as `[table.requests] name`.
    pub setting: &'a str,
    /// The permission that the check needs.
    pub action: &'a str,
}

/// Whether a table can be reached; `name` is that of routes.toml.
///
/// # Errors
/// A message with the resource, the reason and the remedy.
pub async fn table(clients: &Clients, name: &str, table: &DynamoTable) -> Result<(), String> {
    table_at(clients, table, &format!("[table.{name}] name")).await
}

/// Likewise, of a table that `setting` names.
///
/// # Errors
/// Likewise.
pub async fn table_at(clients: &Clients, table: &DynamoTable, setting: &str) -> Result<(), String> {
    let client = open_table::client(clients, &table.place);
    let region = open_table::region(&client);
    let resource = format!("table {}", table.name);
    let check = ConnectionCheck { resource: &resource, region: &region, setting, action: "dynamodb:DescribeTable" };
    client.describe_table().table_name(&table.name).send().await.map(drop).map_err(|error| check.explain(&error))
}

/// Whether a table that can be reached holds anything; `name` is that of routes.toml.
///
/// # Errors
/// A message with the resource, the reason and the remedy.
pub async fn holds_items(clients: &Clients, name: &str, table: &DynamoTable) -> Result<bool, String> {
    let client = open_table::client(clients, &table.place);
    let region = open_table::region(&client);
    let (resource, setting) = (format!("table {}", table.name), format!("[table.{name}] name"));
    let check = ConnectionCheck { resource: &resource, region: &region, setting: &setting, action: "dynamodb:Scan" };
    let request = client.scan().table_name(&table.name).consistent_read(true).limit(1);
    request.send().await.map(|answer| answer.count() > 0).map_err(|error| check.explain(&error))
}

/// Whether an object store can be reached; `name` is that of routes.toml.
///
/// # Errors
/// A message with the resource, the reason and the remedy.
pub async fn store(clients: &Clients, name: &str, store: &S3Store) -> Result<(), String> {
    bucket(clients, &store.place, store.path_style, &store.bucket, &format!("[objects.{name}] bucket")).await
}

/// Whether a bucket that `setting` names can be reached.
///
/// # Errors
/// A message with the resource, the reason and the remedy.
pub async fn bucket(
    clients: &Clients,
    place: &ServiceLocation,
    path_style: bool,
    bucket: &str,
    setting: &str,
) -> Result<(), String> {
    let client = clients.s3(place, path_style);
    let region = region(client.config().region());
    let resource = format!("bucket {bucket}");
    let check = ConnectionCheck { resource: &resource, region: &region, setting, action: "s3:ListBucket" };
    client.head_bucket().bucket(bucket).send().await.map(drop).map_err(|error| check.explain(&error))
}

/// Whether SES can be reached and sends mails for the account. Whether it accepts the sender is not asked: that may be
/// verified by its address, its domain or one above it, and reading these needs permissions that sending does not.
///
/// # Errors
/// A message with the reason and the remedy.
pub async fn mail(clients: &Clients, place: &ServiceLocation, setting: &str) -> Result<(), String> {
    let client = clients.ses(place);
    let region = region(client.config().region());
    let check = ConnectionCheck { resource: "SES", region: &region, setting, action: "ses:GetAccount" };
    let account = client.get_account().send().await.map_err(|error| check.explain(&error))?;
    match account.sending_enabled() {
        true => Ok(()),
        false => {
            Err(format!("SES in {region} sends no mails for this account: resume sending there, or correct {setting}"))
        }
    }
}

/// Whether a Kinesis stream, named or by its ARN, can be reached.
///
/// # Errors
/// A message with the resource, the reason and the remedy.
pub async fn stream(clients: &Clients, place: &ServiceLocation, stream: &str, setting: &str) -> Result<(), String> {
    let client = clients.kinesis(place);
    let region = region(client.config().region());
    let resource = format!("stream {stream}");
    let check =
        ConnectionCheck { resource: &resource, region: &region, setting, action: "kinesis:DescribeStreamSummary" };
    let request = client.describe_stream_summary();
    let request = if stream.starts_with("arn:") { request.stream_arn(stream) } else { request.stream_name(stream) };
    request.send().await.map(drop).map_err(|error| check.explain(&error))
}

/// Whether a queue, by name, URL or ARN, can be reached.
///
/// # Errors
/// A message with the resource, the reason and the remedy.
pub async fn queue(clients: &Clients, place: &ServiceLocation, queue: &str, setting: &str) -> Result<(), String> {
    let client = clients.sqs(place);
    let region = region(client.config().region());
    let resource = format!("queue {queue}");
    let check = ConnectionCheck { resource: &resource, region: &region, setting, action: "sqs:GetQueueUrl" };
    let name = queue.rsplit(['/', ':']).next().unwrap_or(queue);
    client.get_queue_url().queue_name(name).send().await.map(drop).map_err(|error| check.explain(&error))
}

/// Whether a topic can be reached.
///
/// # Errors
/// A message with the resource, the reason and the remedy.
pub async fn topic(clients: &Clients, place: &ServiceLocation, arn: &str, setting: &str) -> Result<(), String> {
    let client = clients.sns(place);
    let region = region(client.config().region());
    let resource = format!("topic {arn}");
    let check = ConnectionCheck { resource: &resource, region: &region, setting, action: "sns:GetTopicAttributes" };
    client.get_topic_attributes().topic_arn(arn).send().await.map(drop).map_err(|error| check.explain(&error))
}

fn region(region: Option<&aws_config::Region>) -> String {
    region.map_or_else(|| "no region".to_owned(), ToString::to_string)
}

impl ConnectionCheck<'_> {
    /// The message for an error, with its remedy.
    pub(crate) fn explain<E>(&self, error: &SdkError<E, HttpResponse>) -> String
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let ConnectionCheck { resource, region, setting, action } = self;
        let status = error.raw_response().map(|raw| raw.status().as_u16().to_string()).unwrap_or_default();
        let (code, message) = match error {
            SdkError::ServiceError(service) => {
                (service.err().code().unwrap_or(&status), service.err().message().unwrap_or_default())
            }
            _ => ("", ""),
        };
        match Remedy::of(code, message) {
            Some(Remedy::Create) => format!("{resource} does not exist in {region}: create it, or correct {setting}"),
            Some(Remedy::Credentials) => format!(
                "{resource} in {region}: the credentials are not valid ({code}): check the profile or AWS_ACCESS_KEY_ID"
            ),
            Some(Remedy::Clock) => format!(
                "{resource} in {region}: the clock of this machine is wrong ({code}): set it, by NTP for example"
            ),
            Some(Remedy::Allow) => {
                format!("{resource} in {region}: no permission: allow {action}, see `esclusa iam-policy`")
            }
            None => format!("{region}: {}", fault::of(resource, error)),
        }
    }
}
