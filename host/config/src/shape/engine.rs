//! `[engine]`.

use super::{Default, Key, Kind, Section};

pub static PATH: Key = Key {
    name: "path",
    kind: Kind::Path,
    default: Default::Value("data"),
    about: "The directory of tables, streams, queues, positions and dead letters.",
};

/// `[engine]`.
pub static SECTION: Section = Section { name: "engine", about: "The embedded engine.", keys: &[&PATH], foreign: &[] };
