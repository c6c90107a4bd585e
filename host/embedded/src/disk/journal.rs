//! The journals of the database, read without changing them. The database itself cuts a journal off at the first bytes that it does not
//! understand, whether they are the rest of a write that a crash interrupted or a batch with a flipped bit; so they are
//! read here before it opens them.
//!
//! Layout of fjall 3: a start (tag 1, number of entries, sequence number), entries (tag 2), an end (tag 3, xxh3 of the entries,
//! a magic word). A new journal is 64 MiB of zeros, which the batches overwrite.

use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

const START: u8 = 1;
const ENTRY: u8 = 2;
const END: u8 = 3;
const MAGIC: &[u8] = b"FJL\x03";
/// Key of the record in which each batch has its number, see [`crate::transaction`]. No key of another space is as short.
const NUMBERS: &[u8] = b"n";
/// Bytes of a journal that are read at a time.
const PIECE: usize = 1 << 20;
/// Most entries of a batch for which room is made before they are read.
const ROOM: usize = 1 << 10;
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
    let (mut piece, mut at) = (vec![0; PIECE], 0);
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
        match next_data(&file, next) {
            Some(data) => at = data,
            None => return Ok(written),
        }
    }
}

/// Where a file goes on after `at` with something that was written; `None`: nowhere.
fn next_data(file: &File, at: u64) -> Option<u64> {
    match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(data) => Some(data),
        Err(Errno::NXIO) => None,
        // A file system that does not know: all of it is read.
        Err(_) => Some(at),
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

/// Why bytes are no batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoBatch {
    /// They end too soon: more of them may make one.
    Short,
    /// Whatever follows them.
    Wrong,
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], NoBatch> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(NoBatch::Short)?;
        self.0 = rest;
        Ok(head)
    }

    fn number<const N: usize>(&mut self) -> Result<u64, NoBatch> {
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(self.take(N)?).for_each(|(to, from)| *to = *from);
        Ok(u64::from_le_bytes(bytes))
    }

    fn is(&mut self, byte: u8) -> Result<(), NoBatch> {
        if self.take(1)? == [byte] { Ok(()) } else { Err(NoBatch::Wrong) }
    }
}

/// The batch at `at`; `None`: there is none, or it is not whole.
pub(crate) fn batch(journal: &[u8], at: usize) -> Option<JournalBatch<'_>> {
    read_batch(journal, at).ok()
}

fn read_batch(journal: &[u8], at: usize) -> Result<JournalBatch<'_>, NoBatch> {
    let mut bytes = Bytes(journal.get(at..).ok_or(NoBatch::Short)?);
    bytes.is(START)?;
    let count = bytes.number::<4>()?;
    let seqno = bytes.number::<8>()?;
    let before = bytes.0;
    // A count with a flipped bit must not take memory.
    let mut entries = Vec::with_capacity((count as usize).min(ROOM));
    for _ in 0..count {
        entries.push(entry(&mut bytes)?);
    }
    let content = before.get(..before.len() - bytes.0.len()).ok_or(NoBatch::Short)?;
    bytes.is(END)?;
    let checksum = bytes.number::<8>()?;
    let whole = bytes.take(MAGIC.len())? == MAGIC && checksum == xxh3_64(content) && !entries.is_empty();
    if whole { Ok(JournalBatch { seqno, entries, end: journal.len() - bytes.0.len() }) } else { Err(NoBatch::Wrong) }
}

fn entry<'a>(bytes: &mut Bytes<'a>) -> Result<JournalEntry<'a>, NoBatch> {
    bytes.is(ENTRY)?;
    let deleted = match bytes.take(1)? {
        [0] => false,
        [1] => true,
        _ => return Err(NoBatch::Wrong),
    };
    // Not compressed.
    bytes.is(0)?;
    let keyspace = bytes.number::<8>()?;
    let (key, value, stored) = (bytes.number::<2>()?, bytes.number::<4>()?, bytes.number::<4>()?);
    if value != stored {
        return Err(NoBatch::Wrong);
    }
    let (key, value) = (bytes.take(key as usize)?, bytes.take(value as usize)?);
    Ok(JournalEntry { keyspace, key, value: (!deleted).then_some(value) })
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

impl JournalScan {
    /// A scan that has not begun; `before` is the scan of the journal before it.
    fn after(before: &JournalScan) -> Self {
        JournalScan { last: before.last, seqno: before.seqno, ..JournalScan::default() }
    }

    /// Notes the batches in `bytes`, which begin at `self.end` of the journal; gives how many bytes they are, and why what follows is none.
    fn note(&mut self, bytes: &[u8]) -> (usize, NoBatch) {
        let mut passed = 0;
        loop {
            let batch = match read_batch(bytes, passed) {
                Ok(batch) => batch,
                Err(why) => return (passed, why),
            };
            let number = batch.number();
            let follows = self.seqno.is_none_or(|seqno| batch.seqno > seqno)
                && self.last.zip(number).is_none_or(|(last, number)| number == last.wrapping_add(1));
            if !follows && self.disorder.is_none() {
                self.disorder = Some(self.end);
            }
            (self.last, self.seqno) = (number.or(self.last), Some(batch.seqno));
            self.batches += 1;
            self.end += batch.end - passed;
            passed = batch.end;
        }
    }
}

