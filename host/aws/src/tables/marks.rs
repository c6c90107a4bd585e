//! The table of marks: an item for each event whose effects were written, in the same transaction as those.
//!
//! A message is deleted right after it was marked, so a mark matters only while that failed: eight days cover a week
//! without a router. (SQS keeps a message for at most 14 days, and 4 unless told otherwise.)

use super::open::{client, region};
use super::patience::Patience;
use crate::client::Clients;
use crate::fault;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, Put, ScalarAttributeType, TableStatus,
    TimeToLiveSpecification, TimeToLiveStatus,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::ServiceLocation;
use esclusa_flow::timestamp::Timestamp;
use std::time::{Duration, SystemTime};
use tokio::sync::OnceCell;

/// Key attribute: route and event id.
pub const KEY: &str = "id";
/// When DynamoDB may delete the mark, seconds since the Unix epoch.
const EXPIRES: &str = "expires";
/// How long a mark is kept.
const KEPT: Duration = Duration::from_secs(8 * 24 * 3600);
/// Between two looks at a table that comes into being.
const POLL: Duration = Duration::from_millis(200);
/// How often it is looked at: a minute in all.
const LOOKS: u32 = 300;

/// Marks of events that were done.
#[derive(Debug)]
pub struct Marks {
    table: String,
    client: Client,
    exists: OnceCell<()>,
}

impl Marks {
    /// Marks in the table of this name, which is created when it is first used.
    #[must_use]
    pub fn new(table: &str, place: &ServiceLocation, clients: &Clients) -> Self {
        Marks { table: table.to_owned(), client: client(clients, place), exists: OnceCell::new() }
    }

    /// Marks of events of a route, on the condition that there are none.
    ///
    /// # Errors
    /// A [`Fault`] where the table is not there and cannot be created.
    pub async fn of(&self, route: &str, events: &[String]) -> Result<Vec<Put>, Fault> {
        self.exists.get_or_try_init(|| self.create()).await?;
        let expires = Timestamp::from(SystemTime::now()).after(KEPT);
        // DynamoDB's time to live is in seconds.
        let expires = (expires.millis() / 1000).to_string();
        let mark = |event: &String| {
            let id = AttributeValue::S(format!("{route}/{event}"));
            let put =
                Put::builder().table_name(&self.table).item(KEY, id).item(EXPIRES, AttributeValue::N(expires.clone()));
            let put = put.condition_expression(format!("attribute_not_exists({KEY})")).build();
            put.map_err(|e| Fault::Bug(format!("a mark: {e}")))
        };
        events.iter().map(mark).collect()
    }

    async fn create(&self) -> Result<(), Fault> {
        let doing = format!("create table {} for the marks of events in {}", self.table, region(&self.client));
        let bug = |e: aws_smithy_types::error::operation::BuildError| Fault::Bug(format!("{doing}: {e}"));
        let mut patience = Patience::for_write();
        for _ in 0..LOOKS {
            let error = match self.client.describe_table().table_name(&self.table).send().await {
                Ok(answer) => match answer.table().and_then(|t| t.table_status()) {
                    Some(TableStatus::Active | TableStatus::Updating) => return self.expire(&doing).await,
                    _ => {
                        tokio::time::sleep(POLL).await;
                        continue;
                    }
                },
                Err(error) => error,
            };
            if error.code() != Some("ResourceNotFoundException") {
                patience.wait(fault::of(&doing, &error)).await?;
                continue;
            }
            let key = KeySchemaElement::builder().attribute_name(KEY).key_type(KeyType::Hash).build().map_err(bug)?;
            let id = AttributeDefinition::builder().attribute_name(KEY).attribute_type(ScalarAttributeType::S);
            let request = self.client.create_table().table_name(&self.table).billing_mode(BillingMode::PayPerRequest);
            let request = request.key_schema(key).attribute_definitions(id.build().map_err(bug)?);
            match request.send().await {
                Ok(_) => tracing::info!(table = self.table, "created the table of marks"),
                // Another router was first.
                Err(error) if error.code() == Some("ResourceInUseException") => {}
                Err(error) => patience.wait(fault::of(&doing, &error)).await?,
            }
        }
        Err(Fault::Transient(format!("{doing}: it is not active yet")))
    }

    /// Has DynamoDB delete old marks.
    async fn expire(&self, doing: &str) -> Result<(), Fault> {
        let answer = self.client.describe_time_to_live().table_name(&self.table).send().await;
        let answer = answer.map_err(|e| fault::of(doing, &e))?;
        let status = answer.time_to_live_description().and_then(|d| d.time_to_live_status());
        if matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)) {
            return Ok(());
        }
        let specification = TimeToLiveSpecification::builder().attribute_name(EXPIRES).enabled(true).build();
        let specification = specification.map_err(|e| Fault::Bug(format!("{doing}: {e}")))?;
        let request =
            self.client.update_time_to_live().table_name(&self.table).time_to_live_specification(specification);
        match request.send().await {
            Ok(_) => Ok(()),
            // Another router was first.
            Err(error) if error.code() == Some("ValidationException") => Ok(()),
            Err(error) => Err(fault::of(doing, &error)),
        }
    }
}
