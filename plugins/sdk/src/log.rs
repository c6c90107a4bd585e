//! Lines for the router's log, under the name of the route: `log::warn!("{n} orders without a customer")`.
//!
//! A native build writes them to standard error.

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For developers, of every step.
    Trace,
    /// For developers.
    Debug,
    /// Ordinary.
    Info,
    /// Probably a problem.
    Warn,
    /// A problem.
    Error,
}

/// Writes a message; each of its lines is a line of the log.
#[cfg(target_family = "wasm")]
pub fn write(level: Level, message: &str) {
    use crate::guest::bindings::esclusa::router::log as imported;
    let level = match level {
        Level::Trace => imported::Level::Trace,
        Level::Debug => imported::Level::Debug,
        Level::Info => imported::Level::Info,
        Level::Warn => imported::Level::Warn,
        Level::Error => imported::Level::Error,
    };
    imported::write(level, message);
}

/// Writes a message; each of its lines is a line of the log.
#[cfg(not(target_family = "wasm"))]
pub fn write(level: Level, message: &str) {
    eprintln!("{level:?}: {message}");
}

#[doc(hidden)]
#[macro_export]
macro_rules! __esclusa_log {
    ($level:ident, $($arguments:tt)*) => {
        $crate::log::write($crate::log::Level::$level, &::std::format!($($arguments)*))
    };
}

/// Writes a line at level trace.
#[doc(hidden)]
#[macro_export]
macro_rules! __esclusa_trace { ($($arguments:tt)*) => { $crate::__esclusa_log!(Trace, $($arguments)*) }; }
/// Writes a line at level debug.
#[doc(hidden)]
#[macro_export]
macro_rules! __esclusa_debug { ($($arguments:tt)*) => { $crate::__esclusa_log!(Debug, $($arguments)*) }; }
/// Writes a line at level info.
#[doc(hidden)]
#[macro_export]
macro_rules! __esclusa_info { ($($arguments:tt)*) => { $crate::__esclusa_log!(Info, $($arguments)*) }; }
/// Writes a line at level warn.
#[doc(hidden)]
#[macro_export]
macro_rules! __esclusa_warn { ($($arguments:tt)*) => { $crate::__esclusa_log!(Warn, $($arguments)*) }; }
/// Writes a line at level error.
#[doc(hidden)]
#[macro_export]
macro_rules! __esclusa_error { ($($arguments:tt)*) => { $crate::__esclusa_log!(Error, $($arguments)*) }; }

pub use crate::{
    __esclusa_debug as debug, __esclusa_error as error, __esclusa_info as info, __esclusa_trace as trace,
    __esclusa_warn as warn,
};
