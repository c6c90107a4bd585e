//! Runs plugins in a sandbox: the only crate that names wasmtime and wasmparser.
//!
//! A [`Sandbox`] is set up once. It loads a plugin's file, which gives a [`CompiledPlugin`]. Configured for a route,
//! this becomes a [`ConfiguredPlugin`], which implements the boundary trait `esclusa_flow::plugin::Plugin`. Several
//! versions of a plugin can be loaded at once; the code of a version is freed when its last [`CompiledPlugin`] and
//! [`ConfiguredPlugin`] are dropped.

mod call;
mod call_meter;
mod checked_component;
pub mod child;
mod code_cache;
mod compile;
mod contract;
mod guest;
mod guest_clock;
mod guest_log;
mod guest_metrics;
mod instance;
mod instance_pool;
mod load;
mod load_error;
mod run_permits;
mod sandbox;
mod trap;
mod wasm_scan;
mod wasmtime_engine;

/// Limits that no configuration changes, for the reference page.
pub mod caps {
    pub use crate::compile::{BOUNDS as COMPILE, children};
    pub use crate::guest::RESOURCES;
    pub use crate::guest_log::{LINE as LINE_BYTES, LINES, LINES_PER_SECOND};
    pub use crate::guest_metrics::{
        BOUNDS as HISTOGRAM, LABELS, NAME_BYTES as METRIC_NAME_BYTES, SERIES, VALUE_BYTES as LABEL_BYTES,
    };
    pub use crate::load::MAX_SCHEMA as SCHEMA_BYTES;
    pub use crate::wasm_scan::branches::{ALL as LIVE_VALUES, ONE as LIVE_VALUES_OF_A_FUNCTION};
    pub use crate::wasm_scan::{BODY as FUNCTION_BYTES, FUNCTIONS, LOCALS, NESTED as MODULES};
}

pub use call::{ConfiguredPlugin, RouteSettings};
pub use call_meter::TICK;
pub use compile::{Compiler, compile_plugin};
pub use contract::{CONTRACT, PluginInfo};
pub use guest_metrics::{MetricSeries, MetricValue, PluginMetrics};
pub use load::{CompiledPlugin, PluginFile, read};
pub use load_error::{LoadError, MAX_FILE};
pub use sandbox::{Sandbox, SandboxConfig, SandboxError};
pub use wasm_scan::ComponentNames;
pub use wasmtime_engine::{KEEP_RESIDENT, STACK};
