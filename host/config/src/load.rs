//! From a file to a plan.

use crate::check::{self, PathResolver};
use crate::codes::Code;
use crate::locator::Locator;
use crate::plan::Plan;
use crate::report::{Diagnostic, Finding, Findings, Problems, Severity, SourceText, lower_case};
use crate::shape::ValueKind;
use crate::shape::listener::{TLS, TLS_SECTION};
use crate::shape::root::{ENGINE, ENGINE_PATH};
use crate::shape::source::kafka::{SECURITY, SECURITY_SECTION};
use crate::syntax::interpolation::Interpolation;
use crate::syntax::toml_tree::{TomlNode, TomlValue, values};
use crate::syntax::{nesting, toml_document};
use esclusa_flow::secrets::Secrets;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file without errors.
#[derive(Debug)]
pub struct LoadedConfig {
    /// Its meaning.
    pub plan: Plan,
    /// Its warnings, in the order of the file.
    pub warnings: Vec<Diagnostic>,
    /// Makes diagnostics at places of the file, for problems that are found later.
    pub locator: Locator,
    /// The files that `${file:PATH}` names, each once.
    pub files: BTreeSet<PathBuf>,
}

/// Reads a file. `env` looks environment variables up; relative paths in the file are relative to its directory.
///
/// # Errors
/// All problems of the file.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<LoadedConfig, Problems> {
    let name = path.display().to_string();
    let unreadable = |reason: &str| {
        let help = "name the file with -c FILE or ESCLUSA_CONFIG; the default is routes.toml in the working directory";
        let finding = Finding::error(Code::UNREADABLE, 0..0, format!("cannot read {name}: {reason}")).help(help);
        Problems(vec![Diagnostic::new(finding, &Arc::new(SourceText::new(&name, "")), &Secrets::default())])
    };
    let bytes = std::fs::read(path).map_err(|error| unreadable(&lower_case(&error.to_string())))?;
    let text = String::from_utf8(bytes).map_err(|error| unreadable(&lower_case(&error.utf8_error().to_string())))?;
    parse(&text, &name, base(path), env)
}

/// The files that a file names with `${file:PATH}`, and those of certificates and keys, whether or not it has mistakes: when one of
/// them comes, it may have none.
#[must_use]
pub fn files_named(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> BTreeSet<PathBuf> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let interpolation = Interpolation { env, base: base(path), files: RefCell::default() };
    let root = tree(&text, path, &interpolation);
    let mut files = interpolation.files.into_inner();
    files.extend(root.iter().flat_map(|root| certificates(root, &PathResolver::new(base(path)))));
    files
}

/// The files of certificates and keys, of listeners and of connections to Kafka.
fn certificates(root: &TomlNode, paths: &PathResolver<'_>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let families = ["listener", "source", "output"].into_iter().filter_map(|family| root.table()?.get(family)?.table());
    for node in families.flat_map(|family| &family.entries).map(|entry| &entry.node) {
        for (key, section) in [(&TLS, &TLS_SECTION), (&SECURITY, &SECURITY_SECTION)] {
            let Some(given) = node.table().and_then(|table| table.get(key.name)?.table()) else { continue };
            let keys = section.keys.iter().filter(|key| matches!(key.kind, ValueKind::Path));
            for node in keys.filter_map(|key| given.get(key.name)) {
                if let TomlValue::Text(path) = &node.value {
                    files.push(paths.path(&path.text));
                }
            }
        }
    }
    files
}

/// The engine's directory, from a file that may have mistakes elsewhere; `None` if it is not TOML.
#[must_use]
pub fn engine_named(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let text = std::fs::read_to_string(path).ok()?;
    let interpolation = Interpolation { env, base: base(path), files: RefCell::default() };
    let root = tree(&text, path, &interpolation)?;
    let paths = PathResolver::new(base(path));
    let written = root.table()?.get(ENGINE.name).and_then(|engine| engine.table()?.get(ENGINE_PATH.name));
    match written.map(|node| &node.value) {
        Some(TomlValue::Text(text)) => Some(paths.path(&text.text)),
        Some(_) => None,
        None => Some(paths.default(&ENGINE_PATH)),
    }
}

/// True if tables and lists are nested deeper than anybody may read them.
#[must_use]
pub fn too_deep(text: &str) -> bool {
    nesting::too_deep(text).is_some()
}

/// The directory of a file.
fn base(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// A file as a tree. Its problems have been reported by who read it before.
fn tree(text: &str, path: &Path, interpolation: &Interpolation<'_>) -> Option<TomlNode> {
    let source = SourceText::new(&path.display().to_string(), text);
    toml_document::read(&source, interpolation, &Findings::default())
}

/// Reads the text of a file: `name` is the file's name in messages, `base` its directory.
///
/// # Errors
/// All problems of the text.
pub fn parse(
    text: &str,
    name: &str,
    base: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<LoadedConfig, Problems> {
    let source = Arc::new(SourceText::new(name, text));
    let findings = Findings::default();
    let interpolation = Interpolation { env, base, files: RefCell::default() };
    let root = toml_document::read(&source, &interpolation, &findings);
    let plan = root.as_ref().and_then(|root| check::check(root, base, &findings));
    let secrets = root.as_ref().map(secrets).unwrap_or_default();
    let diagnostics = findings.into_diagnostics(&source, &secrets);
    match (plan, root) {
        (Some(plan), Some(root)) if diagnostics.iter().all(|d| d.severity == Severity::Warning) => {
            let files = interpolation.files.into_inner();
            Ok(LoadedConfig { locator: Locator::new(source, root, secrets), plan, warnings: diagnostics, files })
        }
        _ => Err(Problems(diagnostics)),
    }
}

/// What `${…}` has put into the texts of a file, and the same as the plan has it if it is a path.
fn secrets(root: &TomlNode) -> Secrets {
    let both = |value: String| [check::normalise(Path::new(&value)).display().to_string(), value];
    Secrets::new(values(root).into_iter().flat_map(both))
}
