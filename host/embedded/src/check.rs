//! `esclusa store check`: reads a whole store without changing it, compares every file with its checksum, and what the files hold with
//! each other.

mod content;

use crate::damage::Damage;
use crate::disk::files::{self, Tables};
use crate::disk::mark::FoundMark;
use crate::disk::survey::{Survey, survey};
use crate::disk::{self, DATABASE, format};
use crate::error::OpenError;
use content::Content;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// The format of the store; absent: it is not readable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<u32>,
    /// True if the store was closed; false: the last process ended without it.
    pub closed: bool,
    /// The damage.
    pub damage: Vec<Damage>,
    /// What is no damage: files that are left over, writes that a crash interrupted.
    pub notes: Vec<String>,
    /// What the store holds; absent if a file is damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<StoreCounts>,
}

/// How much a store holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StoreCounts {
    /// Items of each table.
    pub tables: BTreeMap<String, u64>,
    /// Records of each stream.
    pub streams: BTreeMap<String, u64>,
    /// Records of each change feed, by table.
    pub changes: BTreeMap<String, u64>,
    /// Messages of each queue.
    pub queues: BTreeMap<String, u64>,
    /// Positions of routes in their sources.
    pub positions: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Messages that are not confirmed yet.
    pub undelivered: u64,
    /// Answers that are kept for requests that come again.
    pub kept_answers: u64,
}

/// Checks the store at `path`. Blocks, for as long as its files take to be read.
///
/// # Errors
/// [`OpenError`]: a process has it open, there is none, or its files cannot be read.
pub fn check(path: &Path) -> Result<CheckReport, OpenError> {
    let unusable = disk::unusable(path);
    disk::exists(path)?;
    let _lock = disk::lock(path)?;
    examine(path).map_err(unusable)
}

/// Checks a store whose lock is held.
pub(crate) fn examine(path: &Path) -> std::io::Result<CheckReport> {
    let (found, mut survey) = look(path)?;
    let mut report = CheckReport {
        format: found,
        closed: matches!(survey.mark, FoundMark::Mark(mark) if mark.closed),
        damage: std::mem::take(&mut survey.damage),
        notes: std::mem::take(&mut survey.notes),
        content: None,
    };
    if report.damage.is_empty() && survey.unborn {
        report.content = Some(StoreCounts::default());
    } else if report.damage.is_empty() {
        let content = content(path, &survey)?;
        report.damage.extend(content.damage);
        report.notes.extend(content.notes);
        report.content = Some(content.counts);
    }
    Ok(report)
}

/// Looks at every file; gives the format, if the marker can be read.
pub(crate) fn look(path: &Path) -> std::io::Result<(Option<u32>, Survey)> {
    let marker = format::read(path)?;
    let mut survey = survey(path)?;
    let found = match marker {
        format::Marker::Format(found) => Some(found),
        format::Marker::Absent if survey.unborn => None,
        format::Marker::Absent | format::Marker::Damaged => {
            survey.damage.insert(0, format::damage());
            None
        }
    };
    if found.is_some_and(|found| found > 1) && survey.mark == FoundMark::Absent && !survey.unborn {
        survey.notes.push("there is no mark of the last sync; the store makes a new one when it is opened".to_owned());
    }
    survey.tables(path);
    Ok((found, survey))
}

/// Opens a copy of the database and reads it.
fn content(path: &Path, survey: &Survey) -> std::io::Result<Content> {
    let copy = CopyInStore::make(path, survey)?;
    match disk::database(&copy.0) {
        Ok(disk) => Ok(Content::read(&disk, survey.mark.usable())),
        Err(error) => {
            let found =
                format!("the files fit their checksums, but the database does not open: {}", disk::describe(&error));
            Ok(Content::damaged(Damage::new(Path::new(DATABASE), "everything", found)))
        }
    }
}

/// A copy for reading, whose tables are the files of the store; deleted with this.
struct CopyInStore(PathBuf);

impl CopyInStore {
    fn make(path: &Path, survey: &Survey) -> std::io::Result<Self> {
        let to = path.join(disk::CHECKING);
        // Left by a check that was ended.
        if to.exists() {
            std::fs::remove_dir_all(&to)?;
        }
        let copy = CopyInStore(to);
        files::copy(path, survey, &copy.0, Tables::Linked)?;
        Ok(copy)
    }
}

impl Drop for CopyInStore {
    fn drop(&mut self) {
        // The next check deletes what stays.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
