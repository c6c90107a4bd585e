//! The files of a store: its lock, its format marker, and the key-value database with its four spaces.

use crate::error::OpenError;
use esclusa_flow::fault::Fault;
use fjall::{AbstractTree as _, Database, Keyspace, KeyspaceCreateOptions, PersistMode, Snapshot};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Content of the marker file: changes with the layout of keys or values.
const FORMAT: &str = "esclusa embedded store 1\n";
const MARKER: &str = "format";
const LOCK: &str = "lock";
const DATABASE: &str = "db";

/// Blocks kept in memory. Small: an idle router shall stay below 60 MB.
const CACHE_BYTES: u64 = 16 << 20;
/// Bytes of writes kept in memory before they become a file, for busy spaces: larger means fewer rewrites later.
const LARGE_MEMTABLE: u64 = 32 << 20;
/// Likewise, for spaces in which the same few keys are written again and again.
const SMALL_MEMTABLE: u64 = 4 << 20;
/// Least data in a block. Larger than the default of 4 KiB, because batches read and write neighbours.
const BLOCK_BYTES: u32 = 8 << 10;

/// Most bytes that the database holds in memory: blocks, and for each space a memtable that is filled and one that is
/// being written.
pub const MEMORY: u64 = CACHE_BYTES + 2 * (2 * LARGE_MEMTABLE + 2 * SMALL_MEMTABLE);

/// Where a key lives. Spaces differ in how they are used, so each is its own tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    /// Positions, counts, names, dead letters, outboxes, manifests.
    State,
    /// Items and index entries, by table id.
    Items,
    /// Records of streams and change feeds, by log id, partition and sequence.
    Log,
    /// Messages of queues, by queue id.
    Queue,
}

/// The open database.
#[derive(Clone)]
pub(crate) struct Disk {
    /// For snapshots and batches.
    pub database: Database,
    /// The directory of the store.
    pub path: PathBuf,
    state: Keyspace,
    items: Keyspace,
    log: Keyspace,
    queue: Keyspace,
}

/// The directory of a store, locked: no other process opens it as long as this lives.
#[derive(Debug)]
pub struct LockedDirectory {
    path: PathBuf,
    lock: StoreLock,
}

impl LockedDirectory {
    /// Creates the directory if it is not there, and locks it.
    ///
    /// # Errors
    /// [`OpenError::Locked`] or [`OpenError::Unusable`].
    pub fn take(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        std::fs::create_dir_all(&path).map_err(unusable(&path))?;
        let lock = lock(&path)?;
        Ok(LockedDirectory { path, lock })
    }
}

/// The lock file, locked as long as the store is open. Dropped last.
#[derive(Debug)]
pub(crate) struct StoreLock(#[expect(dead_code, reason = "held for its lock, released when closed")] File);

/// The error for a directory that the system refuses.
fn unusable(path: &Path) -> impl Fn(std::io::Error) -> OpenError + Copy {
    move |error| OpenError::Unusable { path: path.to_owned(), kind: error.kind(), reason: error.to_string() }
}

/// The message for a disk that is full; `free` and `reserve` in bytes.
pub(crate) fn full(path: &str, free: u64, reserve: u64) -> String {
    format!(
        "the disk of the store at {path} is full: {} MiB are free, {} MiB are kept in reserve; free some space, the router goes on by itself",
        free >> 20,
        reserve >> 20
    )
}

/// Opens or creates the store in a directory.
pub(crate) fn open(directory: LockedDirectory) -> Result<(Disk, StoreLock), OpenError> {
    let LockedDirectory { path, lock } = directory;
    let refused =
        |error: &fjall::Error| OpenError::Unusable { path: path.clone(), kind: kind(error), reason: describe(error) };
    check_format(&path)?;
    let database = Database::builder(path.join(DATABASE))
        .cache_size(CACHE_BYTES)
        .worker_threads(1)
        .manual_journal_persist(true)
        .open()
        .map_err(|e| refused(&e))?;
    let space = |name: &str, memtable: u64| database.keyspace(name, || options(memtable)).map_err(|e| refused(&e));
    let disk = Disk {
        path: path.clone(),
        state: space("state", SMALL_MEMTABLE)?,
        items: space("items", LARGE_MEMTABLE)?,
        log: space("log", LARGE_MEMTABLE)?,
        queue: space("queue", SMALL_MEMTABLE)?,
        database,
    };
    Ok((disk, lock))
}

fn options(memtable: u64) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(memtable)
        .manual_journal_persist(true)
        .data_block_size_policy(fjall::config::BlockSizePolicy::all(BLOCK_BYTES))
}

