//! Failures: of one event, or of the whole batch.

use crate::{json, number, objects, tables, template};
use std::fmt;

/// An event that did not go through. Its effects are dropped; the other events of the batch go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventError {
    /// Try again, not before so many milliseconds; the route's policy bounds it.
    Retry(Option<u32>),
    /// Not processable: to the route's dead letters, with the reason.
    Reject(String),
    /// Done, on purpose without effects, and counted as skipped; `esclusa invoke --live` shows the reason.
    Skip(String),
    /// Not the event's fault: the whole batch fails.
    Batch(Failure),
}

/// A batch that did not go through; nothing of it is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The whole batch again.
    Retry(String),
    /// Stop the route, keep its place: somebody must look.
    Halt(String),
}

impl EventError {
    /// To the dead letters, with the reason.
    pub fn reject(reason: impl Into<String>) -> Self {
        EventError::Reject(reason.into())
    }

    /// Done, on purpose without effects.
    pub fn skip(reason: impl Into<String>) -> Self {
        EventError::Skip(reason.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Retry(reason) | Failure::Halt(reason)) = self;
        f.write_str(reason)
    }
}

impl std::error::Error for Failure {}

impl From<json::JsonError> for EventError {
    fn from(error: json::JsonError) -> Self {
        EventError::Reject(format!("the payload is not JSON: {error}"))
    }
}

impl From<template::RenderError> for EventError {
    fn from(error: template::RenderError) -> Self {
        EventError::Reject(error.to_string())
    }
}

impl From<number::NumberError> for EventError {
    fn from(error: number::NumberError) -> Self {
        EventError::Reject(error.to_string())
    }
}

impl From<json::document::Unstorable> for EventError {
    fn from(error: json::document::Unstorable) -> Self {
        EventError::Reject(error.to_string())
    }
}

/// The event made the read, so a wrong one is the event's: its key may come from the data, and other events go on.
impl From<tables::TableError> for EventError {
    fn from(error: tables::TableError) -> Self {
        match error {
            tables::TableError::Invalid(reason) => EventError::Reject(reason),
            tables::TableError::NotGranted(_) | tables::TableError::Unavailable(_) => EventError::Batch(error.into()),
        }
    }
}

impl From<Failure> for EventError {
    fn from(failure: Failure) -> Self {
        EventError::Batch(failure)
    }
}

/// A table that does not answer may answer later; a wrong read of the batch as a whole stays wrong.
impl From<tables::TableError> for Failure {
    fn from(error: tables::TableError) -> Self {
        match error {
            tables::TableError::Unavailable(_) => Failure::Retry(error.to_string()),
            tables::TableError::NotGranted(_) | tables::TableError::Invalid(_) => Failure::Halt(error.to_string()),
        }
    }
}

/// The event made the read, so a wrong one is the event's: its path may come from the data, and other events go on.
impl From<objects::ObjectError> for EventError {
    fn from(error: objects::ObjectError) -> Self {
        match error {
            objects::ObjectError::Invalid(reason) => EventError::Reject(reason),
            objects::ObjectError::NotGranted(_) | objects::ObjectError::Unavailable(_) => {
                EventError::Batch(error.into())
            }
        }
    }
}

/// A store that does not answer may answer later; a wrong read of the batch as a whole stays wrong.
impl From<objects::ObjectError> for Failure {
    fn from(error: objects::ObjectError) -> Self {
        match error {
            objects::ObjectError::Unavailable(_) => Failure::Retry(error.to_string()),
            objects::ObjectError::NotGranted(_) | objects::ObjectError::Invalid(_) => Failure::Halt(error.to_string()),
        }
    }
}
