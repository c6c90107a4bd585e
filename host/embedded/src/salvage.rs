//! `esclusa store salvage`: makes a new store of what can be read of a damaged one, and counts what is missing.
//!
//! Reads the files of the database by itself: the database does not open damaged lists, and ends a journal at its first damaged
//! commit. Index entries are left out: the new store builds them when it is opened.

mod merge;
mod tables;
mod target;

use crate::check::{StoreCounts, examine, look};
use crate::damage::Damage;
use crate::disk::journal::{self, JournalBatch};
use crate::disk::mark::FoundMark;
use crate::disk::survey::Survey;
use crate::disk::trees::{self, TableFile};
use crate::disk::{self, DATABASE, Space, files};
use crate::error::OpenError;
use merge::{JournalEntries, Merge};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tables::WholeBlocks;
use target::Target;

/// What a salvage found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SalvageReport {
    /// The damage of the old store.
    pub damage: Vec<Damage>,
    /// Entries of files that cannot be read.
    pub lost: Vec<LostTable>,
    /// Groups of commits in journals that cannot be read. Some of what they wrote may be in other files.
    pub lost_groups: u64,
    /// Entries of tables, streams and queues whose names are lost.
    pub nameless: u64,
    /// What is missing or does not fit in the new store.
    pub missing: Vec<String>,
    /// What the new store holds.
    pub content: StoreCounts,
}

/// A file of which entries are lost. Some may have been outdated; of others the new store may have an earlier value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LostTable {
    /// The file.
    pub file: PathBuf,
    /// What it holds.
    pub holds: String,
    /// How many; absent: the file does not say any more how many it had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
}

/// Copies what can be read of the store `from` to a new store at `to`. Blocks.
///
/// # Errors
/// [`OpenError`]: a process has the store open, there is something at `to`, the disk does not answer.
pub fn salvage(from: &Path, to: &Path) -> Result<SalvageReport, OpenError> {
    let unusable = disk::unusable(from);
    disk::exists(from)?;
    let _lock = disk::lock(from)?;
    let (_, survey) = look(from).map_err(unusable)?;
    let (mut report, examined) = files::whole(to, |part| {
        let mut wreck = Wreck::read(from, survey)?;
        let mut target = Target::create(part)?;
        for space in [Space::State, Space::Items, Space::Log, Space::Queue] {
            wreck.copy(space, part, &mut target)?;
        }
        let nameless = target.nameless;
        target.finish(wreck.batch)?;
        let examined = examine(part)?;
        let report = SalvageReport {
            damage: wreck.survey.damage,
            lost: wreck.lost,
            lost_groups: wreck.lost_groups,
            nameless,
            missing: Vec::new(),
            content: StoreCounts::default(),
        };
        Ok((report, examined))
    })?;
    report.missing.extend(examined.damage.iter().map(|damage| format!("{}: {}", damage.holds, damage.found)));
    report.content = examined.content.unwrap_or_default();
    Ok(report)
}

/// A store that is read in parts.
struct Wreck<'a> {
    root: &'a Path,
    survey: Survey,
    /// Entries of the journals, by keyspace.
    journals: BTreeMap<u64, JournalEntries>,
    /// The number of the last batch that was ever written.
    batch: u64,
    lost: Vec<LostTable>,
    lost_groups: u64,
}

impl<'a> Wreck<'a> {
    /// Reads the journals.
    fn read(root: &'a Path, survey: Survey) -> std::io::Result<Self> {
        let promised = match survey.mark {
            FoundMark::Mark(mark) => mark.batch,
            FoundMark::Absent | FoundMark::Damaged => 0,
        };
        let journals = BTreeMap::new();
        let mut wreck = Wreck { root, survey, journals, batch: 0, lost: Vec::new(), lost_groups: 0 };
        for file in wreck.survey.journals.clone() {
            let bytes = journal::read(&root.join(file))?;
            let mut at = 0;
            while let Some((begin, batch)) = next(&bytes, at) {
                // Without a number before or behind it, what is left out is one at least.
                let lost = match batch.number().filter(|_| wreck.batch > 0) {
                    Some(number) => number.saturating_sub(wreck.batch + 1),
                    None => u64::from(begin > at),
                };
                wreck.lost_groups += lost;
                wreck.batch = wreck.batch.max(batch.number().unwrap_or_default());
                at = batch.end;
                wreck.take(&batch);
            }
        }
        if wreck.batch > 0 {
            wreck.lost_groups += promised.saturating_sub(wreck.batch);
        }
        wreck.batch = wreck.batch.max(promised);
        Ok(wreck)
    }

    fn take(&mut self, batch: &JournalBatch<'_>) {
        for entry in &batch.entries {
            let entries = self.journals.entry(entry.keyspace).or_default();
            let newer = entries.get(entry.key).is_none_or(|(seqno, _)| *seqno <= batch.seqno);
            if newer {
                entries.insert(entry.key.to_vec(), (batch.seqno, entry.value.map(<[u8]>::to_vec)));
            }
        }
    }

    /// The tables of a keyspace: those of its list, or all, if the list cannot be read.
    fn tables(&self, id: u64) -> std::io::Result<Vec<TableFile>> {
        if let Some(tree) = self.survey.trees.iter().find(|tree| tree.id == id) {
            return Ok(tree.tables.clone());
        }
        let folder = Path::new(DATABASE).join("keyspaces").join(id.to_string()).join("tables");
        let mut tables = Vec::new();
        if self.root.join(&folder).exists() {
            for entry in std::fs::read_dir(self.root.join(&folder))? {
                tables.push(TableFile { file: folder.join(entry?.file_name()), checksum: 0, seqno: 0 });
            }
        }
        Ok(tables)
    }

    fn merge(&mut self, id: u64, part: &Path) -> std::io::Result<(Vec<TableFile>, Merge)> {
        let tables: Vec<_> =
            self.tables(id)?.into_iter().filter(|table| self.root.join(&table.file).exists()).collect();
        let open = |table: &TableFile| WholeBlocks::open(&self.root.join(&table.file), table.seqno, part);
        let blocks = tables.iter().map(open).collect::<std::io::Result<_>>()?;
        Ok((tables, Merge::new(blocks, self.journals.remove(&id).unwrap_or_default())?))
    }

    /// Copies a space.
    fn copy(&mut self, space: Space, part: &Path, target: &mut Target) -> std::io::Result<()> {
        let id = trees::keyspace(space);
        let (tables, mut merge) = self.merge(id, part)?;
        while let Some((key, value)) = merge.next()? {
            target.put(space, key, value)?;
        }
        for (table, (written, read)) in tables.into_iter().zip(merge.counts()) {
            if written != Some(read) {
                let entries = written.map(|written| written.saturating_sub(read));
                self.lost.push(LostTable { file: table.file, holds: trees::holds(id).to_owned(), entries });
            }
        }
        Ok(())
    }
}

/// The next whole batch, and where it begins.
fn next(journal: &[u8], from: usize) -> Option<(usize, JournalBatch<'_>)> {
    match journal::batch(journal, from) {
        Some(batch) => Some((from, batch)),
        None => journal::next_whole(journal, from),
    }
}