/// Reads a journal up to the first bytes that are no batch; `before` is the scan of the journal before it.
pub(crate) fn scan(journal: &[u8], before: &JournalScan) -> JournalScan {
    let mut scan = JournalScan::after(before);
    let (passed, _) = scan.note(journal);
    scan.broken = !is_zeros(journal.get(passed..).unwrap_or_default());
    scan
}

/// The same of a file, of which only pieces are in memory: every start of the store reads all of its journals.
pub(crate) fn scan_file(path: &Path, before: &JournalScan) -> std::io::Result<JournalScan> {
    scan_pieces(path, before, PIECE)
}

fn scan_pieces(path: &Path, before: &JournalScan, piece: usize) -> std::io::Result<JournalScan> {
    let (mut file, mut scan) = (File::open(path)?, JournalScan::after(before));
    let mut bytes = Vec::with_capacity(2 * piece);
    loop {
        // A batch that is larger than a piece is looked at again with twice as much of it.
        let more = piece.max(bytes.len()) as u64;
        let read = (&mut file).take(more).read_to_end(&mut bytes)?;
        let (passed, why) = scan.note(&bytes);
        bytes.drain(..passed);
        if read == 0 || why == NoBatch::Wrong {
            break;
        }
    }
    scan.broken = !is_zeros(&bytes) || !rest_is_zeros(&file, (scan.end + bytes.len()) as u64)?;
    Ok(scan)
}

/// True if only zeros follow in a file from `at` on. What was never written costs no time.
fn rest_is_zeros(file: &File, mut at: u64) -> std::io::Result<bool> {
    let mut piece = vec![0; PIECE];
    while let Some(data) = next_data(file, at) {
        let len = file.read_at(&mut piece, data)?;
        if len == 0 {
            break;
        }
        if !is_zeros(piece.get(..len).unwrap_or_default()) {
            return Ok(false);
        }
        at = data + len as u64;
    }
    Ok(true)
}

/// The next batch that is whole after `from`, wherever it begins: its offset and itself.
pub(crate) fn next_whole(journal: &[u8], from: usize) -> Option<(usize, JournalBatch<'_>)> {
    let starts = journal.iter().enumerate().skip(from).filter(|(_, byte)| **byte == START);
    starts.map(|(at, _)| at).find_map(|at| batch(journal, at).map(|batch| (at, batch)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(seqno: u64, number: u64, value: usize) -> Vec<u8> {
        let mut numbers = [0; 24];
        numbers[16..].copy_from_slice(&number.to_be_bytes());
        let mut content = Vec::new();
        for (key, value) in [(NUMBERS, &numbers[..]), (b"key", &vec![7; value])] {
            content.extend([ENTRY, 0, 0]);
            content.extend(1_u64.to_le_bytes());
            content.extend((key.len() as u16).to_le_bytes());
            content.extend([(value.len() as u32).to_le_bytes(); 2].as_flattened());
            content.extend([key, value].concat());
        }
        let mut bytes = vec![START];
        bytes.extend(2_u32.to_le_bytes());
        bytes.extend(seqno.to_le_bytes());
        bytes.extend(&content);
        bytes.push(END);
        bytes.extend(xxh3_64(&content).to_le_bytes());
        bytes.extend(MAGIC);
        bytes
    }

    #[test]
    fn a_scan_in_pieces_finds_what_a_scan_of_the_whole_finds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.jnl");
        let sizes = [0, 3, 900, 70_000, 1, 20];
        let batches: Vec<_> = sizes.iter().zip(1..).map(|(size, n)| encoded(n, n, *size)).collect();
        let whole = batches.concat();
        let zeros = |mut bytes: Vec<u8>, count: usize| {
            bytes.resize(bytes.len() + count, 0);
            bytes
        };
        let mut flipped = whole.clone();
        flipped[batches[..4].concat().len() + 40] ^= 4;
        let swapped = [&batches[0][..], &batches[2], &batches[1], &batches[3]].concat();
        let journals = [
            vec![],
            zeros(vec![], 100_000),
            whole.clone(),
            zeros(whole.clone(), 3_000_000),
            zeros(whole[..whole.len() - 1].to_vec(), 5_000),
            zeros(flipped, 5_000),
            swapped,
            [zeros(whole.clone(), 2_000_000), batches[0].clone()].concat(),
            [&[0][..], &whole].concat(),
        ];
        let before = JournalScan { last: Some(0), seqno: Some(0), ..JournalScan::default() };
        let mut found = Vec::new();
        for (case, journal) in journals.iter().enumerate() {
            std::fs::write(&path, journal).unwrap();
            let expected = scan(journal, &before);
            for piece in [1, 7, 1_000, PIECE] {
                assert_eq!(scan_pieces(&path, &before, piece).unwrap(), expected, "journal {case}, pieces of {piece}");
            }
            found.push((expected.batches, expected.broken, expected.disorder.is_some()));
        }
        let (ok, torn, disorder) = (|n| (n, false, false), |n| (n, true, false), |n| (n, false, true));
        assert_eq!(found, [ok(0), ok(0), ok(6), ok(6), torn(5), torn(4), disorder(4), torn(6), torn(0)]);
    }

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
