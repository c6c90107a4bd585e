//! What is wrong with a file of a store, as people are told: the file, what it holds, what was found, and the remedy.

use serde::Serialize;
use std::fmt::{Display, Formatter};
use std::path::{Path, PathBuf};

/// The code of a fault: a file of the store is damaged. `esclusa explain` has its page.
pub const DAMAGED: &str = "store.damaged";

/// The remedy for files whose content nothing else holds.
const RESTORE: &str =
    "restore a backup with `esclusa store restore`, or copy what can be read with `esclusa store salvage`";

/// A damaged file of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The file, in the directory of the store.
    pub file: PathBuf,
    /// What it holds, as far as it is known.
    pub holds: String,
    /// What is wrong with it.
    pub found: String,
    /// What to do.
    pub remedy: String,
}

impl Damage {
    /// Damage of a file whose content nothing else holds.
    pub(crate) fn new(file: &Path, holds: &str, found: impl Into<String>) -> Self {
        Damage { file: file.to_owned(), holds: holds.to_owned(), found: found.into(), remedy: RESTORE.to_owned() }
    }

    /// The same with another remedy.
    pub(crate) fn remedy(self, remedy: impl Into<String>) -> Self {
        Damage { remedy: remedy.into(), ..self }
    }
}

impl Display for Damage {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}): {}; {}", self.file.display(), self.holds, self.found, self.remedy)
    }
}
