//! Checks a compiled component against the contract: the router offers all of its imports, and it has the exports of
//! the contract with their types.

use crate::contract::lift::HandleResult;
use crate::contract::{BatchRef, CONTRACT, lifecycle};
use crate::guest::Guest;
use crate::load_error::{LoadError, listed};
use crate::sandbox::SandboxCore;
use esclusa_flow::verdict::short;
use std::sync::Arc;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower};

/// Interfaces that the linker offers. A version that ends with a dot stands for all versions that begin with it, and so
/// does a name that ends with a slash.
const OFFERED: [(&str, &str); 26] = [
    ("esclusa:router/tables", "0.2.0"),
    ("esclusa:router/objects", "0.2.0"),
    ("esclusa:router/log", "0.2.0"),
    ("esclusa:router/metrics", "0.2.0"),
    ("esclusa:router/items", "0.2.0"),
    ("esclusa:router/effects", "0.2.0"),
    ("esclusa:router/events", "0.2.0"),
    ("wasi:cli/environment", "0.2."),
    ("wasi:cli/exit", "0.2."),
    ("wasi:cli/stdin", "0.2."),
    ("wasi:cli/stdout", "0.2."),
    ("wasi:cli/stderr", "0.2."),
    ("wasi:cli/terminal-input", "0.2."),
    ("wasi:cli/terminal-output", "0.2."),
    ("wasi:cli/terminal-stdin", "0.2."),
    ("wasi:cli/terminal-stdout", "0.2."),
    ("wasi:cli/terminal-stderr", "0.2."),
    ("wasi:clocks/wall-clock", "0.2."),
    ("wasi:clocks/monotonic-clock", "0.2."),
    ("wasi:io/error", "0.2."),
    ("wasi:io/poll", "0.2."),
    ("wasi:io/streams", "0.2."),
    ("wasi:filesystem/types", "0.2."),
    ("wasi:filesystem/preopens", "0.2."),
    ("wasi:logging/logging", "0.1.0-draft"),
    ("wasi:random/", "0.2."),
];

const LIFECYCLE: &str = "esclusa:router/lifecycle@0.2.0";
const HANDLER: &str = "esclusa:router/handler@0.2.0";

/// Parameters of `handle`.
pub(crate) type Handle<'a> = (BatchRef<'a>,);
/// Result of `handle`.
pub(crate) type Handled = (HandleResult,);

/// A checked component with everything resolved that can be resolved before an instance is made.
pub(crate) struct CheckedComponent {
    pub(crate) inner: Arc<SandboxCore>,
    pub(crate) pre: InstancePre<Guest>,
    pub(crate) describe: ComponentExportIndex,
    pub(crate) init: ComponentExportIndex,
    pub(crate) handle: ComponentExportIndex,
    /// True if it imports random numbers. Otherwise the seed of a batch, which reads all ids, is not computed.
    pub(crate) random: bool,
}

/// Checks a component, and resolves everything that can be resolved before an instance is made.
///
/// # Errors
/// The imports, exports or types that do not fit the contract.
pub(crate) fn program(inner: &Arc<SandboxCore>, component: &Component) -> Result<CheckedComponent, LoadError> {
    let ty = component.component_type();
    let mut names = ty.imports(&inner.engine).chain(ty.exports(&inner.engine)).map(|(name, _)| name);
    if let Some(found) = names.find_map(other_contract) {
        return Err(LoadError::OtherContract { found });
    }
    let unmet: Vec<_> =
        ty.imports(&inner.engine).map(|(name, _)| name).filter(|name| !offered(name)).map(unmet).collect();
    if !unmet.is_empty() {
        return Err(LoadError::Imports(unmet));
    }
    let missing = [LIFECYCLE, HANDLER].into_iter().filter(|name| ty.get_export(&inner.engine, name).is_none());
    let missing: Vec<_> = missing.map(str::to_owned).collect();
    if !missing.is_empty() {
        let found: Vec<_> = ty.exports(&inner.engine).map(|(name, _)| name.to_owned()).collect();
        let found = if found.is_empty() { "nothing".to_owned() } else { listed(&found) };
        return Err(LoadError::Exports { missing, found });
    }
    let program = CheckedComponent {
        describe: export::<(), (lifecycle::Info,)>(inner, component, LIFECYCLE, "describe", "func() -> info")?,
        init: export::<(&str,), (Result<(), String>,)>(
            inner,
            component,
            LIFECYCLE,
            "init",
            "func(config: string) -> result<_, string>",
        )?,
        handle: export::<Handle<'_>, Handled>(
            inner,
            component,
            HANDLER,
            "handle",
            "func(batch: batch) -> result<output, failure>",
        )?,
        random: ty.imports(&inner.engine).any(|(name, _)| name.starts_with("wasi:random/")),
        pre: inner.linker.instantiate_pre(component).map_err(|e| LoadError::Imports(vec![format!("{e:#}")]))?,
        inner: inner.clone(),
    };
    Ok(program)
}

fn offered(name: &str) -> bool {
    let (interface, version) = name.split_once('@').unwrap_or((name, ""));
    OFFERED.iter().any(|(offer, of)| {
        let same = if offer.ends_with('/') { interface.starts_with(offer) } else { interface == *offer };
        same && (version == *of || of.ends_with('.') && version.starts_with(of))
    })
}

/// The version of an interface of the contract, if it is not the one that the router speaks.
fn other_contract(name: &str) -> Option<String> {
    let (_, version) = name.strip_prefix("esclusa:router/")?.split_once('@')?;
    (version != CONTRACT).then(|| short(version))
}

fn unmet(name: &str) -> String {
    let hint = match name.split(['/', '@']).next() {
        Some("wasi:sockets" | "wasi:http") => {
            " (plugins have no network: send to an [output] of kind \"webhook\" instead)"
        }
        Some("wasi:keyvalue" | "wasi:blobstore") => " (use granted tables and objects instead)",
        _ if name.starts_with("esclusa:router/") => " (no interface of the contract)",
        _ => "",
    };
    format!("{name}{hint}")
}

fn export<Params, Return>(
    inner: &SandboxCore,
    component: &Component,
    interface: &str,
    name: &str,
    expected: &'static str,
) -> Result<ComponentExportIndex, LoadError>
where
    Params: ComponentNamedList + Lower,
    Return: ComponentNamedList + Lift,
{
    let wrong = |detail: String| LoadError::Signature { export: format!("{interface}#{name}"), expected, detail };
    let function = function(inner, component, interface, name).ok_or_else(|| wrong("it is missing".to_owned()))?;
    if function.async_() {
        return Err(wrong("it is async".to_owned()));
    }
    let ty = component.component_type();
    function.typecheck::<Params, Return>(&ty.instance_type()).map_err(|error| wrong(format!("{error:#}")))?;
    let instance = component.get_export_index(None, interface);
    let index = instance.and_then(|instance| component.get_export_index(Some(&instance), name));
    index.ok_or_else(|| wrong("it is missing".to_owned()))
}

fn function(inner: &SandboxCore, component: &Component, interface: &str, name: &str) -> Option<ComponentFunc> {
    let ty = component.component_type();
    let ComponentItem::ComponentInstance(instance) = ty.get_export(&inner.engine, interface)?.ty else { return None };
    match instance.get_export(&inner.engine, name)?.ty {
        ComponentItem::ComponentFunc(function) => Some(function),
        _ => None,
    }
}
