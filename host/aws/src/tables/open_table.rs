//! A table that was described, with its client and the schema of its keys. Items are checked against it here, because
//! DynamoDB does not say which of several writes it refuses.

use super::DynamoTable;
use super::attribute::decimal;
use crate::client::Clients;
use crate::fault;
use crate::retry::RetryBudget;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::types::{AttributeDefinition, KeySchemaElement, KeyType, ScalarAttributeType, TableDescription};
use esclusa_flow::fault::Fault;
use esclusa_flow::item::{Item, Value};
use esclusa_flow::settings::KeySchema;
use esclusa_flow::settings::ServiceLocation;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// Longest partition key, bytes. DynamoDB developer guide, "Constraints", November 2026.
const PARTITION_LIMIT: usize = 2048;
/// Longest sort key, bytes. The same source.
const SORT_LIMIT: usize = 1024;

/// A secondary index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SecondaryIndex {
    /// Its key.
    pub key: KeySchema,
    /// A global one cannot be read consistently.
    pub global: bool,
}

/// The keys and indexes of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DynamoSchema {
    /// Key of the items.
    pub key: KeySchema,
    /// Indexes by name.
    pub indexes: BTreeMap<String, SecondaryIndex>,
    /// Type letter of every key attribute, those of indexes included.
    types: BTreeMap<String, String>,
}

/// A value of a key attribute, in canonical form: equal to another if DynamoDB takes them for equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum KeyPart {
    /// A text.
    Text(String),
    /// A number in canonical form.
    Number(String),
    /// A binary.
    Binary(Vec<u8>),
}

/// The key that these elements make; `None` if they lack the partition key.
fn key_schema(elements: &[KeySchemaElement]) -> Option<KeySchema> {
    let named = |kind| elements.iter().find(|e| e.key_type() == &kind).map(|e| e.attribute_name().to_owned());
    Some(KeySchema { partition: named(KeyType::Hash)?, sort: named(KeyType::Range) })
}

impl DynamoSchema {
    /// The schema of a described table; `None` if the description lacks the key.
    #[must_use]
    pub(crate) fn of(table: &TableDescription) -> Option<Self> {
        let global = table.global_secondary_indexes().iter().map(|i| (i.index_name(), i.key_schema(), true));
        let local = table.local_secondary_indexes().iter().map(|i| (i.index_name(), i.key_schema(), false));
        let index = |(name, key, global): (Option<&str>, &[KeySchemaElement], bool)| {
            Some((name?.to_owned(), SecondaryIndex { key: key_schema(key)?, global }))
        };
        let letter = |d: &AttributeDefinition| {
            let letter = match d.attribute_type() {
                ScalarAttributeType::B => "B",
                ScalarAttributeType::N => "N",
                _ => "S",
            };
            (d.attribute_name().to_owned(), letter.to_owned())
        };
        Some(DynamoSchema {
            key: key_schema(table.key_schema())?,
            indexes: global.chain(local).filter_map(index).collect(),
            types: table.attribute_definitions().iter().map(letter).collect(),
        })
    }

    /// The key of an item that is to be put, which may have further attributes.
    ///
    /// # Errors
    /// Why the table would refuse it.
    pub(crate) fn key_of(&self, item: &Item) -> Result<Vec<KeyPart>, String> {
        for index in self.indexes.values() {
            for name in index.key.names() {
                if let Some(value) = item.get(name) {
                    self.check_value(name, value)?;
                }
            }
        }
        let part = |name: &str| {
            let value = item.get(name).ok_or_else(|| format!("the key attribute {name:?} is missing"))?;
            self.check_value(name, value)
        };
        self.key.names().map(part).collect()
    }

    /// The key of an item that consists of the key attributes only.
    ///
    /// # Errors
    /// Likewise.
    pub(crate) fn exact_key(&self, key: &Item) -> Result<Vec<KeyPart>, String> {
        match key.0.iter().find(|(name, _)| !self.key.contains(name)) {
            Some((name, _)) => Err(format!("{name:?} is no key attribute of the table")),
            None if key.0.len() > self.key.names().count() => Err("a key attribute is given twice".to_owned()),
            None => self.key_of(key),
        }
    }

    /// The key attributes of an item.
    #[must_use]
    pub(crate) fn only_key(&self, item: &Item) -> Item {
        self.key.names().filter_map(|name| Some((name.to_owned(), item.get(name)?.clone()))).collect()
    }

