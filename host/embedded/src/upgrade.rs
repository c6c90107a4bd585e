//! `esclusa store upgrade`: gives a store of format 1 the format of this program.
//!
//! Format 2 numbers the batches of the database, and says in a file of its own which of them was synced last. It reads everything that
//! format 1 wrote, so nothing is written anew: after the whole store was checked, the marker is replaced. A crash leaves either format.

use crate::check::{CheckReport, examine};
use crate::disk;
use crate::disk::format;
use crate::disk::mark::{Mark, MarkFile};
use crate::error::OpenError;
use std::path::Path;

/// Upgrades the store at `path`; `None`: it has the format of this program already. Blocks, for as long as its files take to be read.
///
/// # Errors
/// [`OpenError`]: a process has it open, it is damaged, or a later program wrote it. It is as it was then.
pub fn upgrade(path: &Path) -> Result<Option<CheckReport>, OpenError> {
    let unusable = disk::unusable(path);
    disk::exists(path)?;
    let _lock = disk::lock(path)?;
    match format::check(path, true) {
        Err(OpenError::Outdated { .. }) => {}
        Err(error) => return Err(error),
        Ok(_) => return Ok(None),
    }
    let report = examine(path).map_err(unusable)?;
    if !report.damage.is_empty() {
        return Err(OpenError::Damaged { path: path.to_owned(), damage: report.damage });
    }
    // Before the marker: an earlier program does not know this file, and a later one needs it.
    drop(MarkFile::open(path, Mark::default()).map_err(unusable)?);
    format::write(path).map_err(unusable)?;
    Ok(Some(report))
}
