//! The fence of a transaction, which makes its writes happen once: the progress of the lane, or a dedup record for each
//! event, or the answer to its request; and the table of dedup records and answers.

use super::cancellation::ItemRole;
use super::open_table::{client, region};
use crate::client::Clients;
use crate::fault;
use crate::retry::RetryBudget;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, ConditionCheck, KeySchemaElement, KeyType, Put,
    ScalarAttributeType, TableStatus, TimeToLiveSpecification, TimeToLiveStatus, TransactWriteItem, Update,
};
use aws_smithy_types::Blob;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use esclusa_flow::engine::KeptAnswer;
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::ServiceLocation;
use esclusa_flow::timestamp::Timestamp;
use std::collections::HashMap;
use std::time::{Duration, SystemTime};
use tokio::sync::OnceCell;

/// The items of a transaction that make its other writes happen once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fence {
    /// Moves the position of the lane, on the condition that the lane is still at the beginning of the batch.
    pub progress: Option<Update>,
    /// Dedup records and answers of events, each with the index of its event in the commit.
    pub dedup: Vec<(usize, Put)>,
    /// Writes the items if the transaction has no other writes.
    pub client: Option<Client>,
}

impl Fence {
    /// Number of items.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.dedup.len().saturating_add(usize::from(self.progress.is_some()))
    }

    /// True if nothing protects the writes from being repeated.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its items. In all but the last of several transactions they only check: the last one moves the progress and
    /// writes the records.
    ///
    /// # Errors
    /// [`Fault::Bug`] if the progress has no condition.
    pub(crate) fn items(&self, last: bool) -> Result<Vec<(TransactWriteItem, ItemRole)>, Fault> {
        let mut items = Vec::with_capacity(self.len());
        let item = TransactWriteItem::builder;
        if let Some(progress) = &self.progress {
            let progress =
                if last { item().update(progress.clone()) } else { item().condition_check(check_progress(progress)?) };
            items.push((progress.build(), ItemRole::Progress));
        }
        for (event, record) in &self.dedup {
            let record = if last { item().put(record.clone()) } else { item().condition_check(check_record(record)?) };
            items.push((record.build(), ItemRole::Dedup(*event)));
        }
        Ok(items)
    }
}

/// The condition of an update alone. DynamoDB refuses placeholders that no expression uses.
fn check_progress(update: &Update) -> Result<ConditionCheck, Fault> {
    let condition = update.condition_expression().unwrap_or_default();
    let names = update.expression_attribute_names().map(|names| used(condition, names));
    let values = update.expression_attribute_values().map(|values| used(condition, values));
    let check = ConditionCheck::builder().table_name(update.table_name()).set_key(Some(update.key().clone()));
    let check = check.condition_expression(condition).set_expression_attribute_names(names.filter(|n| !n.is_empty()));
    built(check.set_expression_attribute_values(values.filter(|v| !v.is_empty())).build())
}

fn check_record(record: &Put) -> Result<ConditionCheck, Fault> {
    let key: HashMap<String, AttributeValue> =
        record.item().iter().filter(|(name, _)| *name == KEY).map(|(n, v)| (n.clone(), v.clone())).collect();
    let check = ConditionCheck::builder().table_name(record.table_name()).set_key(Some(key));
    let check = check.set_expression_attribute_values(record.expression_attribute_values().cloned());
    built(check.condition_expression(record.condition_expression().unwrap_or_default()).build())
}

fn built<E: std::error::Error>(built: Result<ConditionCheck, E>) -> Result<ConditionCheck, Fault> {
    built.map_err(|e| Fault::Bug(format!("a check of the progress: {e}")))
}

/// The placeholders that an expression names.
fn used<V: Clone>(expression: &str, all: &HashMap<String, V>) -> HashMap<String, V> {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '#' | ':');
    let words: Vec<&str> = expression.split(|c| !part(c)).collect();
    all.iter().filter(|(name, _)| words.contains(&name.as_str())).map(|(n, v)| (n.clone(), v.clone())).collect()
}