    /// Checks a value that a change sets.
    ///
    /// # Errors
    /// Why the table would refuse it.
    pub(crate) fn check_set(&self, name: &str, value: &Value) -> Result<(), String> {
        if self.types.contains_key(name) { self.check_value(name, value).map(drop) } else { Ok(()) }
    }

    /// Checks the value of a key attribute.
    fn check_value(&self, name: &str, value: &Value) -> Result<KeyPart, String> {
        let wanted = self.types.get(name).map_or(value.type_name(), String::as_str);
        if value.type_name() != wanted {
            return Err(format!("the key attribute {name:?} has type {}, the table wants {wanted}", value.type_name()));
        }
        let (part, len) = match value {
            Value::Text(text) => (KeyPart::Text(text.clone()), text.len()),
            Value::Binary(bytes) => (KeyPart::Binary(bytes.clone()), bytes.len()),
            Value::Number(text) => {
                (KeyPart::Number(decimal(text).map_err(|e| format!("the key attribute {name:?}: {e}"))?), 1)
            }
            other => return Err(format!("the key attribute {name:?} has type {}", other.type_name())),
        };
        let sorts = |key: &KeySchema| key.sort.as_deref() == Some(name);
        let sorts = sorts(&self.key) || self.indexes.values().any(|index| sorts(&index.key));
        let limit = if sorts { SORT_LIMIT } else { PARTITION_LIMIT };
        match len {
            0 => Err(format!("the key attribute {name:?} is empty")),
            len if len > limit => Err(format!("the key attribute {name:?} has {len} bytes, more than {limit}")),
            _ => Ok(part),
        }
    }
}

/// Longest that one request may take; an answer that does not come is asked for again.
const ATTEMPT: Duration = Duration::from_secs(10);

/// A table whose key is known.
#[derive(Debug)]
pub(crate) struct OpenTable {
    /// Its name in DynamoDB.
    pub name: String,
    /// Place and name: two names of routes.toml may mean one table.
    pub identity: Arc<str>,
    /// Its region and endpoint; a transaction stays in one region.
    pub place: ServiceLocation,
    /// A client that tries once: the caller has a [`RetryBudget`].
    pub client: Client,
    /// Its key and indexes.
    pub schema: DynamoSchema,
}

/// A table that is opened when it is first used.
#[derive(Debug)]
pub(crate) struct LazyTable {
    name: String,
    table: DynamoTable,
    client: Client,
    open: OnceCell<Arc<OpenTable>>,
}

/// A client that tries once.
#[must_use]
pub(crate) fn client(clients: &Clients, place: &ServiceLocation) -> Client {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build();
    let config =
        clients.dynamodb(place).config().to_builder().retry_config(RetryConfig::disabled()).timeout_config(timeouts);
    Client::from_conf(config.build())
}

/// The region of a client, for messages.
#[must_use]
pub(crate) fn region(client: &Client) -> String {
    client.config().region().map_or_else(|| "no region".to_owned(), ToString::to_string)
}

impl LazyTable {
    /// `name` is that of routes.toml.
    #[must_use]
    pub(crate) fn new(name: &str, table: DynamoTable, clients: &Clients) -> Self {
        LazyTable { name: name.to_owned(), client: client(clients, &table.place), table, open: OnceCell::new() }
    }

    /// The table, described.
    ///
    /// # Errors
    /// A [`Fault`] that names the table.
    pub(crate) async fn open(&self) -> Result<Arc<OpenTable>, Fault> {
        self.open.get_or_try_init(|| self.describe()).await.cloned()
    }

    async fn describe(&self) -> Result<Arc<OpenTable>, Fault> {
        let doing = format!("describe table {} ([table.{}]) in {}", self.table.name, self.name, region(&self.client));
        let mut budget = RetryBudget::for_read();
        let answer = loop {
            match self.client.describe_table().table_name(&self.table.name).send().await {
                Ok(answer) => break answer,
                Err(error) => budget.wait(fault::of(&doing, &error)).await?,
            }
        };
        let schema = answer
            .table()
            .and_then(DynamoSchema::of)
            .ok_or_else(|| Fault::Permanent(format!("{doing}: no key in the answer")))?;
        let place = self.table.place.clone();
        let identity = format!("{:?} {}", place, self.table.name).into();
        let (name, client) = (self.table.name.clone(), self.client.clone());
        Ok(Arc::new(OpenTable { name, identity, place, client, schema }))
    }
}
