//! The journals of the database, read without changing them. The database itself cuts a journal off at the first bytes that it does not
//! understand, whether they are the rest of a write that a crash interrupted or a batch with a flipped bit; so they are
//! read here before it opens them.
//!
//! Layout of fjall 3: a start (tag 1, number of entries, sequence number), entries (tag 2), an end (tag 3, xxh3 of the entries,
//! a magic word). A new journal is 64 MiB of zeros, which the batches overwrite.

use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

const START: u8 = 1;
const ENTRY: u8 = 2;
const END: u8 = 3;
const MAGIC: &[u8] = b"FJL\x03";
/// Key of the record in which each batch has its number, see [`crate::transaction`]. No key of another space is as short.
const NUMBERS: &[u8] = b"n";
/// What follows the last batch of a journal. Compared in pieces, since it may be 64 MiB.
const ZEROS: [u8; 4096] = [0; 4096];

/// Reads a journal, without the zeros at its end: memory in proportion to what was written. What was never written takes no space in
/// the file, and no time here.
pub(crate) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut written = Vec::new();
    // Room for all of it is reserved, and only what is written takes memory. A vector that grows would be copied, and be twice as large.
    let room = usize::try_from(file.metadata()?.len()).unwrap_or_default();
    // If there is no room, it grows with what is written.
    let _ = written.try_reserve_exact(room);
    let (mut piece, mut at) = (vec![0; 1 << 20], 0);
    loop {
        let len = file.read_at(&mut piece, at)?;
        let read = piece.get(..len).unwrap_or_default();
        if len == 0 {
            return Ok(written);
        }
        let next = at + len as u64;
        if !is_zeros(read) {
            written.resize(usize::try_from(at).unwrap_or(usize::MAX), 0);
            written.extend_from_slice(read);
            at = next;
            continue;
        }
        match rustix::fs::seek(&file, SeekFrom::Data(next)) {
            Ok(data) => at = data,
            Err(Errno::NXIO) => return Ok(written),
            // A file system that does not know: all of it is read.
            Err(_) => at = next,
        }
    }
}

fn is_zeros(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROS.len()).all(|piece| ZEROS.starts_with(piece))
}

/// An entry of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JournalEntry<'a> {
    /// Number of its keyspace.
    pub keyspace: u64,
    /// The key.
    pub key: &'a [u8],
    /// The value; `None`: the key was deleted.
    pub value: Option<&'a [u8]>,
}

/// A batch that is whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct JournalBatch<'a> {
    /// Its sequence number in the database.
    pub seqno: u64,
    /// Its entries.
    pub entries: Vec<JournalEntry<'a>>,
    /// Offset of the byte after it.
    pub end: usize,
}

impl JournalBatch<'_> {
    /// The number that the store gave it; `None`: one of format 1.
    pub(crate) fn number(&self) -> Option<u64> {
        let value = self.entries.iter().find(|entry| entry.key == NUMBERS)?.value?;
        let number = value.get(16..)?.first_chunk::<8>()?;
        Some(u64::from_be_bytes(*number))
    }
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn number<const N: usize>(&mut self) -> Option<u64> {
        let mut bytes = [0; 8];
        bytes.get_mut(..N)?.copy_from_slice(self.take(N)?);
        Some(u64::from_le_bytes(bytes))
    }

    fn is(&mut self, byte: u8) -> Option<()> {
        (self.take(1)? == [byte]).then_some(())
    }
}

/// The batch at `at`; `None`: there is none, or it is not whole.
pub(crate) fn batch(journal: &[u8], at: usize) -> Option<JournalBatch<'_>> {
    let mut bytes = Bytes(journal.get(at..)?);
    bytes.is(START)?;
    let count = bytes.number::<4>()?;
    let seqno = bytes.number::<8>()?;
    let before = bytes.0;
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(entry(&mut bytes)?);
    }
    let content = before.get(..before.len() - bytes.0.len())?;
    bytes.is(END)?;
    let checksum = bytes.number::<8>()?;
    let whole = bytes.take(MAGIC.len())? == MAGIC && checksum == xxh3_64(content) && !entries.is_empty();
    whole.then(|| JournalBatch { seqno, entries, end: journal.len() - bytes.0.len() })
}

fn entry<'a>(bytes: &mut Bytes<'a>) -> Option<JournalEntry<'a>> {
    bytes.is(ENTRY)?;
    let deleted = match bytes.take(1)? {
        [0] => false,
        [1] => true,
        _ => return None,
    };
    // Not compressed.
    bytes.is(0)?;
    let keyspace = bytes.number::<8>()?;
    let (key, value, stored) = (bytes.number::<2>()?, bytes.number::<4>()?, bytes.number::<4>()?);
    if value != stored {
        return None;
    }
    let (key, value) = (bytes.take(key as usize)?, bytes.take(value as usize)?);
    Some(JournalEntry { keyspace, key, value: (!deleted).then_some(value) })
}

/// What a journal holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct JournalScan {
    /// Offset of the byte after the last batch.
    pub end: usize,
    /// Batches.
    pub batches: u64,
    /// Number of the last batch that has one.
    pub last: Option<u64>,
    /// Sequence number of the last batch.
    pub seqno: Option<u64>,
    /// A sequence number or a batch number that does not follow the one before: the offset of its batch.
    pub disorder: Option<usize>,
    /// Something other than zeros follows the last batch.
    pub broken: bool,
}

/// Reads a journal up to the first bytes that are no batch; `before` is the scan of the journal before it.
pub(crate) fn scan(journal: &[u8], before: &JournalScan) -> JournalScan {
    let mut scan = JournalScan { last: before.last, seqno: before.seqno, ..JournalScan::default() };
    while let Some(batch) = batch(journal, scan.end) {
        let number = batch.number();
        let follows = scan.seqno.is_none_or(|seqno| batch.seqno > seqno)
            && scan.last.zip(number).is_none_or(|(last, number)| number == last.wrapping_add(1));
        if !follows && scan.disorder.is_none() {
            scan.disorder = Some(scan.end);
        }
        (scan.last, scan.seqno) = (number.or(scan.last), Some(batch.seqno));
        scan.batches += 1;
        scan.end = batch.end;
    }
    scan.broken = !is_zeros(journal.get(scan.end..).unwrap_or_default());
    scan
}

/// The next batch that is whole after `from`, wherever it begins: its offset and itself.
pub(crate) fn next_whole(journal: &[u8], from: usize) -> Option<(usize, JournalBatch<'_>)> {
    let starts = journal.iter().enumerate().skip(from).filter(|(_, byte)| **byte == START);
    starts.map(|(at, _)| at).find_map(|at| batch(journal, at).map(|batch| (at, batch)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_written_is_zeros_and_left_out_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.jnl");
        let file = File::create(&path).unwrap();
        for (at, end) in [(0, 1), (5, 4 << 20), (3 << 20, 3 << 20), (9 << 20, 64 << 20)] {
            file.write_all_at(b"written", at).unwrap();
            let length = file.metadata().unwrap().len().max(end);
            file.set_len(length).unwrap();
            let mut whole = std::fs::read(&path).unwrap();
            whole.truncate(whole.iter().rposition(|byte| *byte != 0).unwrap() + 1);
            let read = read(&path).unwrap();
            assert!(read.starts_with(&whole) && is_zeros(&read[whole.len()..]), "{at}");
            assert!(read.len() <= whole.len() + (1 << 20), "{at}");
        }
        std::fs::write(&path, []).unwrap();
        assert!(read(&path).unwrap().is_empty());
    }
}
