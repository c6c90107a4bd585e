//! The mark: a small file that says which batch was synced last, and whether the store was closed. It tells a batch that was
//! being written when the power failed, which nobody was promised, from one that was promised and is damaged.
//!
//! It is written after each sync and not synced itself: after a power failure it may be older than the truth, never newer.

use super::sync_directory;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// Name of the file.
pub(crate) const MARK: &str = "synced";

/// What the file says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Number of the last batch that was synced.
    pub batch: u64,
    /// All sequence numbers of the database up to that batch are below this.
    pub seqno: u64,
    /// The store was closed after that batch: the journals end with it.
    pub closed: bool,
}

/// What was found of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FoundMark {
    /// No file.
    Absent,
    /// The mark.
    Mark(Mark),
    /// A file that is no mark.
    Damaged,
}

impl FoundMark {
    /// The mark, if it can be used.
    pub(crate) fn usable(self) -> Option<Mark> {
        match self {
            FoundMark::Mark(mark) => Some(mark),
            FoundMark::Absent | FoundMark::Damaged => None,
        }
    }
}

impl Mark {
    fn text(self) -> String {
        let state = if self.closed { "closed" } else { "in use" };
        let line = format!("batch {:020} below {:020} {state}", self.batch, self.seqno);
        format!("{line} {:016x}\n", xxh3_64(line.as_bytes()))
    }

    /// Reads the mark of the store at `path`.
    pub(crate) fn read(path: &Path) -> std::io::Result<FoundMark> {
        let bytes = match std::fs::read(path.join(MARK)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(FoundMark::Absent),
            Err(error) => return Err(error),
        };
        let mark = std::str::from_utf8(&bytes).ok().and_then(|found| {
            let mut words = found.split(' ');
            let batch = words.by_ref().nth(1)?.parse().ok()?;
            let seqno = words.by_ref().nth(1)?.parse().ok()?;
            let mark = Mark { batch, seqno, closed: words.next() == Some("closed") };
            (found == mark.text()).then_some(mark)
        });
        Ok(mark.map_or(FoundMark::Damaged, FoundMark::Mark))
    }
}

/// The open file.
#[derive(Debug)]
pub(crate) struct MarkFile(File);

impl MarkFile {
    /// Opens or creates it, and makes `mark` durable: a store that is in use must not look closed after a crash.
    pub(crate) fn open(path: &Path, mark: Mark) -> std::io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path.join(MARK))?;
        let file = MarkFile(file);
        file.0.set_len(mark.text().len() as u64)?;
        file.write(mark)?;
        file.sync()?;
        sync_directory(path)?;
        Ok(file)
    }

    /// Overwrites it.
    pub(crate) fn write(&self, mark: Mark) -> std::io::Result<()> {
        self.0.write_all_at(mark.text().as_bytes(), 0)
    }

    /// Makes it durable.
    pub(crate) fn sync(&self) -> std::io::Result<()> {
        self.0.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_back_and_a_flipped_bit_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Mark::read(directory.path()).unwrap(), FoundMark::Absent);
        let mark = Mark { batch: 12, seqno: u64::MAX, closed: true };
        let open = Mark { closed: false, ..mark };
        let file = MarkFile::open(directory.path(), mark).unwrap();
        assert_eq!(Mark::read(directory.path()).unwrap(), FoundMark::Mark(mark));
        file.write(open).unwrap();
        assert_eq!(Mark::read(directory.path()).unwrap(), FoundMark::Mark(open));
        let path = directory.path().join(MARK);
        let good = std::fs::read(&path).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, bad).unwrap();
            assert_eq!(Mark::read(directory.path()).unwrap(), FoundMark::Damaged, "bit {bit}");
        }
    }
}
