//! Looks through the files of a store before the database opens them, and changes none of them: lists and journals always, all
//! tables on request. The database would cut damaged journals off, and does not check its lists.

use super::DATABASE;
use super::journal::{self, JournalScan};
use super::mark::{FoundMark, MARK, Mark};
use super::trees::{self, TreeFiles};
use crate::damage::Damage;
use std::path::{Path, PathBuf};

/// The whole file `version` of the database.
const VERSION: &[u8] = b"FJL\x03";
/// What journals hold.
const JOURNAL: &str = "the last commits";

/// What was found.
#[derive(Debug)]
pub(crate) struct Survey {
    /// The damage.
    pub damage: Vec<Damage>,
    /// Files that are left over, and writes that a crash interrupted.
    pub notes: Vec<String>,
    /// The mark of the last sync.
    pub mark: FoundMark,
    /// The journal with an interrupted write at its end, and where that begins.
    pub torn: Option<(PathBuf, u64)>,
    /// The database is in the making: nothing was ever stored in it.
    pub unborn: bool,
    /// The trees whose lists could be read.
    pub trees: Vec<TreeFiles>,
    /// The journals, the oldest first.
    pub journals: Vec<PathBuf>,
}

/// Looks through the store at `root`.
pub(crate) fn survey(root: &Path) -> std::io::Result<Survey> {
    let mark = Mark::read(root)?;
    let mut survey = Survey {
        damage: Vec::new(),
        notes: Vec::new(),
        mark,
        torn: None,
        unborn: false,
        trees: Vec::new(),
        journals: Vec::new(),
    };
    let db = Path::new(DATABASE);
    let version = std::fs::read(root.join(db).join("version")).ok();
    if unborn(root, db, mark)? {
        survey.unborn = true;
        return Ok(survey);
    }
    if version.as_deref() != Some(VERSION) {
        let found = "it is missing, or not what the database writes there";
        survey.damage.push(Damage::new(&db.join("version"), "the version of the database", found));
    }
    if mark == FoundMark::Damaged {
        let found = "it does not fit its checksum";
        let remedy = "if `esclusa store check` finds nothing else, delete it: the store makes a new one";
        survey.damage.push(Damage::new(Path::new(MARK), "which commits were made durable", found).remedy(remedy));
    }
    survey.trees(root, db)?;
    survey.journals(root, db)?;
    Ok(survey)
}

impl Survey {
    fn trees(&mut self, root: &Path, db: &Path) -> std::io::Result<()> {
        let ids = trees::ids(root, db)?;
        // One of the names, and one for each space.
        if ids.len() < 5 {
            let found = format!("only {} of 5 directories are there", ids.len());
            self.damage.push(Damage::new(&db.join("keyspaces"), "everything but the last commits", found));
        }
        for id in ids {
            let path = db.join("keyspaces").join(id.to_string());
            // A keyspace in the making; the database makes it again.
            if !root.join(&path).join("current").exists()
                && std::fs::read_dir(root.join(&path).join("tables")).map_or(true, |mut files| files.next().is_none())
            {
                continue;
            }
            match trees::read(root, db, id) {
                Ok(tree) => {
                    self.missing(root, &tree);
                    for stray in trees::strays(root, &tree)? {
                        self.notes
                            .push(format!("{} is left over; the store deletes it when it is opened", stray.display()));
                    }
                    self.trees.push(tree);
                }
                Err(damage) => self.damage.push(damage),
            }
        }
        Ok(())
    }

    fn missing(&mut self, root: &Path, tree: &TreeFiles) {
        let missing = tree.tables.iter().filter(|table| !root.join(&table.file).exists());
        self.damage.extend(missing.map(|table| Damage::new(&table.file, trees::holds(tree.id), "it is missing")));
    }

    /// Compares every table with its checksum.
    pub(crate) fn tables(&mut self, root: &Path) {
        for tree in &self.trees {
            let tables = tree.tables.iter().filter(|table| root.join(&table.file).exists());
            self.damage.extend(tables.filter_map(|table| trees::check_table(root, tree.id, table)));
        }
    }