/// The key of the answer to a request. No route has a name with a slash, so it is no key of a dedup record.
fn answer_key(request: &[u8]) -> AttributeValue {
    AttributeValue::S(format!("/answer/{}", hex::encode(request)))
}

/// Key attribute: route and event id, or the request of an answer.
pub(crate) const KEY: &str = "id";
/// When DynamoDB may delete the record, seconds since the Unix epoch.
const EXPIRES: &str = "expires";
/// The answer to a request.
const ANSWER: &str = "answer";
/// How long a record is kept: longer than SQS keeps any message (14 days at most). A message is deleted right after its record was
/// written, but that delete may fail, and then the router may be away for as long as it likes.
const KEPT: Duration = Duration::from_secs(15 * 24 * 3600);
/// Wait between two requests while the table is being created.
const POLL: Duration = Duration::from_millis(200);
/// Requests until it is active: a minute in all.
const LOOKS: u32 = 300;

/// The table of dedup records: an item for each event whose effects were written, in the same transaction as those; and of
/// the answers to requests, kept likewise.
#[derive(Debug)]
pub(crate) struct DedupTable {
    table: String,
    client: Client,
    exists: OnceCell<()>,
}

impl DedupTable {
    /// Records in the table of this name, which is created when it is first used.
    #[must_use]
    pub(crate) fn new(table: &str, place: &ServiceLocation, clients: &Clients) -> Self {
        DedupTable { table: table.to_owned(), client: client(clients, place), exists: OnceCell::new() }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.table
    }

    /// The client of its place.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Creates it if it is missing, when it is first used.
    ///
    /// # Errors
    /// A [`Fault`] if it does not exist and cannot be created.
    pub(crate) async fn ready(&self) -> Result<(), Fault> {
        self.exists.get_or_try_init(|| self.create()).await.map(|_| ())
    }

    /// Writes of the dedup records of events, each on the condition that there is none yet.
    ///
    /// # Errors
    /// A [`Fault`] if the table does not exist and cannot be created.
    pub(crate) async fn records(&self, route: &str, events: &[String]) -> Result<Vec<(usize, Put)>, Fault> {
        self.ready().await?;
        // DynamoDB's time to live is in seconds.
        let expires = Timestamp::from(SystemTime::now()).after(KEPT).millis() / 1000;
        let expires = expires.to_string();
        let record = |(index, event): (usize, &String)| {
            let id = AttributeValue::S(format!("{route}/{event}"));
            let put =
                Put::builder().table_name(&self.table).item(KEY, id).item(EXPIRES, AttributeValue::N(expires.clone()));
            let put = put.condition_expression(format!("attribute_not_exists({KEY})")).build();
            Ok((index, put.map_err(|e| Fault::Bug(format!("a dedup record: {e}")))?))
        };
        events.iter().enumerate().map(record).collect()
    }

    /// Writes of answers, each on the condition that none is kept for its request.
    ///
    /// # Errors
    /// A [`Fault`] if the table does not exist and cannot be created.
    pub(crate) async fn answers(&self, answers: &[KeptAnswer]) -> Result<Vec<Put>, Fault> {
        self.ready().await?;
        let now = (Timestamp::from(SystemTime::now()).millis() / 1000).to_string();
        let answer = |answer: &KeptAnswer| {
            // DynamoDB deletes what has expired when it gets to it, so the condition looks at the time as well.
            let put = Put::builder().table_name(&self.table).item(KEY, answer_key(&answer.key));
            let put = put.item(EXPIRES, AttributeValue::N(answer.expires.div_ceil(1000).to_string()));
            let put = put.item(ANSWER, AttributeValue::B(Blob::new(answer.value.clone())));
            let put = put.condition_expression(format!("attribute_not_exists({KEY}) OR {EXPIRES} <= :now"));
            let put = put.expression_attribute_values(":now", AttributeValue::N(now.clone())).build();
            put.map_err(|e| Fault::Bug(format!("a kept answer: {e}")))
        };
        answers.iter().map(answer).collect()
    }

