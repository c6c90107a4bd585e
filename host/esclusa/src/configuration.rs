//! routes.toml in the program: reads it with the environment, reports plugins that cannot be used at their lines, and
//! reloads it while the router runs.

use crate::refusal::Refusal;
use crate::runtime::Runtime;
use esclusa_config::plan::{Output, Source};
use esclusa_config::{Code, ConfigPlace, Diagnostic, LoadedConfig, Problems};
use futures_util::future::join_all;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Reads a configuration; `${VAR}` is replaced from the environment of the process.
///
/// # Errors
/// All mistakes in it, or everything that it names on AWS or in Kafka if this build has none of it.
pub(crate) fn read(path: &Path) -> Result<LoadedConfig, Problems> {
    let loaded = esclusa_config::load(path, &environment)?;
    // The configuration crate does not know the features of this build.
    let mut missing = if cfg!(feature = "aws") { Vec::new() } else { on_aws(&loaded) };
    if !cfg!(feature = "kafka") {
        missing.extend(in_kafka(&loaded));
    }
    missing.sort_by_key(|diagnostic| diagnostic.span.start);
    if missing.is_empty() { Ok(loaded) } else { Err(Problems(missing)) }
}

/// A variable of the process.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// An error for everything that a configuration names in Kafka: for a build without Kafka.
fn in_kafka(loaded: &LoadedConfig) -> Vec<Diagnostic> {
    let plan = &loaded.plan;
    let sources = plan.sources.iter().filter(|(_, source)| matches!(source, Source::Kafka { .. }));
    let sources = sources.map(|(name, _)| (ConfigPlace::Source(name), "source", name.as_ref()));
    let outputs = plan.outputs.iter().filter(|(_, output)| matches!(output, Output::Kafka { .. }));
    let outputs = outputs.map(|(name, _)| (ConfigPlace::Output(name), "output", name.as_str()));
    sources
        .chain(outputs)
        .map(|(place, section, name)| {
            let message = format!("[{section}.{name}] is in Kafka, and this build of the router has no Kafka");
            loaded.locator.diagnostic(place, Code::KAFKA_NOT_BUILT, &message, Some(WHOLE))
        })
        .collect()
}

/// The help for what this build leaves out.
const WHOLE: &str = "run the whole router: `make build` makes target/release/esclusa";

/// An error for everything that a configuration names on AWS: for a build without AWS.
fn on_aws(loaded: &LoadedConfig) -> Vec<Diagnostic> {
    let plan = &loaded.plan;
    let sources = plan.sources.iter().filter(|(_, source)| source.on_aws());
    let sources = sources.map(|(name, source)| (ConfigPlace::Source(name), "source", name.as_ref(), source.kind()));
    let tables = plan.tables.iter().filter(|(_, table)| table.on_aws());
    let tables = tables.map(|(name, _)| (ConfigPlace::Table(name), "table", name.as_str(), "dynamodb"));
    let objects = plan.objects.iter().filter(|(_, objects)| objects.on_aws());
    let objects = objects.map(|(name, _)| (ConfigPlace::Objects(name), "objects", name.as_str(), "s3"));
    let outputs = plan.outputs.iter().filter(|(_, output)| output.on_aws());
    let outputs = outputs.map(|(name, output)| (ConfigPlace::Output(name), "output", name.as_str(), output.kind()));
    let mut found: Vec<Diagnostic> = sources
        .chain(tables)
        .chain(objects)
        .chain(outputs)
        .map(|(place, section, name, kind)| {
            let message =
                format!("[{section}.{name}] is on AWS (kind \"{kind}\"), and this build of the router has no AWS");
            loaded.locator.diagnostic(place, Code::AWS_NOT_BUILT, &message, Some(WHOLE))
        })
        .collect();
    found.sort_by_key(|diagnostic| diagnostic.span.start);
    found
}

/// The engine's directory, from a configuration that may have mistakes elsewhere; `None` if it is not TOML.
#[must_use]
pub(crate) fn engine(path: &Path) -> Option<PathBuf> {
    esclusa_config::engine_named(path, &environment)
}

/// The files to watch: the configuration, those that it names with `${file:PATH}`, every plugin, and the certificates of
/// listeners and of connections to Kafka.
#[must_use]
pub(crate) fn files(path: &Path, loaded: &LoadedConfig) -> Vec<PathBuf> {
    let mut files = vec![path.to_owned()];
    files.extend(loaded.files.iter().filter(|file| *file != path).cloned());
    for route in &loaded.plan.routes {
        if !files.contains(&route.plugin) {
            files.push(route.plugin.clone());
        }
    }
    files.extend(certificates(loaded));
    files
}

/// The files to watch for the configuration on disk, in force or not: those that it names may be what it lacks.
pub(crate) fn files_on_disk(path: &Path) -> Vec<PathBuf> {
    match read(path) {
        Ok(loaded) => files(path, &loaded),
        Err(_) => esclusa_config::files_named(path, &environment).into_iter().collect(),
    }
}

/// The files of certificates and keys.
fn certificates(loaded: &LoadedConfig) -> impl Iterator<Item = PathBuf> {
    let plan = &loaded.plan;
    let listeners = plan.listeners.values().filter_map(|listener| listener.tls.as_ref());
    let sources = plan.sources.values().filter_map(|source| match source {
        Source::Kafka { connection, .. } => Some(&connection.security),
        _ => None,
    });
    let outputs = plan.outputs.values().filter_map(|output| match output {
        Output::Kafka { connection, .. } => Some(&connection.security),
        _ => None,
    });
    let kafka = sources.chain(outputs).flat_map(|security| security.files().map(PathBuf::from));
    listeners.flat_map(|files| [files.certificate.clone(), files.key.clone()]).chain(kafka)
}

