//! Carries commands out on a table: `{"put": ITEM}` stores an item, `{"delete": KEY}` deletes one. Both may come twice.

use esclusa_plugin::json::{Json, Record};
use esclusa_plugin::{Batch, Effects, EventError, Failure, Item, Plugin, Value, export};

/// `[route.config]`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    table: String,
}

/// The plugin.
pub struct Commands(Config);

impl Plugin for Commands {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        Ok(Commands(config))
    }

    fn handle<'a>(&'a self, batch: &'a Batch, out: &mut Effects<'a>) -> Result<(), Failure> {
        out.for_each(batch, |event, out| {
            let command = Record::parse(event.text()?)?;
            match (command.get("put"), command.get("delete")) {
                (Some(Json::Object(text)), None) => out.put(&self.0.table, item(text)?),
                (None, Some(Json::Object(text))) => out.delete(&self.0.table, item(text)?),
                _ => return Err(EventError::reject(r#"a command is {"put": ITEM} or {"delete": KEY}"#)),
            }
            Ok(())
        })
    }
}

fn item(text: &str) -> Result<Item<'static>, EventError> {
    let mut item = Item::new();
    for (name, value) in Record::parse(text)?.drain() {
        item.set(name.into_owned(), Value::from_json(value.into_owned())?);
    }
    Ok(item)
}

export!(Commands);

#[cfg(test)]
mod tests {
    use super::*;
    use esclusa_plugin::testing;

    #[test]
    fn items_are_put_and_deleted_and_anything_else_is_rejected() {
        let plugin: Commands = testing::plugin(r#"{ "table": "orders" }"#);
        let batch = testing::lines(
            r#"{"put":{"order_id":"1","quantity":10}}
            {"delete":{"order_id":"1"}}
            {"put":{"order_id":"1"},"delete":{"order_id":"1"}}
            {"put":"1"}"#,
        );
        let out = testing::call(&plugin, &batch);
        assert_eq!(
            testing::show(&out),
            [
                r#"0: put orders {"order_id":{"S":"1"},"quantity":{"N":"10"}}"#,
                r#"1: delete orders {"order_id":{"S":"1"}}"#
            ]
        );
        let what = r#"reject a command is {"put": ITEM} or {"delete": KEY}"#;
        assert_eq!(testing::outcomes(&out), [format!("2: {what}"), format!("3: {what}")]);
    }
}
