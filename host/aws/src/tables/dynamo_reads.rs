//! Reads of tables in DynamoDB and of objects in S3, and of all others in the local engine.
//!
//! DynamoDB has no snapshots: a read sees everything committed before it, but two reads may see two moments. A plugin
//! that depends on its reads guards its write with `rerun`. A global index lags behind its table, and gives only the
//! attributes that it projects.
//!
//! A plugin runs on threads for computing. Its requests run on the runtime that made these reads, so that they share
//! connections with commits.

use super::attribute::{AttributeMap, from_attributes, to_attributes};
use super::expression::Placeholders;
use super::failed_read::again;
use super::open_table::OpenTable;
use super::{DynamoTables, many_items};
use crate::objects::S3Stores;
use crate::retry::RetryBudget;
use esclusa_flow::BoxFuture;
use esclusa_flow::item::{Comparison, Condition, Item};
use esclusa_flow::reads::{
    ItemPage, ObjectBytes, ObjectList, ObjectPage, ObjectRead, QueryResult, ReadError, Reads, Selection, TableScan,
};
use esclusa_flow::settings::KeySchema;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// Reads of a plugin: tables in DynamoDB and objects in S3, all others in the local engine.
pub(crate) struct DynamoReads {
    tables: Arc<DynamoTables>,
    stores: Arc<S3Stores>,
    local: Arc<dyn Reads>,
    threads: Handle,
}

/// A checked query.
struct TableQuery {
    table: Arc<OpenTable>,
    index: Option<String>,
    consistent: bool,
    key: String,
    filter: Option<String>,
    placeholders: Placeholders,
    /// Comparisons of key attributes, which DynamoDB does not filter by.
    rest: Condition,
}

impl DynamoReads {
    /// Reads of `tables` and `stores`, and of all others in `local`. Made within a runtime, which makes the requests.
    #[must_use]
    pub(crate) fn new(tables: Arc<DynamoTables>, stores: Arc<S3Stores>, local: Arc<dyn Reads>) -> Self {
        DynamoReads { tables, stores, local, threads: Handle::current() }
    }

    /// Reads a table in DynamoDB, on the runtime that makes requests. Dropping the future aborts the read.
    async fn ask<T, F>(
        &self,
        name: &str,
        ask: impl FnOnce(Arc<OpenTable>) -> F + Send + 'static,
    ) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ReadError>> + Send,
    {
        let (tables, table) = (self.tables.clone(), name.to_owned());
        let asked = async move {
            let unavailable = |fault: esclusa_flow::fault::Fault| ReadError::Unavailable(fault.to_string());
            let open = tables.open(&table).await.map_err(unavailable)?;
            ask(open.ok_or_else(|| ReadError::Invalid("it is not in DynamoDB".to_owned()))?).await
        };
        self.request(asked).await.map_err(|error| named(error, name))
    }

    /// Runs requests on the runtime that makes them. Dropping the future aborts them.
    async fn request<T: Send + 'static>(
        &self,
        requests: impl Future<Output = Result<T, ReadError>> + Send + 'static,
    ) -> Result<T, ReadError> {
        let mut asked = JoinSet::new();
        asked.spawn_on(requests, &self.threads);
        let answer = asked.join_next().await.and_then(Result::ok);
        answer.unwrap_or_else(|| Err(ReadError::Unavailable("the read was broken off".to_owned())))
    }
}

impl Reads for DynamoReads {
    fn key_of<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Result<KeySchema, ReadError>> {
        if !self.tables.contains(table) {
            return self.local.key_of(table);
        }
        Box::pin(self.ask(table, |open| async move { Ok(open.schema.key.clone()) }))
    }

    fn get_many<'a>(&'a self, table: &'a str, keys: &'a [Item]) -> BoxFuture<'a, Result<Vec<Option<Item>>, ReadError>> {
        if !self.tables.contains(table) {
            return self.local.get_many(table, keys);
        }
        let keys = keys.to_vec();
        Box::pin(self.ask(table, |open| async move { many_items::get(&open, &keys).await }))
    }

    fn scan<'a>(&'a self, scan: &'a TableScan) -> BoxFuture<'a, Result<ItemPage, ReadError>> {
        if !self.tables.contains(&scan.table) {
            return self.local.scan(scan);
        }
        let asked = scan.clone();
        Box::pin(self.ask(&scan.table, |open| async move { many_items::scan(&open, &asked).await }))
    }

    fn object<'a>(&'a self, read: &'a ObjectRead) -> BoxFuture<'a, Result<Option<ObjectBytes>, ReadError>> {
        if !self.stores.contains(&read.store) {
            return self.local.object(read);
        }
        let (stores, asked) = (self.stores.clone(), read.clone());
        Box::pin(self.request(async move { stores.read(&asked).await }))
    }

    fn objects<'a>(&'a self, list: &'a ObjectList) -> BoxFuture<'a, Result<ObjectPage, ReadError>> {
        if !self.stores.contains(&list.store) {
            return self.local.objects(list);
        }
        let (stores, asked) = (self.stores.clone(), list.clone());
        Box::pin(self.request(async move { stores.list(&asked).await }))
    }

    fn get<'a>(&'a self, table: &'a str, key: &'a Item) -> BoxFuture<'a, Result<Option<Item>, ReadError>> {
        if !self.tables.contains(table) {
            return self.local.get(table, key);
        }
        let key = key.clone();
        Box::pin(self.ask(table, |open| async move { get(&open, &key).await }))
    }

    fn query<'a>(&'a self, selection: &'a Selection) -> BoxFuture<'a, Result<Vec<Item>, ReadError>> {
        if !self.tables.contains(&selection.table) {
            return self.local.query(selection);
        }
        let asked = selection.clone();
        let query = |open| async move { run(prepare(open, &asked).map_err(ReadError::Invalid)?, &asked).await };
        Box::pin(self.ask(&selection.table, query))
    }
}