/// Reloads the configuration and every plugin whose file has changed. Returns once they are in force, with a summary
/// of the changes.
///
/// # Errors
/// A [`Refusal`]; whatever could not be reloaded goes on as before.
pub(crate) async fn reload(runtime: &Runtime, path: &Path) -> Result<String, Refusal> {
    let mut warnings = Vec::new();
    let read_now = || {
        let loaded = read(path)?;
        warnings.clone_from(&loaded.warnings);
        Ok(loaded)
    };
    // The configuration first: it loads the plugins of the routes that it changes. The step after is for plugins of
    // unchanged routes.
    let mut summary = runtime.reload_config(read_now).await?;
    if !warnings.is_empty() {
        note(&warnings);
        summary = format!("{summary}; {} warning(s), see `esclusa validate`", warnings.len());
    }
    let plugins = changed(runtime).await;
    let mut refused = Vec::new();
    for result in join_all(plugins.iter().map(|plugin| runtime.reload_plugin(plugin))).await {
        match result {
            Ok(message) => summary = format!("{summary}; {message}"),
            Err(refusal) => refused.push(refusal),
        }
    }
    if refused.is_empty() { Ok(summary) } else { Err(Refusal::of_all(refused)) }
}

/// Logs the warnings of a configuration that is in force.
fn note(warnings: &[Diagnostic]) {
    for warning in warnings {
        let Diagnostic { code, message, file, line, column, help, .. } = warning;
        let (code, at) = (code.as_str(), format!("{file}:{line}:{column}"));
        tracing::warn!(code, at, what = message, help, "routes.toml may not mean what it says");
    }
}

/// Names for a message, separated by commas; "none" if there are none.
pub(crate) fn list_names<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.as_ref().to_owned()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Plugin files whose content differs from the plugin that some route runs.
async fn changed(runtime: &Runtime) -> Vec<PathBuf> {
    let mut running: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for route in runtime.status().routes {
        running.entry(route.plugin.path.into()).or_default().push(route.plugin.digest);
    }
    let differs = |(path, digests): (PathBuf, Vec<String>)| {
        let now = digest(&esclusa_sandbox::read(&path).ok()?);
        digests.iter().any(|running| *running != now).then_some(path)
    };
    let look = tokio::task::spawn_blocking(move || running.into_iter().filter_map(differs).collect());
    // If the thread panicked, no change was seen; the next reload looks again.
    look.await.unwrap_or_default()
}

/// SHA-256 in lower-case hex.
#[must_use]
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_aws_refuses_each_thing_on_aws_at_its_place() {
        let text = r#"
version = 1
[source.requests]
kind = "kinesis"
[source.local]
kind = "stream"
[table.items]
kind = "dynamodb"
[objects.lake]
kind = "s3"
bucket = "bookings"
[output.mail]
kind = "ses"
from = "a@example.com"
to = "b@example.com"
"#;
        let loaded = esclusa_config::parse(text, "routes.toml", Path::new(""), &|_| None).unwrap();
        let found = on_aws(&loaded);
        let lines: Vec<_> = found.iter().map(|diagnostic| (diagnostic.line, diagnostic.message.as_str())).collect();
        let missing = |section: &str, kind: &str| {
            format!("[{section}] is on AWS (kind \"{kind}\"), and this build of the router has no AWS")
        };
        let messages = [
            (3, missing("source.requests", "kinesis")),
            (7, missing("table.items", "dynamodb")),
            (9, missing("objects.lake", "s3")),
            (12, missing("output.mail", "ses")),
        ];
        assert_eq!(lines, messages.iter().map(|(line, text)| (*line, text.as_str())).collect::<Vec<_>>());
        assert!(found.iter().all(|diagnostic| diagnostic.code == Code::AWS_NOT_BUILT));
    }

    #[test]
    fn a_build_without_kafka_refuses_each_thing_in_kafka_at_its_place() {
        let text = r#"
version = 1
[source.bookings]
kind = "kafka"
bootstrap_servers = "127.0.0.1:9092"
[source.local]
kind = "stream"
[output.confirmed]
kind = "kafka"
bootstrap_servers = "127.0.0.1:9092"
"#;
        let loaded = esclusa_config::parse(text, "routes.toml", Path::new(""), &|_| None).unwrap();
        let found = in_kafka(&loaded);
        let lines: Vec<_> = found.iter().map(|diagnostic| (diagnostic.line, diagnostic.message.as_str())).collect();
        let missing = "is in Kafka, and this build of the router has no Kafka";
        let messages = [(3, format!("[source.bookings] {missing}")), (8, format!("[output.confirmed] {missing}"))];
        assert_eq!(lines, messages.iter().map(|(line, text)| (*line, text.as_str())).collect::<Vec<_>>());
        assert!(found.iter().all(|diagnostic| diagnostic.code == Code::KAFKA_NOT_BUILT));
    }

    #[test]
    fn a_configuration_without_aws_is_taken_by_every_build() {
        let text = include_str!("../../../routes.toml");
        let loaded = esclusa_config::parse(text, "routes.toml", Path::new(""), &|_| None).unwrap();
        assert!(on_aws(&loaded).is_empty());
    }
}