    /// Writes an answer that belongs to no effects, unless one is kept for its request.
    ///
    /// # Errors
    /// A [`Fault`] of DynamoDB.
    pub(crate) async fn keep(&self, answer: Put) -> Result<(), Fault> {
        let doing = format!("keep an answer in table {}", self.table);
        let mut budget = RetryBudget::for_write();
        loop {
            let request = self.client.put_item().table_name(&self.table).set_item(Some(answer.item().clone()));
            let request = request.set_condition_expression(answer.condition_expression().map(str::to_owned));
            let request = request.set_expression_attribute_values(answer.expression_attribute_values().cloned());
            match request.send().await {
                Ok(_) => return Ok(()),
                Err(error) if error.code() == Some("ConditionalCheckFailedException") => return Ok(()),
                Err(error) => budget.wait(fault::of(&doing, &error)).await?,
            }
        }
    }

    /// The answer that is kept for a request; `None`: none is, or its time is over.
    ///
    /// # Errors
    /// A [`Fault`] of DynamoDB.
    pub(crate) async fn answer(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.ready().await?;
        let doing = format!("read an answer in table {}", self.table);
        let request = self.client.get_item().table_name(&self.table).key(KEY, answer_key(key)).consistent_read(true);
        let mut item = request.send().await.map_err(|e| fault::of(&doing, &e))?.item.unwrap_or_default();
        let seconds = item.get(EXPIRES).and_then(|at| at.as_n().ok()?.parse::<u64>().ok()).unwrap_or_default();
        let over = seconds <= Timestamp::from(SystemTime::now()).millis() / 1000;
        Ok(match item.remove(ANSWER) {
            Some(AttributeValue::B(answer)) if !over => Some(answer.into_inner()),
            _ => None,
        })
    }

    async fn create(&self) -> Result<(), Fault> {
        let doing = format!("create table {} of dedup records in {}", self.table, region(&self.client));
        let bug = |e: aws_smithy_types::error::operation::BuildError| Fault::Bug(format!("{doing}: {e}"));
        let mut budget = RetryBudget::for_write();
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
                budget.wait(fault::of(&doing, &error)).await?;
                continue;
            }
            let key = KeySchemaElement::builder().attribute_name(KEY).key_type(KeyType::Hash).build().map_err(bug)?;
            let id = AttributeDefinition::builder().attribute_name(KEY).attribute_type(ScalarAttributeType::S);
            let request = self.client.create_table().table_name(&self.table).billing_mode(BillingMode::PayPerRequest);
            let request = request.key_schema(key).attribute_definitions(id.build().map_err(bug)?);
            match request.send().await {
                Ok(_) => tracing::info!(table = self.table, "created the table of dedup records"),
                // Another router was first.
                Err(error) if error.code() == Some("ResourceInUseException") => {}
                Err(error) => budget.wait(fault::of(&doing, &error)).await?,
            }
        }
        Err(Fault::Transient(format!("{doing}: it is not active yet")))
    }

    /// Has DynamoDB delete old records.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_names_only_what_its_condition_uses() {
        let text = |t: &str| AttributeValue::S(t.to_owned());
        let update = Update::builder()
            .table_name("leases")
            .key("leaseKey", text("k"))
            .update_expression("SET #c = :to, #k = :t");
        let update = update.condition_expression("#c = :from AND (attribute_exists(#o))");
        let names =
            [("#c", "checkpoint"), ("#k", "kind"), ("#o", "leaseOwner")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let update = update.set_expression_attribute_names(Some(names.into()));
        let values = [(":to", text("2")), (":t", text("x")), (":from", text("1"))].map(|(a, b)| (a.to_owned(), b));
        let update = update.set_expression_attribute_values(Some(values.into())).build().unwrap();
        let check = check_progress(&update).unwrap();
        let mut names: Vec<_> = check.expression_attribute_names().unwrap().keys().cloned().collect();
        names.sort();
        assert_eq!(names, ["#c", "#o"]);
        assert_eq!(check.expression_attribute_values().unwrap().keys().collect::<Vec<_>>(), [":from"]);
    }
}
