//! The rules for data: events in columns, items with their numbers and conditions, patterns on events, templates, JSON strings.
//!
//! Host and plugins share these rules, so they are here once: a plugin links this crate too. It depends on no other crate of
//! ours and is pure: no delivery, no effects, no files, no clock. How an event is delivered is the crate `esclusa-flow`; how an
//! item is stored belongs to the engines.

pub mod event;
pub mod event_template;
pub mod filter;
pub mod hidden_text;
pub mod item;
pub mod json;
pub mod step_budget;
