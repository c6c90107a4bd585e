//! A guest's backtrace as text. The names of functions come from the plugin and may be hostile: only a limited part of
//! each is read and shown, even if it is megabytes long or would expand to gigabytes.

use crate::guest_log::escape;
use rustc_demangle::try_demangle;
use std::fmt::{self, Write};
use wasmtime::WasmBacktrace;

/// Bytes of a function's name that are read; names in Rust are rarely longer.
const READ: usize = 1024;
/// Bytes of a demangled name that are shown.
const SHOWN: usize = 256;

/// The functions that were running, the innermost first, a line each; `None`: there were none.
pub(super) fn text(backtrace: &WasmBacktrace) -> Option<String> {
    let mut text = String::new();
    for (at, frame) in backtrace.frames().iter().enumerate() {
        let function = || format!("function {}", frame.func_index());
        let name = frame.func_name().map_or_else(function, name);
        // Writing to a string does not fail.
        let _ = writeln!(text, "{at:>3}: {name}");
    }
    (!text.is_empty()).then_some(text)
}

/// A function's demangled name, escaped and cut.
fn name(mangled: &str) -> String {
    let mut name = Short(String::new());
    let whole = mangled.len() <= READ;
    match try_demangle(mangled) {
        // `Short` fails when it is full, which ends the demangling of a name without end.
        Ok(demangled) if whole => drop(write!(name, "{demangled:#}")),
        _ => drop(name.write_str(mangled.get(..mangled.floor_char_boundary(READ)).unwrap_or_default())),
    }
    escape(name.0.as_bytes(), SHOWN)
}

/// A string that takes a little more than is shown, and then fails.
struct Short(String);

impl Write for Short {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        // One character more than is shown, so that `escape` marks the cut.
        let room = (SHOWN + 4).saturating_sub(self.0.len());
        let end = part.floor_char_boundary(room.min(part.len()));
        self.0.push_str(part.get(..end).unwrap_or_default());
        if end < part.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rust_are_shown_as_people_know_them() {
        assert_eq!(name("_ZN7hostile6attack5panic17h0123456789abcdefE"), "hostile::attack::panic");
        assert_eq!(name("plain"), "plain");
    }

    #[test]
    fn a_name_is_cut_and_harmless_whatever_it_stands_for() {
        // A name of C++ whose every part doubles the one before: it is shown as it is written.
        let doubling = format!("_Z1f1pIiiE{}", "S_IS0_S0_E".repeat(20));
        assert!(name(&doubling).len() <= SHOWN + "…".len());
        for long in ["x".repeat(10 << 20), format!("_ZN{}E", "1a".repeat(2 << 20)), "\u{1b}[2J\u{202e}".repeat(1000)] {
            let shown = name(&long);
            assert!(shown.ends_with('…') && !shown.contains('\u{1b}') && shown.len() < 16 * SHOWN, "{shown}");
        }
        // Numbers of Rust's newer names may point back, and name one thing again and again.
        let backwards = format!("_RINvC1a1f{}E", "TB2_B2_E".repeat(100));
        assert!(name(&backwards).len() <= SHOWN + "…".len());
    }
}