fn lock(path: &Path) -> Result<StoreLock, OpenError> {
    let unusable = unusable(path);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join(LOCK))
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(unusable)?;
            write!(file, "{}", std::process::id()).map_err(unusable)?;
            Ok(StoreLock(file))
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            Err(OpenError::Locked { path: path.to_owned(), holder: holder.trim().parse().ok() })
        }
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

fn check_format(path: &Path) -> Result<(), OpenError> {
    let unusable = unusable(path);
    let marker = path.join(MARKER);
    let expected = FORMAT.trim_end().to_owned();
    match std::fs::read(&marker) {
        Ok(found) if found == FORMAT.as_bytes() => Ok(()),
        Ok(found) if !found.is_empty() => {
            let found = String::from_utf8_lossy(&found).trim_end().chars().take(80).collect();
            Err(OpenError::Format { path: path.to_owned(), found, expected })
        }
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unusable(error)),
        // Nothing was ever stored before the marker was complete.
        _ if path.join(DATABASE).exists() => {
            Err(OpenError::Format { path: path.to_owned(), found: "no marker".to_owned(), expected })
        }
        _ => {
            let mut file = File::create(&marker).map_err(unusable)?;
            file.write_all(FORMAT.as_bytes()).and_then(|()| file.sync_all()).map_err(unusable)?;
            sync_directory(path).map_err(unusable)
        }
    }
}

/// Makes names created, renamed or removed in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

impl Disk {
    /// The tree of a space.
    pub(crate) fn space(&self, space: Space) -> &Keyspace {
        match space {
            Space::State => &self.state,
            Space::Items => &self.items,
            Space::Log => &self.log,
            Space::Queue => &self.queue,
        }
    }

    /// Reads at this moment.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.database.snapshot()
    }

    /// Bytes that can still be written to the disk that holds the store.
    pub(crate) fn available(&self) -> std::io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Starts writing the memtables to the trees' files, in the background.
    pub(crate) fn flush(&self) -> fjall::Result<()> {
        for space in [&self.state, &self.items, &self.log, &self.queue] {
            // Hidden in the documentation, and the one way to ask for it (fjall 3.1).
            space.rotate_memtable()?;
        }
        Ok(())
    }

    /// True if every memtable that [`Self::flush`] sealed is in a file.
    pub(crate) fn flushed(&self) -> bool {
        [&self.state, &self.items, &self.log, &self.queue].iter().all(|space| space.tree.sealed_memtable_count() == 0)
    }

    /// Makes everything written so far durable.
    pub(crate) fn sync(&self) -> fjall::Result<()> {
        self.database.persist(PersistMode::SyncAll)
    }
}

/// A read that failed.
pub(crate) fn read_fault(error: &fjall::Error) -> Fault {
    Fault::Transient(format!("the store cannot be read: {}", describe(error)))
}

/// The kind of the system's error below this one.
fn kind(error: &fjall::Error) -> std::io::ErrorKind {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => error.kind(),
        _ => std::io::ErrorKind::Other,
    }
}

/// The error as people read it.
pub(crate) fn describe(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Io(error) => error.to_string(),
        fjall::Error::Storage(fjall::LsmError::Io(error)) => error.to_string(),
        fjall::Error::Poisoned => "an earlier write to the disk failed".to_owned(),
        other => format!("{other:?}"),
    }
}
