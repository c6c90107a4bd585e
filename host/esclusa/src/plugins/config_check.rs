//! Checks a route's configuration against the schema of its plugin.
//!
//! The schema comes from the plugin, and the cost of a check is not bounded by its size: a few nested `oneOf` can take
//! hours or gigabytes. So a schema that is not [clearly cheap](super::schema_cost) is checked in a child process,
//! which can be killed.

use super::{PluginRefusal, schema_cost};
use esclusa_config::doubtful_templates::{DoubtfulTemplate, doubtful};
use esclusa_config::granted_names::{needs_order, ungranted};
use esclusa_config::plan;
use esclusa_flow::secrets::LONGEST;
use esclusa_sandbox::child::{ChildError, ChildLimits, serve};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// The limits of a check in a child. Schemas of large public APIs take a hundredth of them.
pub(crate) const BOUNDS: ChildLimits = ChildLimits { memory: 256 << 20, time: Duration::from_secs(5), answer: 4 << 20 };
/// Most bytes of a schema and a configuration together.
const INPUT: usize = 64 << 20;
/// Permits for children: each child may take the memory of [`BOUNDS`].
static CHILD_PERMITS: Semaphore = Semaphore::const_new(CHILDREN);
/// Most children at the same time.
pub(crate) const CHILDREN: usize = 4;
/// Niceness of the children, as for compiling: the routes go first.
const NICENESS: i32 = 10;
/// Most errors that are reported of one configuration.
const ERRORS: usize = 100;
/// Most bytes of a reported error: it quotes the value, which may be large.
const REASON: usize = 1 << 10;
/// Most bytes of an error before its secrets are hidden: a cut must not go through one. In JSON a character has up to six times its
/// bytes.
const WITH_SECRETS: usize = REASON + 6 * LONGEST;

/// Why a configuration does not pass.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum SchemaMismatch {
    /// The schema is not a JSON Schema.
    Schema(String),
    /// The configuration does not follow the schema: the JSON pointer and the reason of each mistake.
    Config(Vec<(String, String)>),
}

/// Checks a route: its configuration follows the schema, it grants everything that the configuration names, and its
/// source is ordered if the plugin needs that.
///
/// # Errors
/// [`PluginRefusal`].
pub(crate) async fn check(schema: &str, route: &plan::RouteSpec) -> Result<(), PluginRefusal> {
    let text = schema;
    let schema: Value = serde_json::from_str(text).map_err(|error| PluginRefusal::Schema(error.to_string()))?;
    let checked = if schema_cost::cheap(&schema, &route.config) {
        let (schema, config) = (schema.clone(), route.config.clone());
        spawn_blocking(move || validate(&schema, &config)).await.map_err(|error| ChildError::Crashed(error.to_string()))
    } else {
        by_child(text, &route.config).await
    };
    match checked.map_err(PluginRefusal::Check)? {
        Ok(()) => {}
        Err(SchemaMismatch::Schema(why)) => return Err(PluginRefusal::Schema(why)),
        Err(SchemaMismatch::Config(problems)) => {
            let shown = |(at, why)| (at, cut(route.secrets.mask(why), REASON));
            return Err(PluginRefusal::Config(problems.into_iter().map(shown).collect()));
        }
    }
    let unordered = needs_order(&schema) && !route.ordered;
    let (config, grants) = (route.config.clone(), route.grants.clone());
    let looked = spawn_blocking(move || (doubtful(&schema, &config), ungranted(&schema, &config, &grants))).await;
    let (doubts, missing) = looked.map_err(|error| PluginRefusal::Check(ChildError::Crashed(error.to_string())))?;
    for DoubtfulTemplate { pointer, code, message } in doubts {
        let why = route.secrets.mask(message);
        tracing::warn!(route = %route.name, at = pointer, code = code.as_str(), why, "a template of the plugin's configuration is doubtful");
    }
    match missing {
        missing if !missing.is_empty() => Err(PluginRefusal::Grants(missing)),
        _ if unordered => Err(PluginRefusal::Order(route.source.clone())),
        _ => Ok(()),
    }
}

async fn by_child(schema: &str, config: &Value) -> Result<Result<(), SchemaMismatch>, ChildError> {
    let input = serde_json::to_vec(&(schema, config)).map_err(|error| ChildError::Crashed(error.to_string()))?;
    // It fails only when the semaphore is closed, which never happens.
    let _permit = CHILD_PERMITS.acquire().await;
    let answer = super::checker().start(NICENESS)?.ask(&input, &BOUNDS).await?;
    serde_json::from_slice(&answer).map_err(|error| ChildError::Crashed(error.to_string()))
}

/// The command of the child.
pub(crate) fn check_config() -> ExitCode {
    serve(&BOUNDS, INPUT, |input| {
        let read = || -> serde_json::Result<(Value, Value)> {
            let (schema, config): (String, Value) = serde_json::from_slice(&input)?;
            Ok((serde_json::from_str(&schema)?, config))
        };
        let checked = match read() {
            Ok((schema, config)) => validate(&schema, &config),
            Err(error) => Err(SchemaMismatch::Schema(error.to_string())),
        };
        serde_json::to_vec(&checked).unwrap_or_default()
    })
}

fn validate(schema: &Value, config: &Value) -> Result<(), SchemaMismatch> {
    let validator =
        jsonschema::validator_for(schema).map_err(|error| SchemaMismatch::Schema(cut(error.to_string(), REASON)))?;
    let errors = validator.iter_errors(config).take(ERRORS);
    let problems: Vec<_> = errors.map(|e| (e.instance_path().to_string(), cut(e.to_string(), WITH_SECRETS))).collect();
    if problems.is_empty() { Ok(()) } else { Err(SchemaMismatch::Config(problems)) }
}

fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_hundred_errors_are_reported_and_none_at_length() {
        let long = "x".repeat(50_000);
        let schema = json!({ "additionalProperties": { "enum": [long] } });
        let config: serde_json::Map<_, _> = (0..300).map(|n| (n.to_string(), json!(n))).collect();
        let Err(SchemaMismatch::Config(problems)) = validate(&schema, &config.into()) else {
            panic!("it does not fit")
        };
        assert_eq!(problems.len(), ERRORS);
        assert!(problems.iter().all(|(_, why)| why.len() < WITH_SECRETS + 8 && why.ends_with('…')));
        const { assert!(ERRORS * (WITH_SECRETS + 8) < BOUNDS.answer, "the answer of a child") };
    }
}
