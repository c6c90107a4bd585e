//! The trees of the database, checked without opening them: each has a file `current` with the number and the checksum of a
//! version file, and that has the checksums of the tables. The database itself checks blocks of tables when it reads them, and
//! neither of the other two.
//!
//! Layout of lsm-tree 3.

use crate::damage::Damage;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// A table of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableFile {
    /// Its file, in the directory of the store.
    pub file: PathBuf,
    /// Checksum of the whole file.
    pub checksum: u128,
    /// Added to the sequence numbers of its entries.
    pub seqno: u64,
}

/// A tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TreeFiles {
    /// Number of the keyspace.
    pub id: u64,
    /// Its directory, in the directory of the store.
    pub path: PathBuf,
    /// Its version file, in the directory of the store.
    pub version: PathBuf,
    /// Its tables.
    pub tables: Vec<TableFile>,
}

/// The keyspaces of a database whose directory is `db` in the directory of the store.
pub(crate) fn ids(root: &Path, db: &Path) -> std::io::Result<Vec<u64>> {
    let mut ids = Vec::new();
    let folder = root.join(db).join("keyspaces");
    if !folder.exists() {
        return Ok(ids);
    }
    for entry in std::fs::read_dir(folder)? {
        ids.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// The number of a keyspace: they are given in the order in which [`super::database`] makes the keyspaces.
pub(crate) fn keyspace(space: super::Space) -> u64 {
    match space {
        super::Space::State => 1,
        super::Space::Items => 2,
        super::Space::Log => 3,
        super::Space::Queue => 4,
    }
}

/// What a keyspace holds, in words.
pub(crate) fn holds(id: u64) -> &'static str {
    match id {
        0 => "the names of the keyspaces",
        1 => "positions, counts, names, dead letters, outboxes and kept answers",
        2 => "items of tables and their index entries",
        3 => "records of streams and change feeds",
        4 => "messages of queues",
        _ => "unknown",
    }
}

/// Reads which tables a tree has.
pub(crate) fn read(root: &Path, db: &Path, id: u64) -> Result<TreeFiles, Damage> {
    let path = db.join("keyspaces").join(id.to_string());
    let current = path.join("current");
    let wrong =
        |file: &Path, found: String| Damage::new(file, &format!("the list of the files with {}", holds(id)), found);
    let content = std::fs::read(root.join(&current)).map_err(|e| wrong(&current, format!("it cannot be read: {e}")))?;
    let parts = || {
        let (number, rest) = content.split_first_chunk::<8>()?;
        let (checksum, kind) = rest.split_first_chunk::<16>()?;
        (kind == [0]).then_some((u64::from_le_bytes(*number), u128::from_le_bytes(*checksum)))
    };
    let (number, checksum) = parts().ok_or_else(|| wrong(&current, "its layout is wrong".to_owned()))?;
    let version = path.join(format!("v{number}"));
    let either = format!("{} or {}", current.display(), version.display());
    let bytes = std::fs::read(root.join(&version))
        .map_err(|e| wrong(&current, format!("it names {}, which cannot be read: {e}", version.display())))?;
    if xxh3_128(&bytes) != checksum {
        return Err(wrong(Path::new(&either), "one does not fit the checksum in the other".to_owned()));
    }
    let tables = tables(&root.join(&version), &path)
        .ok_or_else(|| wrong(&version, "its layout is unknown to this program".to_owned()))?;
    Ok(TreeFiles { id, path, version, tables })
}

/// The tables that a version file lists.
fn tables(version: &Path, tree: &Path) -> Option<Vec<TableFile>> {
    let reader = sfa::Reader::new(version).ok()?;
    let mut section = reader.toc().section(b"tables")?.buf_reader(version).ok()?;
    let mut tables = Vec::new();
    for _ in 0..number::<1>(&mut section)? {
        for _ in 0..number::<1>(&mut section)? {
            for _ in 0..number::<4>(&mut section)? {
                let id = number::<8>(&mut section)?;
                // Of the checksum: xxh3.
                if number::<1>(&mut section)? != 0 {
                    return None;
                }
                let checksum = number::<16>(&mut section)?;
                let seqno = u64::try_from(number::<8>(&mut section)?).ok()?;
                tables.push(TableFile { file: tree.join("tables").join(id.to_string()), checksum, seqno });
            }
        }
    }
    Some(tables)
}

fn number<const N: usize>(reader: &mut impl BufRead) -> Option<u128> {
    let mut bytes = [0; 16];
    reader.read_exact(bytes.get_mut(..N)?).ok()?;
    Some(u128::from_le_bytes(bytes))
}

/// Compares a whole table with its checksum.
pub(crate) fn check_table(root: &Path, id: u64, table: &TableFile) -> Option<Damage> {
    match checksum(&root.join(&table.file)) {
        Ok(found) if found == table.checksum => None,
        Ok(_) => Some(Damage::new(&table.file, holds(id), "it does not fit its checksum")),
        Err(error) => Some(Damage::new(&table.file, holds(id), format!("it cannot be read: {error}"))),
    }
}

fn checksum(file: &Path) -> std::io::Result<u128> {
    let (mut file, mut hasher, mut buffer) = (File::open(file)?, Xxh3::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.digest128()),
            n => hasher.update(buffer.get(..n).unwrap_or_default()),
        }
    }
}

/// Files in the trees that no version lists: left over from before a crash, and deleted when the store is opened.
pub(crate) fn strays(root: &Path, tree: &TreeFiles) -> std::io::Result<Vec<PathBuf>> {
    let known: BTreeMap<&Path, ()> = tree.tables.iter().map(|table| (table.file.as_path(), ())).collect();
    let mut strays = Vec::new();
    // The folder of the tables may be missing if there are none: not every copy of a store keeps empty folders.
    for folder in [tree.path.clone(), tree.path.join("tables")].into_iter().filter(|folder| root.join(folder).exists())
    {
        for entry in std::fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let file = folder.join(entry.file_name());
            let kept = file == tree.version || file.ends_with("current") || known.contains_key(file.as_path());
            if entry.file_type()?.is_file() && !kept {
                strays.push(file);
            }
        }
    }
    strays.sort();
    Ok(strays)
}
