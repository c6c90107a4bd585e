//! The `alert` plugin: a message for each record that matches a rule, at most one per key and cooldown.

mod config;
mod cooldown;

use config::{AlertSettings, Rule};
use cooldown::Cooldowns;
use esclusa_plugin::json::{Json, Record};
use esclusa_plugin::table_change::TableChange;
use esclusa_plugin::{Batch, Effects, Event, EventError, Failure, Plugin, Send, export, log};
use std::borrow::Cow;

/// The plugin; configured, it is a [`config::AlertSettings`].
pub struct Alert(AlertSettings);

impl Plugin for Alert {
    type Config = config::AlertConfig;

    const SCHEMA: &'static str = include_str!("../config.schema.json");

    fn new(config: Self::Config) -> Result<Self, String> {
        let settings = AlertSettings::new(config)?;
        settings.warnings().for_each(|warning| log::warn!("{warning}"));
        Ok(Alert(settings))
    }

    fn handle<'a>(&'a self, batch: &'a Batch, out: &mut Effects<'a>) -> Result<(), Failure> {
        let mut cooldowns = Cooldowns::new(self.0.table.as_deref(), &batch.origin.route);
        out.for_each(batch, |event, out| self.event(event, &mut cooldowns, out))?;
        cooldowns.write(out);
        Ok(())
    }
}

impl Alert {
    fn event<'a>(
        &'a self,
        event: Event<'a>,
        cooldowns: &mut Cooldowns<'a>,
        out: &mut Effects<'a>,
    ) -> Result<(), EventError> {
        let record = record(event, self.0.sees_old)?;
        let matching: Vec<&Rule> = self.0.rules.iter().filter(|rule| rule.applies(&record)).collect();
        // Before any template is rendered: most events match no rule, and cost no more than reading them.
        if matching.is_empty() {
            return Err(EventError::skip("no rule applies"));
        }
        // All messages and reads first: if one of them fails, no cooldown begins.
        let mut due = Vec::with_capacity(matching.len());
        for rule in matching {
            let per = rule.per.as_ref().map(|template| template.render(&record)).transpose()?;
            let id = cooldowns.id(&rule.name, per.as_deref());
            if rule.cooldown.is_some() {
                cooldowns.read(&id)?;
            }
            due.push((rule, id, message(rule, &record, per.as_deref())?));
        }
        let mut sent = false;
        for (rule, id, send) in due {
            let passed = match rule.cooldown {
                Some(cooldown) => cooldowns.passed(id, event, cooldown),
                None => true,
            };
            if passed {
                out.push(send);
                sent = true;
            }
        }
        if sent { Ok(()) } else { Err(EventError::skip("within the cooldown")) }
    }
}

/// The record that rules look at. A table's change gives the fields of the new image, the old image as `old` if
/// a rule may look at it (writing it takes time), and `eventName`.
///
/// # Errors
/// [`EventError::Reject`] if the payload is no JSON object.
fn record(event: Event<'_>, with_old: bool) -> Result<Record<'_>, EventError> {
    let record = Record::parse(event.text()?)?;
    let Some(change) = TableChange::of(&record)? else { return Ok(record) };
    let mut record = change.new.unwrap_or_default();
    if let Some(old) = change.old.filter(|_| with_old) {
        record.push("old", Json::Object(Cow::Owned(old.to_json())));
    }
    record.push("eventName", Json::Text(Cow::Borrowed(change.kind.name())));
    Ok(record)
}

fn message<'a>(rule: &'a Rule, record: &Record<'_>, per: Option<&str>) -> Result<Send<'a>, EventError> {
    let render = |template: &esclusa_plugin::Template| template.render(record).map(|text| text.into_owned());
    let mut send = Send::text(&rule.output, render(&rule.message)?);
    if let Some(per) = per {
        send = send.key(per.to_owned());
    }
    for (name, template) in [("subject", &rule.subject), ("to", &rule.to)] {
        if let Some(template) = template {
            send = send.attribute(name, render(template)?);
        }
    }
    Ok(send)
}

export!(Alert);

#[cfg(test)]
mod tests;
