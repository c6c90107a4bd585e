//! A route's configuration against the schema of its plugin.
//!
//! The schema is data of others, and what validating takes is not bounded by its size: a few nested `oneOf` take for
//! ever, others take gigabytes. So a schema that is not [clearly cheap](super::cost) is checked in a child, which can be
//! killed.

use super::{Refused, cost};
use crate::child;
use esclusa_config::granted_names::{needs_order, ungranted};
use esclusa_config::plan;
use esclusa_sandbox::child::{ChildError, ChildLimits, serve};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// What one check by a child may take. The schemas of large public APIs take a hundredth of it.
pub const BOUNDS: ChildLimits = ChildLimits { memory: 256 << 20, time: Duration::from_secs(5), answer: 4 << 20 };
/// Bytes of a schema and a configuration that a child takes.
const INPUT: usize = 64 << 20;
/// Children at the same time: each may need [`BOUNDS`]' memory.
static PLACES: Semaphore = Semaphore::const_new(CHILDREN);
/// See [`PLACES`].
pub const CHILDREN: usize = 4;
/// As for compiling: routing goes first.
const NICENESS: i32 = 10;
/// Errors of one configuration that are told.
const ERRORS: usize = 100;
/// Bytes of an error that are told: it shows what it is about, which may be large.
const REASON: usize = 1 << 10;

/// What does not fit.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Misfit {
    /// The schema is none.
    Schema(String),
    /// The configuration does not follow it: JSON pointer and reason, each.
    Config(Vec<(String, String)>),
}

/// Checks a route's configuration: it follows the schema, the route grants what it names, and has the order that the
/// plugin needs.
///
/// # Errors
/// [`Refused`].
pub async fn check(schema: &str, route: &plan::RouteSpec) -> Result<(), Refused> {
    let text = schema;
    let schema: Value = serde_json::from_str(text).map_err(|error| Refused::Schema(error.to_string()))?;
    let checked = if cost::cheap(&schema, &route.config) {
        let (schema, config) = (schema.clone(), route.config.clone());
        spawn_blocking(move || validate(&schema, &config)).await.map_err(|error| ChildError::Crashed(error.to_string()))
    } else {
        by_child(text, &route.config).await
    };
    match checked.map_err(Refused::Check)? {
        Ok(()) => {}
        Err(Misfit::Schema(why)) => return Err(Refused::Schema(why)),
        Err(Misfit::Config(problems)) => return Err(Refused::Config(problems)),
    }
    let unordered = needs_order(&schema) && !route.ordered;
    let (config, grants) = (route.config.clone(), route.grants.clone());
    let missing = spawn_blocking(move || ungranted(&schema, &config, &grants)).await;
    let missing = missing.map_err(|error| Refused::Check(ChildError::Crashed(error.to_string())))?;
    match missing {
        missing if !missing.is_empty() => Err(Refused::Grants(missing)),
        _ if unordered => Err(Refused::Order(route.source.clone())),
        _ => Ok(()),
    }
}

async fn by_child(schema: &str, config: &Value) -> Result<Result<(), Misfit>, ChildError> {
    let input = serde_json::to_vec(&(schema, config)).map_err(|error| ChildError::Crashed(error.to_string()))?;
    // It is never closed.
    let _place = PLACES.acquire().await;
    let answer = child::checker().start(NICENESS)?.ask(&input, &BOUNDS).await?;
    serde_json::from_slice(&answer).map_err(|error| ChildError::Crashed(error.to_string()))
}

/// What the child does.
pub fn check_config() -> ExitCode {
    serve(&BOUNDS, INPUT, |input| {
        let read = || -> serde_json::Result<(Value, Value)> {
            let (schema, config): (String, Value) = serde_json::from_slice(&input)?;
            Ok((serde_json::from_str(&schema)?, config))
        };
        let checked = match read() {
            Ok((schema, config)) => validate(&schema, &config),
            Err(error) => Err(Misfit::Schema(error.to_string())),
        };
        serde_json::to_vec(&checked).unwrap_or_default()
    })
}

fn validate(schema: &Value, config: &Value) -> Result<(), Misfit> {
    let validator = jsonschema::validator_for(schema).map_err(|error| Misfit::Schema(cut(error.to_string())))?;
    let errors = validator.iter_errors(config).take(ERRORS);
    let problems: Vec<_> = errors.map(|e| (e.instance_path().to_string(), cut(e.to_string()))).collect();
    if problems.is_empty() { Ok(()) } else { Err(Misfit::Config(problems)) }
}

fn cut(mut text: String) -> String {
    if text.len() > REASON {
        text.truncate(text.floor_char_boundary(REASON));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_hundred_errors_are_told_and_none_at_length() {
        let long = "x".repeat(5000);
        let schema = json!({ "additionalProperties": { "enum": [long] } });
        let config: serde_json::Map<_, _> = (0..300).map(|n| (n.to_string(), json!(n))).collect();
        let Err(Misfit::Config(problems)) = validate(&schema, &config.into()) else { panic!("it does not fit") };
        assert_eq!(problems.len(), ERRORS);
        assert!(problems.iter().all(|(_, why)| why.len() < REASON + 8 && why.ends_with('…')));
    }
}
