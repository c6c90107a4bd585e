//! Reads of many items of a table: by their keys, and page by page.

use super::attribute::{AttributeMap, from_attributes, parse_document, render_document, to_attributes};
use super::failed_read::again;
use super::open_table::{KeyPart, OpenTable};
use crate::retry::RetryBudget;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use esclusa_flow::fault::Fault;
use esclusa_flow::item::Item;
use esclusa_flow::page_token;
use esclusa_flow::reads::{ItemPage, PAGE, QueryResult, ReadError, TableScan};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// The items with these keys, in the order of the keys. DynamoDB refuses a request that has a key twice; here it is asked for
/// once, and given twice.
pub(super) async fn get(table: &OpenTable, keys: &[Item]) -> Result<Vec<Option<Item>>, ReadError> {
    let mut parts = Vec::with_capacity(keys.len());
    let mut wanted: BTreeMap<Vec<KeyPart>, AttributeMap> = BTreeMap::new();
    for key in keys {
        let of_key = table.schema.exact_key(key).map_err(ReadError::Invalid)?;
        wanted.insert(of_key.clone(), to_attributes(key).map_err(ReadError::Invalid)?);
        parts.push(of_key);
    }
    let mut found = find(table, wanted.into_values().collect()).await?;
    let (mut items, mut size): (Vec<Option<Item>>, _) = (Vec::with_capacity(keys.len()), QueryResult::default());
    for part in &parts {
        let before = parts.iter().position(|other| other == part).and_then(|at| items.get(at));
        let item = before.map_or_else(|| found.remove(part), Clone::clone);
        size.count(&table.name, item.as_ref().map_or(0, Item::size))?;
        items.push(item);
    }
    Ok(items)
}

/// The items with these keys, which are all different.
async fn find(table: &OpenTable, mut keys: Vec<AttributeMap>) -> Result<HashMap<Vec<KeyPart>, Item>, ReadError> {
    let doing = format!("get many items from table {}", table.name);
    let (mut found, mut size) = (HashMap::with_capacity(keys.len()), QueryResult::default());
    let mut budget = RetryBudget::for_read();
    while !keys.is_empty() {
        let asked = KeysAndAttributes::builder().consistent_read(true).set_keys(Some(keys.clone())).build();
        let asked = asked.map_err(|error| ReadError::Invalid(error.to_string()))?;
        let answer = match table.client.batch_get_item().request_items(&table.name, asked).send().await {
            Ok(answer) => answer,
            Err(error) => {
                again(&mut budget, &doing, &error).await?;
                continue;
            }
        };
        for item in answer.responses.into_iter().flat_map(HashMap::into_values).flatten() {
            let item = from_attributes(item, &table.schema.key);
            size.count(&table.name, item.size())?;
            let key = table.schema.exact_key(&table.schema.only_key(&item));
            found.insert(
                key.map_err(|why| ReadError::Unavailable(format!("{doing}: an item of the answer: {why}")))?,
                item,
            );
        }
        // An answer ends at 16 MB, and under load before that.
        let rest = answer.unprocessed_keys.into_iter().flat_map(HashMap::into_values).flat_map(|rest| rest.keys);
        keys = rest.collect();
        if !keys.is_empty() {
            let reason = format!("{doing}: {} of them are not read yet", keys.len());
            let wait = budget.wait(Fault::Throttled { reason, after: Duration::ZERO });
            wait.await.map_err(|fault| ReadError::Unavailable(fault.to_string()))?;
        }
    }
    Ok(found)
}

/// A page of all items. It ends where DynamoDB ends it: at the limit, or after 1 MB.
pub(super) async fn scan(table: &OpenTable, scan: &TableScan) -> Result<ItemPage, ReadError> {
    let from = scan.token.as_deref().map(|token| place(table, token)).transpose().map_err(ReadError::Invalid)?;
    let limit = scan.limit.map_or(PAGE, |limit| limit as usize).clamp(1, PAGE);
    let doing = format!("scan table {}", table.name);
    let mut budget = RetryBudget::for_read();
    loop {
        let request = table.client.scan().table_name(&table.name).consistent_read(true);
        let request = request.set_limit(i32::try_from(limit).ok()).set_exclusive_start_key(from.clone());
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                again(&mut budget, &doing, &error).await?;
                continue;
            }
        };
        let mut items = QueryResult::default();
        for found in answer.items.unwrap_or_default() {
            items.push(&table.name, from_attributes(found, &table.schema.key))?;
        }
        let last = answer.last_evaluated_key.filter(|last| !last.is_empty());
        return Ok(ItemPage { items: items.into_items(), next: last.map(|last| token(table, last)) });
    }
}

/// The token of the page after the item with this key: the key as DynamoDB JSON.
fn token(table: &OpenTable, last: AttributeMap) -> String {
    page_token::seal(&table.identity, render_document(&AttributeValue::M(last)).as_bytes())
}

/// The key that a token has.
fn place(table: &OpenTable, token: &str) -> Result<AttributeMap, String> {
    let unknown = || page_token::UnknownToken.to_string();
    let key = page_token::open(&table.identity, token).map_err(|_| unknown())?;
    let key = String::from_utf8(key).map_err(|_| unknown())?;
    let Ok(AttributeValue::M(key)) = parse_document(&key) else { return Err(unknown()) };
    table.schema.exact_key(&from_attributes(key.clone(), &table.schema.key)).map_err(|_| unknown())?;
    Ok(key)
}
