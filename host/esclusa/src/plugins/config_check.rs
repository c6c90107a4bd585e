//! Checks a route's configuration against the schema of its plugin.
//!
//! The schema comes from the plugin, and the cost of a check is not bounded by its size: a few nested `oneOf` can take
//! hours or gigabytes. So a schema that is not [clearly cheap](super::schema_cost) is checked in a child process,
//! which can be killed.

use super::{PluginRefusal, schema_cost};
use esclusa_config::doubtful_templates::{DoubtfulTemplate, doubtful};
use esclusa_config::granted_names::{Ungranted, needs_order, ungranted};
use esclusa_config::{nearest, plan};
use esclusa_flow::secrets::Secrets;
use esclusa_flow::verdict::cut;
use esclusa_sandbox::child::{ChildError, ChildLimits, serve};
use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
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
/// Keys that a help lists.
const NAMED: usize = 20;
/// Most bytes of a reported error: it quotes the value, which may be large.
const REASON: usize = 1 << 10;

/// Why a configuration does not pass.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum SchemaMismatch {
    /// The schema is not a JSON Schema.
    Schema(String),
    /// The configuration does not follow the schema: each mistake.
    Config(Vec<ConfigMisfit>),
}

/// A place of a configuration that does not follow the schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConfigMisfit {
    /// The place, a JSON pointer; empty: the configuration as a whole.
    pub pointer: String,
    /// True if the mistake is the key there, and not its value.
    pub key: bool,
    /// The mistake.
    pub reason: String,
    /// What was probably meant.
    pub help: Option<String>,
}

impl ConfigMisfit {
    /// The mistakes of an error of the schema: each unknown key is one, with the name that was probably meant.
    fn of(error: &ValidationError<'_>, schema: &Value) -> Vec<Self> {
        let pointer = error.instance_path().to_string();
        let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() else {
            return vec![ConfigMisfit { pointer, key: false, reason: cut(&error.to_string(), REASON), help: None }];
        };
        let path = error.schema_path().to_string();
        let known =
            path.rsplit_once('/').and_then(|(object, _)| schema.pointer(object)?.get("properties")?.as_object());
        let known = || known.into_iter().flatten().map(|(name, _)| name.as_str());
        let one = |name: &String| {
            let help = match nearest(name, known()) {
                Some(close) => Some(format!("did you mean `{close}`?")),
                None if known().next().is_some() => {
                    Some(format!("the keys are {}", known().take(NAMED).collect::<Vec<_>>().join(", ")))
                }
                None => None,
            };
            let step = name.replace('~', "~0").replace('/', "~1");
            let reason = cut(&format!("the plugin does not know the key `{name}`"), REASON);
            ConfigMisfit {
                pointer: format!("{pointer}/{step}"),
                key: true,
                reason,
                help: help.map(|help| cut(&help, REASON)),
            }
        };
        unexpected.iter().map(one).collect()
    }

    /// Without secrets.
    fn shown(self, secrets: &Secrets) -> Self {
        ConfigMisfit { reason: secrets.mask(self.reason), ..self }
    }
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
            return Err(PluginRefusal::Config(problems.into_iter().map(|one| one.shown(&route.secrets)).collect()));
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
        missing if !missing.is_empty() => {
            let shown = |one: Ungranted| Ungranted { name: route.secrets.mask(one.name), ..one };
            Err(PluginRefusal::Grants(missing.into_iter().map(shown).collect()))
        }
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
        jsonschema::validator_for(schema).map_err(|error| SchemaMismatch::Schema(cut(&error.to_string(), REASON)))?;
    let errors: Vec<_> = validator.iter_errors(config).take(ERRORS).collect();
    let mut problems: Vec<ConfigMisfit> =
        errors.iter().flat_map(|error| ConfigMisfit::of(error, schema)).take(ERRORS).collect();
    // A misspelt key that is required would be two mistakes: one that is not known, and one that is missing.
    let misspelt: Vec<String> = problems.iter().filter_map(|problem| problem.help.clone()).collect();
    for error in &errors {
        if let ValidationErrorKind::Required { property: Value::String(name) } = error.kind()
            && misspelt.contains(&format!("did you mean `{name}`?"))
        {
            let (pointer, reason) = (error.instance_path().to_string(), cut(&error.to_string(), REASON));
            problems.retain(|problem| problem.pointer != pointer || problem.reason != reason);
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(SchemaMismatch::Config(problems)) }
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
        assert!(problems.iter().all(|one| one.reason.len() < REASON + 8 && one.reason.ends_with('…')));
        const { assert!(ERRORS * (REASON + 8) < BOUNDS.answer, "the answer of a child") };
    }

    #[test]
    fn no_part_of_a_secret_is_shown_wherever_an_error_is_cut() {
        let secret: String = (0..512).map(|n| format!("{n:07}-")).collect();
        let secrets = Secrets::new([secret.clone()]);
        for before in (0..REASON).step_by(97) {
            let texts = [format!("{}{secret}", "x".repeat(before)), "x".repeat(before) + &secret.repeat(8)];
            for text in texts {
                let schema = json!({ "properties": { "a": { "type": "null" } }, "additionalProperties": false });
                let Err(SchemaMismatch::Config(problems)) = validate(&schema, &json!({ "a": text, text: 1 })) else {
                    panic!("it does not fit")
                };
                for problem in problems.into_iter().map(|one| one.shown(&secrets)) {
                    let parts = (0..512).filter(|n| problem.reason.contains(&format!("{n:07}-"))).count();
                    assert_eq!(parts, 0, "{before}: {}", problem.reason);
                    assert!(problem.reason.len() <= REASON + "…".len());
                }
            }
        }
    }

    #[test]
    fn a_misspelt_key_is_one_mistake_at_that_key_with_the_name_that_was_meant() {
        let inner = json!({ "type": "object", "properties": { "field": {} }, "additionalProperties": false });
        let schema = json!({
            "type": "object", "required": ["table", "key"], "additionalProperties": false,
            "properties": { "table": {}, "key": {}, "rules": { "type": "array", "items": inner } },
        });
        let found = |config: Value| match validate(&schema, &config) {
            Err(SchemaMismatch::Config(problems)) => problems,
            other => panic!("{other:?}"),
        };
        let misspelt = found(json!({ "tabel": "orders", "key": 1 }));
        let [one] = &misspelt[..] else { panic!("{misspelt:?}") };
        assert_eq!(
            (one.pointer.as_str(), one.key, one.help.as_deref()),
            ("/tabel", true, Some("did you mean `table`?"))
        );
        // Nothing like it: what is missing is told, too.
        assert_eq!(found(json!({ "colour": "red", "key": 1 })).len(), 2);
        let nested = found(json!({ "table": 1, "key": 1, "rules": [{ "feild": 1 }] }));
        assert_eq!((nested.len(), nested[0].pointer.as_str()), (1, "/rules/0/feild"));
        assert_eq!(nested[0].help.as_deref(), Some("did you mean `field`?"));
        assert_eq!(found(json!({ "table": 1 }))[0].pointer, "", "a key that is only missing");
    }
}