fn named(error: ReadError, table: &str) -> ReadError {
    match error {
        ReadError::Invalid(why) => ReadError::Invalid(format!("table {table:?}: {why}")),
        other => other,
    }
}

async fn get(table: &OpenTable, key: &Item) -> Result<Option<Item>, ReadError> {
    table.schema.exact_key(key).map_err(ReadError::Invalid)?;
    let attributes = to_attributes(key).map_err(ReadError::Invalid)?;
    let mut budget = RetryBudget::for_read();
    loop {
        let request =
            table.client.get_item().table_name(&table.name).set_key(Some(attributes.clone())).consistent_read(true);
        match request.send().await {
            Ok(answer) => return Ok(answer.item.map(|found| from_attributes(found, &table.schema.key))),
            Err(error) => again(&mut budget, &format!("get from table {}", table.name), &error).await?,
        }
    }
}

fn prepare(table: Arc<OpenTable>, selection: &Selection) -> Result<TableQuery, String> {
    let (key, consistent) = match &selection.index {
        None => (&table.schema.key, true),
        Some(name) => {
            let index = table.schema.indexes.get(name).ok_or_else(|| format!("it has no index {name:?}"))?;
            (&index.key, !index.global)
        }
    };
    check_key(key, &selection.key)?;
    // DynamoDB does not filter by attributes of the key that is queried.
    let of_key = |(name, _): &(String, Comparison)| key.contains(name);
    let (rest, filter): (Vec<_>, Vec<_>) = selection.filter.0.iter().cloned().partition(of_key);
    let mut placeholders = Placeholders::default();
    let key = placeholders.condition(&selection.key)?.ok_or("the partition key is not given")?;
    let filter = placeholders.condition(&Condition(filter))?;
    Ok(TableQuery {
        index: selection.index.clone(),
        consistent,
        key,
        filter,
        placeholders,
        rest: Condition(rest),
        table,
    })
}

/// Equality on the partition key, and at most one comparison by order or beginning on the sort key.
fn check_key(key: &KeySchema, condition: &Condition) -> Result<(), String> {
    let (mut partitions, mut sorts) = (0u32, 0u32);
    for (name, comparison) in &condition.0 {
        match comparison {
            Comparison::Equal(_) if *name == key.partition => partitions = partitions.saturating_add(1),
            _ if *name == key.partition => {
                return Err(format!("the partition key {name:?} must be compared for equality"));
            }
            Comparison::Exists | Comparison::Absent | Comparison::NotEqual(_) => {
                return Err(format!("{name:?} can be compared so in the filter only"));
            }
            _ if Some(name) == key.sort.as_ref() => sorts = sorts.saturating_add(1),
            _ => return Err(format!("{name:?} is no key attribute: move it to the filter")),
        }
    }
    match (partitions, sorts) {
        (1, 0 | 1) => Ok(()),
        (0, _) => Err(format!("the partition key {:?} is not given", key.partition)),
        _ => Err("a key attribute is compared twice: move one comparison to the filter".to_owned()),
    }
}

/// Reads page after page, until there are as many items as wanted.
async fn run(query: TableQuery, selection: &Selection) -> Result<Vec<Item>, ReadError> {
    let TableQuery { table, index, consistent, key, filter, placeholders, rest } = query;
    let limit = selection.limit.map_or(usize::MAX, |limit| limit as usize);
    let filtered = filter.is_some() || !rest.0.is_empty();
    let doing = format!("query table {}", table.name);
    let (names, values) = (placeholders.names(), placeholders.values());
    let (mut items, mut from): (QueryResult, Option<AttributeMap>) = (QueryResult::default(), None);
    let mut budget = RetryBudget::for_read();
    while items.len() < limit {
        let left = i32::try_from(limit.saturating_sub(items.len())).ok().filter(|_| !filtered);
        let request =
            table.client.query().table_name(&table.name).set_index_name(index.clone()).consistent_read(consistent);
        let request = request.key_condition_expression(&key).set_filter_expression(filter.clone()).set_limit(left);
        let request =
            request.set_expression_attribute_names(names.clone()).set_expression_attribute_values(values.clone());
        let request = request.scan_index_forward(!selection.descending).set_exclusive_start_key(from.clone());
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                again(&mut budget, &doing, &error).await?;
                continue;
            }
        };
        let found = answer.items.unwrap_or_default().into_iter().map(|found| from_attributes(found, &table.schema.key));
        let room = limit.saturating_sub(items.len());
        for item in found.filter(|item| rest.holds(Some(item))).take(room) {
            items.push(&table.name, item)?;
        }
        match answer.last_evaluated_key {
            Some(last) if !last.is_empty() => from = Some(last),
            _ => break,
        }
    }
    Ok(items.into_items())
}
