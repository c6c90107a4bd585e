//! A table with its client and its key, which DynamoDB is asked for once.

use super::Table;
use super::patience::Patience;
use super::schema::Schema;
use crate::client::Clients;
use crate::fault;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::ServiceLocation;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// Longest that one request may take; an answer that does not come is asked for again.
const ATTEMPT: Duration = Duration::from_secs(10);

/// A table whose key is known.
#[derive(Debug)]
pub struct OpenTable {
    /// Its name in DynamoDB.
    pub name: String,
    /// Where it is and what it is called: two names of routes.toml may mean one table.
    pub identity: Arc<str>,
    /// Where it is; a transaction stays in one place.
    pub place: ServiceLocation,
    /// A client that tries once: who asks has [`Patience`].
    pub client: Client,
    /// Its key and indexes.
    pub schema: Schema,
}

/// A table that is opened when it is first used.
#[derive(Debug)]
pub struct Slot {
    name: String,
    table: Table,
    client: Client,
    open: OnceCell<Arc<OpenTable>>,
}

/// A client that tries once.
#[must_use]
pub fn client(clients: &Clients, place: &ServiceLocation) -> Client {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build();
    let config =
        clients.dynamodb(place).config().to_builder().retry_config(RetryConfig::disabled()).timeout_config(timeouts);
    Client::from_conf(config.build())
}

/// Where a client asks, in words.
#[must_use]
pub fn region(client: &Client) -> String {
    client.config().region().map_or_else(|| "no region".to_owned(), ToString::to_string)
}

impl Slot {
    /// `name` is that of routes.toml.
    #[must_use]
    pub fn new(name: &str, table: Table, clients: &Clients) -> Self {
        Slot { name: name.to_owned(), client: client(clients, &table.place), table, open: OnceCell::new() }
    }

    /// The table, described.
    ///
    /// # Errors
    /// A [`Fault`] that names the table.
    pub async fn open(&self) -> Result<Arc<OpenTable>, Fault> {
        self.open.get_or_try_init(|| self.describe()).await.cloned()
    }

    async fn describe(&self) -> Result<Arc<OpenTable>, Fault> {
        let doing = format!("describe table {} ([table.{}]) in {}", self.table.name, self.name, region(&self.client));
        let mut patience = Patience::for_read();
        let answer = loop {
            match self.client.describe_table().table_name(&self.table.name).send().await {
                Ok(answer) => break answer,
                Err(error) => patience.wait(fault::of(&doing, &error)).await?,
            }
        };
        let schema = answer
            .table()
            .and_then(Schema::of)
            .ok_or_else(|| Fault::Permanent(format!("{doing}: no key in the answer")))?;
        let place = self.table.place.clone();
        let identity = format!("{:?} {}", place, self.table.name).into();
        let (name, client) = (self.table.name.clone(), self.client.clone());
        Ok(Arc::new(OpenTable { name, identity, place, client, schema }))
    }
}
