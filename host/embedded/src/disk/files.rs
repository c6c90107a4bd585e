//! Copies the files of a store that nobody writes to: for a check of its content, and for backups.

use super::journal::{self, JournalScan};
use super::survey::Survey;
use super::{DATABASE, sync_directory};
use crate::error::OpenError;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

/// How tables get into the copy. They are never changed, only deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tables {
    /// As further names of the same files: for a copy in the directory of the store that lives for a short while.
    Linked,
    /// As files of their own.
    Copied,
}

/// Copies the database of the store at `root` to the empty directory `to`: its lists, its tables, and its journals up to the last
/// commit. Gives the bytes that it wrote. Durable if the tables are copied.
pub(crate) fn copy(root: &Path, survey: &Survey, to: &Path, tables: Tables) -> std::io::Result<u64> {
    let db = Path::new(DATABASE);
    super::create_directory(&to.join(db).join("keyspaces"))?;
    let mut bytes = 0;
    for name in ["version", "lock"] {
        bytes += copy_file(root, to, &db.join(name), tables)?;
    }
    for tree in &survey.trees {
        super::create_directory(&to.join(&tree.path).join("tables"))?;
        for file in [tree.path.join("current"), tree.version.clone()] {
            bytes += copy_file(root, to, &file, tables)?;
        }
        for table in &tree.tables {
            match tables {
                Tables::Linked => std::fs::hard_link(root.join(&table.file), to.join(&table.file))?,
                Tables::Copied => bytes += copy_file(root, to, &table.file, tables)?,
            }
        }
        sync(&to.join(&tree.path).join("tables"), tables)?;
        sync(&to.join(&tree.path), tables)?;
    }
    for file in &survey.journals {
        let content = journal::read(&root.join(file))?;
        let end = journal::scan(&content, &JournalScan::default()).end;
        let content = content.get(..end).unwrap_or_default();
        std::fs::write(to.join(file), content)?;
        sync(&to.join(file), tables)?;
        bytes += content.len() as u64;
    }
    sync(&to.join(db).join("keyspaces"), tables)?;
    sync(&to.join(db), tables)?;
    Ok(bytes)
}

/// Makes the directory `to`, whole or not at all: `fill` writes into a directory beside it, which gets the name in the end.
///
/// # Errors
/// [`OpenError`]: there is something at `to`, or `fill` failed.
pub(crate) fn whole<T>(to: &Path, fill: impl FnOnce(&Path) -> std::io::Result<T>) -> Result<T, OpenError> {
    let unusable = |reason: String| OpenError::Unusable { path: to.to_owned(), kind: ErrorKind::Other, reason };
    let holds = match std::fs::read_dir(to) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(unusable(error.to_string())),
    };
    if holds {
        return Err(unusable("the directory is not empty, and nothing is overwritten: name another one".to_owned()));
    }
    let to = std::path::absolute(to).map_err(|e| unusable(e.to_string()))?;
    let (Some(parent), Some(name)) = (to.parent(), to.file_name()) else {
        return Err(unusable("it is no directory that can be made".to_owned()));
    };
    super::create_directory(parent).map_err(|e| unusable(e.to_string()))?;
    let part = tempfile::Builder::new().prefix(name).suffix(".part").tempdir_in(parent);
    let part = part.map_err(|e| unusable(e.to_string()))?;
    let filled = fill(part.path()).map_err(|e| unusable(e.to_string()))?;
    // A name for an empty directory is replaced.
    std::fs::rename(part.path(), &to).and_then(|()| sync_directory(parent)).map_err(|e| unusable(e.to_string()))?;
    Ok(filled)
}

fn copy_file(root: &Path, to: &Path, file: &Path, tables: Tables) -> std::io::Result<u64> {
    let bytes = std::fs::copy(root.join(file), to.join(file))?;
    sync(&to.join(file), tables)?;
    Ok(bytes)
}

/// Makes a file or a directory durable, unless the copy lives for a short while.
fn sync(path: &Path, tables: Tables) -> std::io::Result<()> {
    match tables {
        Tables::Linked => Ok(()),
        Tables::Copied => File::open(path)?.sync_all(),
    }
}
