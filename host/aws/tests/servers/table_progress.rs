//! A progress store over a table: the position of each lane in an item, as leases have it.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, Update,
};
use esclusa_aws::client::Clients;
use esclusa_aws::progress::ProgressStore;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::Token;
use esclusa_flow::engine::Progress;
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::ServiceLocation;
use std::sync::Mutex;

pub(crate) struct TableProgress {
    table: String,
    client: Client,
    /// The calls, in order.
    pub calls: Mutex<Vec<&'static str>>,
}

impl TableProgress {
    pub(crate) async fn new(clients: &Clients) -> Self {
        let (table, client) = (super::building::unique("leases"), clients.dynamodb(&ServiceLocation::default()));
        let key = KeySchemaElement::builder().attribute_name("leaseKey").key_type(KeyType::Hash).build().unwrap();
        let id = AttributeDefinition::builder()
            .attribute_name("leaseKey")
            .attribute_type(ScalarAttributeType::S)
            .build()
            .unwrap();
        let request = client.create_table().table_name(&table).billing_mode(BillingMode::PayPerRequest);
        request.key_schema(key).attribute_definitions(id).send().await.unwrap();
        TableProgress { table, client, calls: Mutex::new(Vec::new()) }
    }

    pub(crate) async fn position(&self, lane: &str) -> Option<String> {
        let key = AttributeValue::S(lane.to_owned());
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("leaseKey", key)
            .consistent_read(true)
            .send()
            .await
            .unwrap();
        answer.item?.get("checkpoint")?.as_s().ok().cloned()
    }

    fn note(&self, call: &'static str) {
        self.calls.lock().unwrap().push(call);
    }
}

fn text(token: &Token) -> AttributeValue {
    match token {
        Token::Text(text) => AttributeValue::S(text.to_string()),
        Token::Offset(offset) => AttributeValue::S(offset.to_string()),
    }
}

impl ProgressStore for TableProgress {
    fn lost<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Fault> {
        Box::pin(std::future::pending())
    }

    fn settle<'a>(&'a self, _: &'a str, _: &'a Progress) -> BoxFuture<'a, Result<(), Fault>> {
        self.note("settle");
        Box::pin(std::future::ready(Ok(())))
    }

    fn write(&self, lane: &str, progress: &Progress) -> Result<Option<Update>, Fault> {
        let Progress::Position { from, to } = progress else { return Ok(None) };
        let update = Update::builder().table_name(&self.table).key("leaseKey", AttributeValue::S(lane.to_owned()));
        let update = update.update_expression("SET #c = :to").expression_attribute_names("#c", "checkpoint");
        let update = update.expression_attribute_values(":to", text(to));
        let update = match from {
            None => update.condition_expression("attribute_not_exists(#c)"),
            Some(from) => update.condition_expression("#c = :from").expression_attribute_values(":from", text(from)),
        };
        Ok(Some(update.build().unwrap()))
    }

    fn prepare<'a>(&'a self, _: &'a str, _: &'a Token) -> BoxFuture<'a, Result<(), Fault>> {
        self.note("prepare");
        Box::pin(std::future::ready(Ok(())))
    }
}
