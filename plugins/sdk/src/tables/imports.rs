//! Reads of tables by the router, through the generated imports.

use super::{KeyAttributes, Page, Selection, TableError};
use crate::condition::{Comparison, Condition};
use crate::guest::bindings::esclusa::router::{items, tables as imported};
use crate::item::{Item, Value};
use std::borrow::Cow;

/// See [`super::get`].
pub(super) fn get(table: &str, key: &Item<'_>) -> Result<Option<Item<'static>>, TableError> {
    let found = imported::get(table, &lower_item(key)).map_err(error)?;
    Ok(found.map(lift_item))
}

/// See [`super::key_of`].
pub(super) fn key_of(table: &str) -> Result<KeyAttributes, TableError> {
    let key = imported::key_of(table).map_err(error)?;
    Ok(KeyAttributes { partition: key.partition, sort: key.sort })
}

/// See [`super::get_many`].
pub(super) fn get_many(table: &str, keys: &[Item<'_>]) -> Result<Vec<Option<Item<'static>>>, TableError> {
    let keys: Vec<_> = keys.iter().map(lower_item).collect();
    let found = imported::get_many(table, &keys).map_err(error)?;
    Ok(found.into_iter().map(|item| item.map(lift_item)).collect())
}

/// See [`super::scan`].
pub(super) fn scan(table: &str, token: Option<&str>, limit: Option<u32>) -> Result<Page, TableError> {
    let page = imported::scan(table, token, limit).map_err(error)?;
    Ok(Page { items: page.items.into_iter().map(lift_item).collect(), next: page.next })
}

/// See [`super::query`].
pub(super) fn query(selection: &Selection<'_>) -> Result<Vec<Item<'static>>, TableError> {
    let selection = imported::Selection {
        table: selection.table.to_owned(),
        index: selection.index.map(str::to_owned),
        key: lower_condition(&selection.key),
        filter: lower_condition(&selection.filter),
        limit: selection.limit,
        descending: selection.descending,
    };
    Ok(imported::query(&selection).map_err(error)?.into_iter().map(lift_item).collect())
}

fn error(error: imported::Error) -> TableError {
    match error {
        imported::Error::NotGranted(table) => TableError::NotGranted(table),
        imported::Error::Invalid(reason) => TableError::Invalid(reason),
        imported::Error::Unavailable(reason) => TableError::Unavailable(reason),
    }
}

fn lower_item(item: &Item<'_>) -> items::Item {
    item.0.iter().map(|(name, value)| (name.to_string(), lower_value(value))).collect()
}

fn lower_value(value: &Value<'_>) -> items::Value {
    match value.clone() {
        Value::Text(text) => items::Value::Text(text.into_owned()),
        Value::Number(text) => items::Value::Number(text.into_owned()),
        Value::Binary(bytes) => items::Value::Binary(bytes.into_owned()),
        Value::Boolean(value) => items::Value::Boolean(value),
        Value::Null => items::Value::Null,
        Value::TextSet(texts) => items::Value::TextSet(texts),
        Value::NumberSet(texts) => items::Value::NumberSet(texts),
        Value::Document(text) => items::Value::Document(text.into_owned()),
    }
}

fn lower_condition(condition: &Condition<'_>) -> items::Condition {
    condition.0.iter().map(|(name, comparison)| (name.to_string(), lower_comparison(comparison))).collect()
}

fn lower_comparison(comparison: &Comparison<'_>) -> items::Comparison {
    match comparison {
        Comparison::Exists => items::Comparison::Exists,
        Comparison::Absent => items::Comparison::Absent,
        Comparison::Equal(value) => items::Comparison::Equal(lower_value(value)),
        Comparison::NotEqual(value) => items::Comparison::NotEqual(lower_value(value)),
        Comparison::Less(value) => items::Comparison::Less(lower_value(value)),
        Comparison::LessOrEqual(value) => items::Comparison::LessOrEqual(lower_value(value)),
        Comparison::Greater(value) => items::Comparison::Greater(lower_value(value)),
        Comparison::GreaterOrEqual(value) => items::Comparison::GreaterOrEqual(lower_value(value)),
        Comparison::BeginsWith(text) => items::Comparison::BeginsWith(text.to_string()),
    }
}

fn lift_item(item: items::Item) -> Item<'static> {
    Item(item.into_iter().map(|(name, value)| (Cow::Owned(name), lift_value(value))).collect())
}

fn lift_value(value: items::Value) -> Value<'static> {
    match value {
        items::Value::Text(text) => Value::Text(Cow::Owned(text)),
        items::Value::Number(text) => Value::Number(Cow::Owned(text)),
        items::Value::Binary(bytes) => Value::Binary(Cow::Owned(bytes)),
        items::Value::Boolean(value) => Value::Boolean(value),
        items::Value::Null => Value::Null,
        items::Value::TextSet(texts) => Value::TextSet(texts),
        items::Value::NumberSet(texts) => Value::NumberSet(texts),
        items::Value::Document(text) => Value::Document(Cow::Owned(text)),
    }
}
