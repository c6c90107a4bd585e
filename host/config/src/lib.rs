//! routes.toml: text to a checked [`plan::Plan`], or to all of its diagnostics.
//!
//! Three steps, each in a module of its own: `syntax` turns the text into a tree that knows where everything stands,
//! `shape` says which keys there are (the JSON Schema and the reference page come from the same tables), and `check`
//! gives the tree its meaning. Nothing here looks at plugins: [`Locator`] lets the program report on them in the same
//! way, and [`granted_names`] holds their schemas against what routes grant.

pub mod codes;
pub mod granted_names;
pub mod plan;
pub mod report;

mod check;
mod effective;
mod load;
mod locator;
mod reference;
mod schema;
mod shape;
mod syntax;

pub use codes::Code;
pub use effective::effective;
pub use load::{LoadedConfig, load, parse};
pub use locator::{ConfigPlace, Locator};
pub use reference::reference;
pub use report::{Diagnostic, Problems, Severity};
pub use schema::schema;
pub use syntax::units::{duration, show_duration, show_size, timestamp};