    fn journals(&mut self, root: &Path, db: &Path) -> std::io::Result<()> {
        self.journals = list(root, db)?;
        let mut last = JournalScan::default();
        for (i, file) in self.journals.iter().enumerate() {
            let scan = journal::scan_file(&root.join(file), &last)?;
            if let Some(at) = scan.disorder {
                let found = format!("the numbers of the commit at byte {at} do not follow those of the commit before");
                self.damage.push(Damage::new(file, JOURNAL, found));
            } else if scan.broken
                && (i + 1 < self.journals.len() || !torn(&journal::read(&root.join(file))?, &scan, self.mark.usable()))
            {
                let found = format!("the commit at byte {} is damaged, and it was durable", scan.end);
                self.damage.push(Damage::new(file, JOURNAL, found));
            } else if scan.broken {
                self.torn = Some((file.clone(), scan.end as u64));
                self.notes.push(format!(
                    "{}: a write was interrupted at byte {}; nobody was promised its content, and the store leaves it out when it is opened",
                    file.display(),
                    scan.end
                ));
            }
            last = scan;
        }
        if self.damage.is_empty() {
            self.ends(&last, db);
        }
        Ok(())
    }

    /// Compares the end of the last journal with the mark.
    fn ends(&mut self, last: &JournalScan, db: &Path) {
        let Some(mark) = self.mark.usable() else { return };
        let file = self.journals.last().cloned().unwrap_or_else(|| db.join("0.jnl"));
        let found = match last.last {
            _ if self.journals.is_empty() => "there is no journal".to_owned(),
            Some(number) if number < mark.batch => {
                format!("it ends with commit group {number}, but group {} was durable", mark.batch)
            }
            Some(number) if number == mark.batch && last.seqno.is_some_and(|seqno| seqno >= mark.seqno) => {
                "the number of its last commit is too large".to_owned()
            }
            _ => return,
        };
        self.damage.push(Damage::new(&file, JOURNAL, found));
    }
}

/// True if nothing was ever stored in a database: it has no table but those with the names of its keyspaces, and no commit. Making it
/// again also keeps the numbers of its keyspaces as they always are.
fn unborn(root: &Path, db: &Path, mark: FoundMark) -> std::io::Result<bool> {
    if mark.usable().map_or(mark == FoundMark::Damaged, |mark| mark.batch > 0) {
        return Ok(false);
    }
    for id in trees::ids(root, db)?.into_iter().filter(|id| *id != 0) {
        let tables = std::fs::read_dir(root.join(db).join("keyspaces").join(id.to_string()).join("tables"));
        if tables.is_ok_and(|mut tables| tables.next().is_some()) {
            return Ok(false);
        }
    }
    // Last, since they are large.
    for journal in list(root, db)? {
        if journal::scan_file(&root.join(journal), &JournalScan::default())?.end > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// True if the bytes after the last whole batch of the last journal are a write that was interrupted: one that was never synced.
fn torn(journal: &[u8], scan: &JournalScan, mark: Option<Mark>) -> bool {
    match (scan.last, mark) {
        (_, Some(mark)) if mark.closed => false,
        (Some(last), Some(mark)) => last >= mark.batch,
        // The journal begins with it. A later batch that was synced proves that this one was, too. If there is none, the numbers in
        // the trees tell, once the database is open.
        (_, mark) => match (journal::next_whole(journal, scan.end + 1), mark) {
            (None, _) => true,
            (Some((_, later)), Some(mark)) => later.number().is_some_and(|number| number > mark.batch),
            (Some(_), None) => false,
        },
    }
}

/// The journals of the store at `root`, the oldest first.
pub(crate) fn journals(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    list(root, Path::new(DATABASE))
}

fn list(root: &Path, db: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut numbers = Vec::new();
    if root.join(db).exists() {
        for entry in std::fs::read_dir(root.join(db))? {
            let name = entry?.file_name();
            numbers.extend(name.to_str().and_then(|name| name.strip_suffix(".jnl")?.parse::<u64>().ok()));
        }
    }
    numbers.sort_unstable();
    Ok(numbers.into_iter().map(|number| db.join(format!("{number}.jnl"))).collect())
}
