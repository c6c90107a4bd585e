//! Reads what is whole of a table of the database: block by block, without the table's own index, so that one flipped bit costs one block.
//!
//! Layout of lsm-tree 3: blocks, each with a header that has a checksum of its own and one of the data; then a table of contents.

use lsm_tree::coding::Decode;
use lsm_tree::table::block::{BlockType, Header};
use lsm_tree::table::{Block, DataBlock, Scanner};
use lsm_tree::{CompressionType, InternalValue, SeqNo};
use std::io::Write;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_128;

const MAGIC: &[u8] = b"LSM\x03";

/// The entries of the whole blocks of a table, in the order of their keys.
pub(crate) struct WholeBlocks {
    scanner: Option<Scanner>,
    /// Entries that were written; `None`: the block that says so is damaged.
    pub written: Option<u64>,
    /// Keeps the copy of the blocks that the scanner reads.
    _copy: tempfile::NamedTempFile,
}

impl WholeBlocks {
    /// Reads the table `file`; `seqno` is added to the sequence numbers of its entries. The whole blocks are copied to `folder`.
    pub(crate) fn open(file: &Path, seqno: SeqNo, folder: &Path) -> std::io::Result<Self> {
        let table = std::fs::read(file)?;
        let mut copy = tempfile::NamedTempFile::new_in(folder)?;
        let (mut blocks, mut written, mut at) = (0, None, 0);
        while let Some(found) =
            table.get(at..).and_then(|rest| rest.windows(MAGIC.len()).position(|word| word == MAGIC))
        {
            at += found;
            let Some((header, data, end)) = block(&table, at) else {
                at += 1;
                continue;
            };
            if xxh3_128(data) == header.checksum.into_u128() {
                match header.block_type {
                    BlockType::Data => {
                        copy.write_all(table.get(at..end).unwrap_or_default())?;
                        blocks += 1;
                    }
                    BlockType::Meta => written = count(header, data),
                    BlockType::Index | BlockType::Filter => {}
                }
            }
            at = end;
        }
        copy.flush()?;
        let scanner = match blocks {
            0 => None,
            _ => {
                let scanner = Scanner::new(copy.path(), blocks, CompressionType::None, seqno);
                Some(scanner.map_err(|e| std::io::Error::other(e.to_string()))?)
            }
        };
        Ok(WholeBlocks { scanner, written, _copy: copy })
    }
}

impl Iterator for WholeBlocks {
    type Item = std::io::Result<InternalValue>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.scanner.as_mut()?.next()?;
        Some(next.map_err(|e| std::io::Error::other(e.to_string())))
    }
}

/// The header of the block at `at`, its data, and where it ends.
fn block(table: &[u8], at: usize) -> Option<(Header, &[u8], usize)> {
    let header = Header::decode_from(&mut table.get(at..)?).ok()?;
    let begin = at + Header::serialized_len();
    let end = begin + header.data_length as usize;
    Some((header, table.get(begin..end)?, end))
}

/// The number of entries that the block about the table has.
fn count(header: Header, data: &[u8]) -> Option<u64> {
    let block = DataBlock::new(Block { header, data: data.into() });
    let count = block.point_read(b"item_count", SeqNo::MAX)?;
    Some(u64::from_le_bytes(*count.value.first_chunk::<8>()?))
}
