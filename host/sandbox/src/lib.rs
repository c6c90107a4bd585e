//! Runs plugins in a sandbox: the only crate that names wasmtime and wasmparser.
//!
//! A [`Sandbox`] is set up once. It loads plugins ([`Loaded`]), which are configured for routes ([`Configured`]),
//! which implement the boundary trait `esclusa_flow::plugin::Plugin`. Many versions of a plugin can be loaded at
//! once; the code of one is freed when the last value that came of it is dropped.

mod cache;
mod call;
mod checked_component;
pub mod child;
mod clock;
mod compile;
mod contract;
mod engine;
mod guest;
mod instance;
mod limits;
mod load;
mod load_error;
mod log;
mod permits;
mod pool;
mod sandbox;
mod scan;
mod trap;

/// Limits that no configuration moves, for the reference.
pub mod caps {
    pub use crate::compile::{BOUNDS as COMPILE, children};
    pub use crate::guest::RESOURCES;
    pub use crate::load::MAX_SCHEMA as SCHEMA_BYTES;
    pub use crate::log::{LINE as LINE_BYTES, LINES_PER_SECOND};
    pub use crate::scan::branches::{ALL as LIVE_VALUES, ONE as LIVE_VALUES_OF_A_FUNCTION};
    pub use crate::scan::{BODY as FUNCTION_BYTES, FUNCTIONS, LOCALS, NESTED as MODULES};
}

pub use call::{Configured, RouteSettings};
pub use compile::{Compiler, compile_plugin};
pub use contract::Info;
pub use engine::{KEEP_RESIDENT, STACK};
pub use limits::TICK;
pub use load::{Loaded, read};
pub use load_error::{LoadError, MAX_FILE};
pub use sandbox::{Error, Sandbox, SandboxConfig};
pub use scan::ComponentNames;
