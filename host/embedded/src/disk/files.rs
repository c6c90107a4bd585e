//! Copies the files of a store that nobody writes to: for a check of its content, and for backups.

use super::journal::{self, JournalScan};
use super::survey::Survey;
use super::{DATABASE, sync_directory};
use std::fs::File;
use std::io::Write;
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
    std::fs::create_dir_all(to.join(db).join("keyspaces"))?;
    let mut bytes = 0;
    for name in ["version", "lock"] {
        bytes += copy_file(root, to, &db.join(name))?;
    }
    for tree in &survey.trees {
        std::fs::create_dir_all(to.join(&tree.path).join("tables"))?;
        for file in [tree.path.join("current"), tree.version.clone()] {
            bytes += copy_file(root, to, &file)?;
        }
        for table in &tree.tables {
            match tables {
                Tables::Linked => std::fs::hard_link(root.join(&table.file), to.join(&table.file))?,
                Tables::Copied => bytes += copy_file(root, to, &table.file)?,
            }
        }
        sync_directory(&to.join(&tree.path).join("tables"))?;
        sync_directory(&to.join(&tree.path))?;
    }
    for file in &survey.journals {
        let content = std::fs::read(root.join(file))?;
        let end = journal::scan(&content, &JournalScan::default()).end;
        let content = content.get(..end).unwrap_or_default();
        let mut copy = File::create_new(to.join(file))?;
        copy.write_all(content)?;
        copy.sync_all()?;
        bytes += content.len() as u64;
    }
    sync_directory(&to.join(db).join("keyspaces"))?;
    sync_directory(&to.join(db))?;
    Ok(bytes)
}

fn copy_file(root: &Path, to: &Path, file: &Path) -> std::io::Result<u64> {
    let bytes = std::fs::copy(root.join(file), to.join(file))?;
    File::open(to.join(file))?.sync_all()?;
    Ok(bytes)
}
