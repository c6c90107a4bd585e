//! Takes an order and puts it into a queue; the customer gets the number under which it will be found.

use esclusa_plugin::{Batch, Effects, EventError, Failure, Plugin, Send, export};

/// `[route.config]`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The output that is the queue.
    output: String,
}

#[derive(serde::Deserialize)]
struct Order {
    evento: String,
    cantidad: u32,
}

/// The plugin.
pub struct Sales(Config);

impl Plugin for Sales {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        Ok(Sales(config))
    }

    fn handle<'a>(&'a self, batch: &'a Batch, out: &mut Effects<'a>) -> Result<(), Failure> {
        out.for_each(batch, |event, out| {
            let Ok(order) = event.json::<Order>() else {
                out.reply(event, 400, "application/json", r#"{"error":"an order has evento and cantidad"}"#);
                return Err(EventError::skip("no order"));
            };
            let id = event.id();
            let text = serde_json::json!({ "id": id, "evento": order.evento, "cantidad": order.cantidad }).to_string();
            out.push(Send::text(self.0.output.as_str(), text));
            out.reply(event, 202, "application/json", format!(r#"{{"id":"{id}"}}"#))
                .header("location", format!("/produccion/ventas/{id}"));
            Ok(())
        })
    }
}

export!(Sales);

#[cfg(test)]
mod tests {
    use super::*;
    use esclusa_plugin::testing;

    #[test]
    fn an_order_goes_into_the_queue_and_its_number_to_the_customer() {
        let plugin: Sales = testing::plugin(r#"{ "output": "ventas" }"#);
        let batch = testing::lines("{\"evento\":\"Opera Aida\",\"cantidad\":2}\nno order");
        let out = testing::call(&plugin, &batch);
        assert_eq!(out.effects().len(), 1);
        assert_eq!(out.replies()[0].status, 202);
        assert_eq!(out.replies()[0].headers, [("location".to_owned(), "/produccion/ventas/1".to_owned())]);
        assert_eq!(out.replies()[1].status, 400);
        assert_eq!(testing::outcomes(&out), ["1: skip no order"]);
    }
}
