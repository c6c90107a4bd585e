//! Writes a mail to each salon about its bookings, whenever a schedule says. The bookings are read page by page, so that there may be
//! any number of them.

use esclusa_plugin::{Batch, Effects, Failure, Item, Plugin, Send, Value, export, metrics, tables};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// `[route.config]`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The table of bookings: `salon_id`, `status` (1 booked, 2 done, 3 cancelled), `user_id`, `booking_date`.
    bookings: String,
    /// The table of salons: `salon_id`, `email`.
    salons: String,
    /// The output that sends mails.
    output: String,
}

/// The plugin.
pub struct Reports(Config);

/// The bookings of a salon.
#[derive(Default)]
struct Figures {
    by_status: BTreeMap<String, u32>,
    customers: BTreeSet<String>,
    by_hour: BTreeMap<String, u32>,
}

impl Plugin for Reports {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        Ok(Reports(config))
    }

    fn handle<'a>(&'a self, batch: &'a Batch, out: &mut Effects<'a>) -> Result<(), Failure> {
        let figures = self.figures()?;
        let mut salons = Vec::new();
        each(&self.0.salons, |salon| salons.push(salon))?;
        out.for_each(batch, |_, out| {
            for salon in &salons {
                let (Some(id), Some(email)) = (text(salon, "salon_id"), text(salon, "email")) else { continue };
                let report = figures.get(id).map_or_else(|| "No bookings.\n".to_owned(), Figures::report);
                let mail = Send::text(self.0.output.as_str(), report).key(id.to_owned());
                out.push(
                    mail.attribute("to", email.to_owned()).attribute("subject", format!("Bookings of salon {id}")),
                );
            }
            metrics::count("reports", &[], salons.len() as u64);
            Ok(())
        })
    }
}

impl Reports {
    fn figures(&self) -> Result<BTreeMap<String, Figures>, Failure> {
        let mut salons: BTreeMap<String, Figures> = BTreeMap::new();
        each(&self.0.bookings, |booking| {
            if let Some(salon) = text(&booking, "salon_id") {
                salons.entry(salon.to_owned()).or_default().add(&booking);
            }
        })?;
        Ok(salons)
    }
}

impl Figures {
    fn add(&mut self, booking: &Item<'_>) {
        *self.by_status.entry(text(booking, "status").unwrap_or_default().to_owned()).or_default() += 1;
        self.customers.insert(text(booking, "user_id").unwrap_or_default().to_owned());
        if let Some(hour) = text(booking, "booking_date").and_then(|date| date.get(11..13)) {
            *self.by_hour.entry(hour.to_owned()).or_default() += 1;
        }
    }

    fn report(&self) -> String {
        let of = |status: &str| self.by_status.get(status).copied().unwrap_or_default();
        let mut report = String::new();
        // Writing to a String does not fail.
        let _ = writeln!(report, "{} booked, {} done, {} cancelled", of("1"), of("2"), of("3"));
        let _ = writeln!(report, "{} customers", self.customers.len());
        // Of two hours with as many bookings, the earlier one.
        if let Some((hour, count)) = self.by_hour.iter().max_by_key(|(hour, count)| (**count, std::cmp::Reverse(*hour)))
        {
            let _ = writeln!(report, "busiest at {hour}:00, with {count} bookings");
        }
        report
    }
}

/// Visits all items of a table, one page in memory at a time.
fn each(table: &str, visit: impl FnMut(Item<'static>)) -> Result<(), Failure> {
    let mut visit = visit;
    let mut token = None;
    loop {
        let page = tables::scan(table, token.as_deref(), None)?;
        page.items.into_iter().for_each(&mut visit);
        token = page.next;
        if token.is_none() {
            return Ok(());
        }
    }
}

/// A text or number of an item.
fn text<'i>(item: &'i Item<'_>, name: &str) -> Option<&'i str> {
    match item.get(name)? {
        Value::Text(text) | Value::Number(text) => Some(text),
        _ => None,
    }
}

export!(Reports);

#[cfg(test)]
mod tests {
    use super::*;
    use esclusa_plugin::testing;

    fn booking(id: u32, salon: &str, status: &str, hour: &str) -> Item<'static> {
        let number = |text: &str| Value::number(text.to_owned()).unwrap();
        let date = format!("2024-10-06T{hour}:30:00");
        let item = Item::new().with("id", format!("booking#{id}")).with("salon_id", number(salon));
        item.with("status", number(status)).with("user_id", number("7")).with("booking_date", date)
    }

    #[test]
    fn each_salon_gets_a_mail_about_its_own_bookings() {
        let mut tables = testing::Tables::new().table("bookings", &["id"]).table("salons", &["salon_id"]);
        for (salon, email) in [("1", "one@example.com"), ("2", "two@example.com")] {
            let salon = Item::new().with("salon_id", Value::number(salon).unwrap()).with("email", email);
            tables = tables.item("salons", salon);
        }
        // More than a page.
        for id in 0..1_500 {
            tables = tables.item("bookings", booking(id, "1", if id % 3 == 0 { "2" } else { "1" }, "09"));
        }
        let plugin: Reports = testing::plugin(r#"{ "bookings": "bookings", "salons": "salons", "output": "mails" }"#);
        let batch = testing::lines("{}");
        let out = testing::with_tables(&tables, || testing::call(&plugin, &batch));
        let mails: Vec<_> = testing::show(&out);
        assert_eq!(mails.len(), 2, "{mails:?}");
        assert!(
            mails[0].contains("one@example.com") && mails[0].contains("1000 booked, 500 done, 0 cancelled"),
            "{mails:?}"
        );
        assert!(mails[1].contains("two@example.com") && mails[1].contains("No bookings."), "{mails:?}");
        assert_eq!(testing::metrics(), ["count reports{} 2"]);
    }
}
