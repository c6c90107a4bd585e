//! Scans a file before it is compiled: is it a component, which proposals does it need, would it take the compiler too long?
//!
//! Validation takes time in proportion to the file. Compiling does not, so the counts that drive its time up are
//! limited here.

pub(crate) mod branches;

use crate::load_error::LoadError;
use wasmparser::{FunctionBody, Parser, Payload, ValidPayload, Validator, WasmFeatures};

/// Most functions of all modules together. CPython has about 20,000.
pub const FUNCTIONS: u32 = 60_000;
/// Most bytes of one function's body. The largest of CPython has about 200,000.
pub const BODY: usize = 1 << 20;
/// Most locals of one function. Register allocation takes more than linear time in them.
pub const LOCALS: u32 = 20_000;
/// Most modules and components inside the component.
pub const NESTED: u32 = 200;

/// Proposals that a plugin may use: WebAssembly 2.0 and the component model without its extensions.
fn features() -> WasmFeatures {
    WasmFeatures::WASM2
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::COMPONENT_MODEL
        | WasmFeatures::BULK_MEMORY_OPT
        | WasmFeatures::CALL_INDIRECT_OVERLONG
}

/// Checks a plugin's file.
///
/// # Errors
/// A [`LoadError`] that names what was found.
pub(crate) fn scan(bytes: &[u8]) -> Result<(), LoadError> {
    // First by its first bytes: the validator's error for a text or an ELF file would help nobody.
    kind(bytes)?;
    match scan_with(bytes, features()) {
        Err(LoadError::Malformed(detail)) => Err(proposal(bytes, detail)),
        other => other,
    }
}

fn scan_with(bytes: &[u8], features: WasmFeatures) -> Result<(), LoadError> {
    let mut validator = Validator::new_with_features(features);
    let (mut functions, mut nested, mut live) = (0_u32, 0_u32, 0_u64);
    let mut allocations = wasmparser::FuncValidatorAllocations::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| invalid(&error))?;
        if matches!(payload, Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) {
            nested = nested.saturating_add(1);
            bounded("modules", nested, NESTED)?;
        }
        if let ValidPayload::Func(function, body) = validator.payload(&payload).map_err(|error| invalid(&error))? {
            functions = functions.saturating_add(1);
            bounded("functions", functions, FUNCTIONS)?;
            bounds(&body)?;
            let mut function = function.into_validator(std::mem::take(&mut allocations));
            live = live.saturating_add(branches::validate(&mut function, &body, features)?);
            branches::bounded("its functions", live, branches::ALL)?;
            allocations = function.into_allocations();
        }
    }
    Ok(())
}

fn bounds(body: &FunctionBody<'_>) -> Result<(), LoadError> {
    let size = body.range().len();
    if size > BODY {
        return Err(LoadError::Bomb(format!("a function has {size} bytes, more than {BODY}")));
    }
    let mut locals = 0_u32;
    for group in body.get_locals_reader().map_err(|error| invalid(&error))? {
        locals = locals.saturating_add(group.map_err(|error| invalid(&error))?.0);
    }
    if locals > LOCALS {
        return Err(LoadError::Bomb(format!("a function has {locals} locals, more than {LOCALS}")));
    }
    Ok(())
}

fn bounded(what: &str, count: u32, most: u32) -> Result<(), LoadError> {
    if count > most { Err(LoadError::Bomb(format!("it has more than {most} {what}"))) } else { Ok(()) }
}

/// Refuses a file that is no component, with its kind by the first bytes.
fn kind(bytes: &[u8]) -> Result<(), LoadError> {
    let found =
        |found: &str, hint: &str| Err(LoadError::NotAComponent { found: found.to_owned(), hint: hint.to_owned() });
    if Parser::is_component(bytes) {
        return Ok(());
    }
    if bytes.is_empty() {
        return found("an empty file", "; was it still being written?");
    }
    if Parser::is_core_wasm(bytes) {
        return found("a core WebAssembly module", "; build for the target wasm32-wasip2 instead");
    }
    if bytes.starts_with(b"\0asm") {
        return found("a WebAssembly file that is cut off or of an unknown version", "; build it again");
    }
    if bytes.starts_with(b"\x7fELF") {
        return found(
            "native code (an ELF file, as a precompiled .cwasm is)",
            "; precompiled code is never taken from users, give the .wasm it was made of",
        );
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if text.trim_start().starts_with(['(', ';']) => {
            found("WebAssembly text", "; convert it with wasm-tools parse")
        }
        Ok(_) => found("text", "; is the path right?"),
        Err(_) => found("some other binary file", "; is the path right?"),
    }
}

/// The error of a malformed component. If a proposal would make the component valid, the error names it: the validator
/// does not always.
fn proposal(bytes: &[u8], detail: String) -> LoadError {
    let sound = |more: WasmFeatures| scan_with(bytes, features() | more).is_ok();
    let off = || WasmFeatures::all().iter_names().filter(|(_, flag)| !features().contains(*flag));
    match sound(WasmFeatures::all()).then(|| off().find(|(_, flag)| sound(*flag))).flatten() {
        Some((name, _)) => LoadError::Proposal { proposal: named(name), detail },
        None => LoadError::Malformed(detail),
    }
}

fn named(flag: &str) -> String {
    flag.to_lowercase().replace('_', "-")
}

/// An error of the validator, with the proposal if one is missing.
fn invalid(error: &wasmparser::BinaryReaderError) -> LoadError {
    match error.missing_wasm_feature() {
        None => LoadError::Malformed(error.to_string()),
        Some(missing) => {
            let names: Vec<_> = missing.iter_names().map(|(name, _)| named(name)).collect();
            LoadError::Proposal { proposal: names.join(", "), detail: error.to_string() }
        }
    }
}

/// The names of what a component imports and exports.
#[derive(Debug, Default)]
pub struct ComponentNames {
    /// Interfaces that the component needs, in the order of the file.
    pub imports: Vec<String>,
    /// Interfaces that it offers, in the order of the file.
    pub exports: Vec<String>,
}

impl ComponentNames {
    /// The names of the outermost component in a file that the sandbox has loaded; those of components inside it are
    /// left out, and so is everything that cannot be read.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let (mut names, mut depth) = (ComponentNames::default(), 0_u32);
        for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
            match payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth = depth.saturating_add(1),
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    names.imports.extend(section.into_iter().flatten().map(|import| import.name.name.to_owned()));
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    names.exports.extend(section.into_iter().flatten().map(|export| export.name.name.to_owned()));
                }
                _ => {}
            }
        }
        names
    }
}
