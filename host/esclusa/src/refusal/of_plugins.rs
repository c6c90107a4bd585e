//! Plugins that cannot serve their routes, as problems of their keys in routes.toml.

use crate::plugins::PluginRefusal;
use crate::plugins::config_check::ConfigMisfit;
use esclusa_config::granted_names::Ungranted;
use esclusa_config::plan::Plan;
use esclusa_config::{Code, ConfigPlace, Diagnostic, Locator, Problems};
use esclusa_sandbox::LoadError;
use esclusa_sandbox::child::ChildError;
use std::path::Path;
use std::sync::Arc;

/// Diagnostics at the lines of routes.toml for plugins that cannot serve their routes.
#[must_use]
pub(crate) fn refusals(plan: &Plan, locator: &Locator, refused: &[(Arc<str>, PluginRefusal)]) -> Problems {
    let mut found: Vec<Diagnostic> =
        refused.iter().flat_map(|(route, why)| refusal(plan, locator, route, why)).collect();
    found.sort_by_key(|diagnostic| diagnostic.span.start);
    Problems(found)
}

fn refusal(plan: &Plan, locator: &Locator, route: &str, refused: &PluginRefusal) -> Vec<Diagnostic> {
    let at = |place: ConfigPlace<'_>, code: Code, message: &str, help: Option<&str>| {
        locator.diagnostic(place, code, message, help)
    };
    let plugin = ConfigPlace::RouteKey(route, "plugin");
    let path =
        plan.routes.iter().find(|r| &*r.name == route).map(|r| r.plugin.display().to_string()).unwrap_or_default();
    match refused {
        PluginRefusal::Load(why) if !Path::new(&path).is_file() => {
            let help = if Path::new(&path).is_dir() {
                "name the plugin's file in it: a path ends with .wasm"
            } else {
                "build the plugin first, or correct the path: it is relative to the directory of this file"
            };
            vec![at(plugin, Code::PLUGIN_MISSING, &why.to_string(), Some(help))]
        }
        PluginRefusal::Load(why) => vec![at(plugin, unloadable(why), &format!("{path}: {why}"), None)],
        PluginRefusal::Check(why) => {
            let code = match why {
                ChildError::Time(_) => Code::PLUGIN_SCHEMA_TIME,
                ChildError::Memory(_) => Code::PLUGIN_SCHEMA_MEMORY,
                _ => Code::PLUGIN_SCHEMA_CRASHED,
            };
            vec![at(plugin, code, &format!("{path}: {refused}"), None)]
        }
        PluginRefusal::Schema(_) => vec![at(plugin, Code::PLUGIN_INVALID, &format!("{path}: {refused}"), None)],
        PluginRefusal::Pin { found, .. } => {
            let help = format!("if the new file is meant, write sha256 = \"{found}\"");
            vec![at(
                ConfigPlace::RouteKey(route, "sha256"),
                Code::PLUGIN_DIGEST_MISMATCH,
                &refused.to_string(),
                Some(&help),
            )]
        }
        PluginRefusal::Config(problems) => problems.iter().map(|one| misfit(locator, route, &path, one)).collect(),
        PluginRefusal::Grants(missing) => {
            let one = |Ungranted { pointer, name, grant }: &Ungranted| {
                let message = format!("the route does not grant \"{name}\" to its plugin");
                let help = format!("add it to the route: {grant} = [\"{name}\"]");
                at(ConfigPlace::Config(route, pointer), Code::ROUTE_MISSING_GRANT, &message, Some(&help))
            };
            missing.iter().map(one).collect()
        }
        PluginRefusal::Order(_) => {
            let help = "use a stream, the changes of a table, or a FIFO queue of SQS as the source";
            vec![at(ConfigPlace::RouteKey(route, "source"), Code::PLUGIN_NEEDS_ORDER, &refused.to_string(), Some(help))]
        }
        PluginRefusal::Init(why) => {
            vec![at(ConfigPlace::Config(route, &pointer_in(why)), Code::PLUGIN_INIT_FAILED, why, None)]
        }
    }
}

/// A place of a route's `config` that does not fit the plugin at `path`.
fn misfit(locator: &Locator, route: &str, path: &str, misfit: &ConfigMisfit) -> Diagnostic {
    let ConfigMisfit { pointer, key, reason, help } = misfit;
    let inspect = format!("`esclusa plugin inspect {path}` shows what the plugin takes");
    let message = if *key || pointer.is_empty() { reason.clone() } else { format!("{pointer}: {reason}") };
    let help = help.as_ref().map_or_else(|| inspect.clone(), |help| format!("{help} {inspect}"));
    let place = if *key { ConfigPlace::ConfigKey(route, pointer) } else { ConfigPlace::Config(route, pointer) };
    locator.diagnostic(place, Code::PLUGIN_CONFIG_REJECTED, &message, Some(&help))
}

/// The place in a route's `config` that a plugin's message begins with, such as `config.rules[0].when: …`, as a pointer. Nothing if
/// it names none: the SDK's messages do.
fn pointer_in(message: &str) -> String {
    let Some((_, path)) = message.split_once("config.") else { return String::new() };
    let path = path.split(':').next().unwrap_or_default();
    let steps = path.split(['.', '[', ']']).filter(|step| !step.is_empty());
    steps.map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1"))).collect()
}

/// The code for a file that exists and cannot be loaded.
fn unloadable(why: &LoadError) -> Code {
    match why {
        LoadError::TooLarge | LoadError::Bomb(_) | LoadError::Wordy { .. } => Code::PLUGIN_TOO_LARGE,
        LoadError::OtherContract { .. } => Code::PLUGIN_CONTRACT,
        LoadError::CompileTime(_) => Code::PLUGIN_COMPILE_TIME,
        LoadError::CompileMemory(_) => Code::PLUGIN_COMPILE_MEMORY,
        LoadError::CompileLost(_) => Code::PLUGIN_COMPILE_CRASHED,
        _ => Code::PLUGIN_INVALID,
    }
}
