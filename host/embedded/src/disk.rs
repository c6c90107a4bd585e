//! The files of a store: its lock, its format marker, the mark of the last sync, and the key-value database with its four spaces.

pub(crate) mod files;
pub(crate) mod format;
pub(crate) mod journal;
pub(crate) mod mark;
pub(crate) mod survey;
pub(crate) mod trees;

use crate::damage::{DAMAGED, Damage};
use crate::error::OpenError;
use esclusa_flow::fault::Fault;
use fjall::{AbstractTree as _, Database, Keyspace, KeyspaceCreateOptions, PersistMode, Snapshot};
use mark::{Mark, MarkFile};
use parking_lot::Mutex;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use survey::Survey;

/// The directory, in that of a store, in which a check opens its content.
pub(crate) const CHECKING: &str = "checking";
/// The directory, in that of the store, in which a running router puts the names. A later backup replaces it, which ends an earlier one
/// that has not copied everything yet.
pub(crate) const STAGE: &str = "backup";
/// Name of the lock file.
pub(crate) const LOCK: &str = "lock";
/// Name of the directory of the database.
pub(crate) const DATABASE: &str = "db";

/// How old a measurement of the store's bytes may be that decides about events from outside: it looks at every file.
const MEASURED: Duration = Duration::from_millis(50);
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
    measured: Arc<MeasuredBytes>,
}

