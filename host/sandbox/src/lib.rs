//! Runs plugins in a sandbox: the only crate that names wasmtime.
//!
//! A [`Sandbox`] is set up once. It loads plugins ([`Loaded`]), which are configured for routes ([`Configured`]),
//! which implement the boundary trait `esclusa_flow::plugin::Plugin`. Many versions of a plugin can be loaded at
//! once; the code of one is freed when the last value that came of it is dropped.

mod cache;
mod call;
pub mod child;
mod clock;
mod component;
mod contract;
mod engine;
mod guest;
mod limits;
mod log;
mod permits;
mod pool;
mod trap;

/// Limits that no configuration moves, for the reference.
pub mod caps {
    pub use crate::component::MAX_SCHEMA as SCHEMA_BYTES;
    pub use crate::component::compile::{BOUNDS as COMPILE, children};
    pub use crate::component::scan::branches::{ALL as LIVE_VALUES, ONE as LIVE_VALUES_OF_A_FUNCTION};
    pub use crate::component::scan::{BODY as FUNCTION_BYTES, FUNCTIONS, LOCALS, NESTED as MODULES};
    pub use crate::guest::RESOURCES;
    pub use crate::log::{LINE as LINE_BYTES, LINES_PER_SECOND};
}

pub use call::{Configured, RouteSettings};
pub use component::compile::{Compiler, compile_plugin};
pub use component::{Info, LoadError, Loaded, MAX_FILE, read};
pub use engine::{Error, KEEP_RESIDENT, STACK, Sandbox, SandboxConfig};
pub use limits::TICK;
