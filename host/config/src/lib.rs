//! routes.toml: text to a checked [`plan::Plan`], or to all of its diagnostics.
//!
//! Three steps, each in a module of its own: `syntax` turns the text into a tree whose nodes have their places in the
//! text, `shape` lists the keys (the JSON Schema and the reference page are made from the same tables), and `check`
//! turns the tree into the plan. Plugins are not loaded here: [`Locator`] lets the program report their problems in the
//! same form, and [`granted_names`] compares the names in their configurations with the grants of their routes.

pub mod codes;
pub mod doubtful_templates;
pub mod granted_names;
pub mod named_file;
pub mod plan;
pub mod report;

mod check;
mod effective;
mod load;
mod locator;
mod marked_texts;
mod nearest;
mod reference;
mod schema;
mod shape;
mod syntax;

pub use codes::Code;
pub use effective::effective;
pub use load::{LoadedConfig, engine_named, files_named, load, parse, too_deep};
pub use locator::{ConfigPlace, Locator};
pub use nearest::nearest;
pub use reference::reference;
pub use report::{Diagnostic, Problems, Severity};
pub use schema::schema;
pub use syntax::units::{duration, show_duration, show_size, timestamp};