/// The last measurement of the files' bytes, and when it ended.
#[derive(Debug, Default)]
struct MeasuredBytes {
    bytes: AtomicU64,
    at: Mutex<Option<Instant>>,
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
        create_directory(&path).map_err(unusable(&path))?;
        let lock = lock(&path)?;
        Ok(LockedDirectory { path, lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// The lock file, locked as long as the store is open. Dropped last.
#[derive(Debug)]
pub(crate) struct StoreLock(File);

impl Drop for StoreLock {
    fn drop(&mut self) {
        // Closing would not do: a child of this process that has been forked and has not executed its program yet has the file, too.
        let _ = self.0.unlock();
    }
}

/// The error for a directory that the system refuses.
pub(crate) fn unusable(path: &Path) -> impl Fn(std::io::Error) -> OpenError + Copy {
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

/// Fails if there is no store at `path`.
pub(crate) fn exists(path: &Path) -> Result<(), OpenError> {
    match path.join(format::MARKER).exists() || path.join(DATABASE).exists() {
        true => Ok(()),
        false => Err(unusable(path)(std::io::Error::new(std::io::ErrorKind::NotFound, "there is no store"))),
    }
}

/// Opens or creates the store in a directory. Also gives what the mark says of the last sync.
///
/// # Errors
/// [`OpenError`], with the damaged file if there is one.
pub(crate) fn open(directory: LockedDirectory) -> Result<(Disk, Mark, StoreLock), OpenError> {
    let LockedDirectory { path, lock } = directory;
    let path = &*path;
    let unusable = unusable(path);
    let found = format::check(path, path.join(DATABASE).exists())?;
    let survey = survey::survey(path).map_err(unusable)?;
    if !survey.damage.is_empty() {
        return Err(OpenError::Damaged { path: path.to_owned(), damage: survey.damage });
    }
    prepare(path, &survey).map_err(unusable)?;
    if found == format::Marker::Absent {
        format::write(path).map_err(unusable)?;
    }
    let mark = survey.mark.usable().unwrap_or_default();
    let opened = database(path).map_err(|error| look_for_damage(path, kind(&error), describe(&error)))?;
    sync_folders(path).map_err(unusable)?;
    Ok((opened, mark, lock))
}

/// Takes away what a crash left: the copies of a check or a backup, an interrupted write, a database in the making.
fn prepare(path: &Path, survey: &Survey) -> std::io::Result<()> {
    for left in [CHECKING, STAGE] {
        match std::fs::remove_dir_all(path.join(left)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    if let Some((journal, end)) = &survey.torn {
        tracing::info!(journal = %journal.display(), end, "a write that was interrupted is left out; nobody was promised its content");
        let file = OpenOptions::new().write(true).open(path.join(journal))?;
        file.set_len(*end)?;
        file.sync_all()?;
    }
    if survey.unborn {
        let database = path.join(DATABASE);
        if database.exists() {
            std::fs::remove_dir_all(database)?;
        }
        // Before the database: from here on a database without a version is one in the making.
        drop(MarkFile::open(path, Mark::default())?);
    }
    Ok(())
}

/// Makes the directories of the store and of its keyspaces durable, which the database does not do by itself: after a power failure
/// they would be gone with everything in them.
pub(crate) fn sync_folders(path: &Path) -> std::io::Result<()> {
    let path = path.canonicalize()?;
    for folder in [path.join(DATABASE).join("keyspaces"), path.join(DATABASE), path.clone()] {
        sync_directory(&folder)?;
    }
    path.parent().map_or(Ok(()), sync_directory)
}

/// Opens or creates the database in the directory of a store.
pub(crate) fn database(path: &Path) -> fjall::Result<Disk> {
    let database = Database::builder(path.join(DATABASE))
        .cache_size(CACHE_BYTES)
        .worker_threads(1)
        .manual_journal_persist(true)
        .open()?;
    let space = |name: &str, memtable: u64| database.keyspace(name, || options(memtable));
    Ok(Disk {
        path: path.to_owned(),
        state: space("state", SMALL_MEMTABLE)?,
        items: space("items", LARGE_MEMTABLE)?,
        log: space("log", LARGE_MEMTABLE)?,
        queue: space("queue", SMALL_MEMTABLE)?,
        database,
        measured: Arc::default(),
    })
}

/// The error of a database that does not open. If a file is damaged, a look at all of them says which.
pub(crate) fn look_for_damage(path: &Path, kind: std::io::ErrorKind, reason: String) -> OpenError {
    let damage = survey::survey(path).map(|mut survey| {
        survey.tables(path);
        survey.damage
    });
    match damage {
        Ok(damage) if !damage.is_empty() => OpenError::Damaged { path: path.to_owned(), damage },
        _ => OpenError::Unusable { path: path.to_owned(), kind, reason },
    }
}

fn options(memtable: u64) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(memtable)
        .manual_journal_persist(true)
        .data_block_size_policy(fjall::config::BlockSizePolicy::all(BLOCK_BYTES))
}

/// Takes the lock of a store.
pub(crate) fn lock(path: &Path) -> Result<StoreLock, OpenError> {
    let unusable = unusable(path);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
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

/// Makes a directory and those above it that are missing, closed to other accounts.
pub(crate) fn create_directory(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
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

    /// Bytes of the database's files.
    pub(crate) fn bytes(&self) -> u64 {
        self.database.disk_space().unwrap_or_default()
    }

    /// The same, about [`MEASURED`] ago at most: each request that brings events asks. Nobody waits while another one measures.
    pub(crate) fn recent_bytes(&self) -> u64 {
        if let Some(mut at) = self.measured.at.try_lock()
            && at.is_none_or(|at| at.elapsed() >= MEASURED)
        {
            self.measured.bytes.store(self.bytes(), Ordering::Relaxed);
            *at = Some(Instant::now());
        }
        self.measured.bytes.load(Ordering::Relaxed)
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
    match damaged(error) {
        true => Fault::Refused { code: DAMAGED, reason: format!("the store cannot be read: {}", describe(error)) },
        false => Fault::Transient(format!("the store cannot be read: {}", describe(error))),
    }
}

/// True if an error means that a file holds something else than was written to it.
fn damaged(error: &fjall::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            matches!(error.kind(), InvalidData | NotFound | UnexpectedEof)
        }
        fjall::Error::Poisoned | fjall::Error::Locked | fjall::Error::KeyspaceDeleted => false,
        _ => true,
    }
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
    const LOOK: &str = "stop the router and run `esclusa store check`, which names the file and the remedy";
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => error.to_string(),
        fjall::Error::Poisoned => {
            format!("an earlier write to the disk, or a read for it, failed; if the disk is sound, {LOOK}")
        }
        fjall::Error::Locked => "another process has the database open".to_owned(),
        _ => format!("a file is damaged; {LOOK}"),
    }
}

/// A store that lacks commits which were durable.
pub(crate) fn incomplete(stored: u64, promised: u64) -> Damage {
    let found = format!("commit group {stored} is the last one that is found, but group {promised} was durable");
    Damage::new(Path::new(DATABASE), "everything", found)
}
