//! `esclusa store backup` and `restore`: a store as it was at one moment, in a directory of its own.
//!
//! A running router makes further names for its tables, which never change, and copies its journals, while nothing is committed. That
//! takes a moment; the bytes are copied afterwards, by the process that wants the backup.

use crate::check::look;
use crate::damage::Damage;
use crate::disk::files::{self, Tables};
use crate::disk::mark::{FoundMark, Mark, MarkFile};
use crate::disk::{self, Disk, format, survey, trees};
use crate::error::OpenError;
use crate::store::Store;
use crate::transaction::Transaction;
use crate::writer::Demand;
use esclusa_flow::fault::Fault;
use serde::Serialize;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The database replaces lists and tables while their names are made; this often it is tried again.
const TRIES: u32 = 100;

/// What a backup or a restore has copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupReport {
    /// Bytes.
    pub bytes: u64,
    /// What is no damage, but was found on the way.
    pub notes: Vec<String>,
}

impl Store {
    /// Makes a copy of the store as it is between two commits, for [`copy_staged`]; gives its directory. Commits wait meanwhile, for as long
    /// as the journals take to be copied.
    ///
    /// # Errors
    /// A [`Fault`] of the disk.
    pub async fn stage_backup(&self) -> Result<PathBuf, Fault> {
        let work = |tx: &mut Transaction<'_>| {
            let mark = Mark { batch: tx.memory.batch, seqno: tx.disk.database.visible_seqno(), closed: true };
            tx.disk.sync().map_err(|e| disk::read_fault(&e))?;
            stage(tx.disk, mark).map_err(|e| Fault::Transient(format!("the backup cannot be made: {e}")))
        };
        self.writer().perform(0, Demand::Alone, work).await
    }
}

fn stage(disk: &Disk, mark: Mark) -> std::io::Result<PathBuf> {
    let stage = disk.path.join(disk::STAGE);
    clear(&stage)?;
    disk::create_directory(&stage.join(disk::DATABASE))?;
    // First the journals: what leaves them meanwhile is in a table by then.
    for journal in survey::journals(&disk.path)? {
        match std::fs::copy(disk.path.join(&journal), stage.join(&journal)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    for id in trees::ids(&disk.path, Path::new(disk::DATABASE))? {
        let mut tries = 0;
        while !link_tree(&disk.path, &stage, id)? {
            tries += 1;
            if tries >= TRIES {
                return Err(std::io::Error::other("the database replaced its lists too often"));
            }
        }
    }
    for name in ["version", "lock"] {
        let file = Path::new(disk::DATABASE).join(name);
        std::fs::copy(disk.path.join(&file), stage.join(&file))?;
    }
    drop(MarkFile::open(&stage, mark)?);
    format::write(&stage)?;
    Ok(stage)
}

/// Makes names for the files of a tree; false: the database has replaced one meanwhile.
fn link_tree(root: &Path, stage: &Path, id: u64) -> std::io::Result<bool> {
    let db = Path::new(disk::DATABASE);
    let folder = db.join("keyspaces").join(id.to_string());
    clear(&stage.join(&folder))?;
    disk::create_directory(&stage.join(&folder).join("tables"))?;
    let Ok(tree) = trees::read(root, db, id) else { return Ok(false) };
    let tables = tree.tables.iter().map(|table| table.file.clone());
    for file in [tree.path.join("current"), tree.version.clone()].into_iter().chain(tables) {
        match std::fs::hard_link(root.join(&file), stage.join(&file)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            linked => linked?,
        }
    }
    Ok(trees::read(stage, db, id).as_ref() == Ok(&tree))
}

fn clear(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Copies what [`Store::stage_backup`] made to `to`, and removes it. Blocks.
///
/// # Errors
/// [`OpenError`]; then there is nothing at `to`.
pub fn copy_staged(stage: &Path, to: &Path) -> Result<BackupReport, OpenError> {
    let report = copy(stage, to)?;
    clear(stage).map_err(disk::unusable(stage))?;
    Ok(report)
}

/// Copies the store at `path`, which no process has open, to `to`. Blocks.
///
/// # Errors
/// [`OpenError`]: a process has it open, it is damaged, or `to` holds something. Then `to` is as it was.
pub fn backup(path: &Path, to: &Path) -> Result<BackupReport, OpenError> {
    disk::exists(path)?;
    let _lock = disk::lock(path)?;
    copy(path, to)
}

/// Makes the store at `path` from the backup `from`. Blocks.
///
/// # Errors
/// [`OpenError`]: the backup is damaged, or there is something at `path`. Then `path` is as it was.
pub fn restore(from: &Path, path: &Path) -> Result<BackupReport, OpenError> {
    disk::exists(from)?;
    copy(from, path)
}

fn copy(from: &Path, to: &Path) -> Result<BackupReport, OpenError> {
    let damaged = |path: &Path, damage: Vec<Damage>| OpenError::Damaged { path: path.to_owned(), damage };
    let unusable = disk::unusable(from);
    format::check(from, true)?;
    let (_, survey) = look(from).map_err(unusable)?;
    if !survey.damage.is_empty() {
        return Err(damaged(from, survey.damage));
    }
    let mark = match survey.mark {
        FoundMark::Mark(mark) => mark,
        FoundMark::Absent | FoundMark::Damaged => Mark::default(),
    };
    let bytes = files::whole(to, |part| {
        let bytes = files::copy(from, &survey, part, Tables::Copied)?;
        // The journals end with their last commit, whether the store was closed or not.
        drop(MarkFile::open(part, Mark { closed: true, ..mark })?);
        format::write(part)?;
        let copied = look(part)?.1.damage;
        if let Some(damage) = copied.first() {
            return Err(std::io::Error::other(format!("the copy is not what was read: {damage}")));
        }
        Ok(bytes)
    })?;
    Ok(BackupReport { bytes, notes: survey.notes })
}
