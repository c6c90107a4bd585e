//! The open store: a handle that is cheap to clone. The last one dropped closes it.

use crate::catalog::{self, SharedCatalog};
use crate::damage::DAMAGED;
use crate::dead_letters::DeadCounts;
use crate::disk::mark::{Mark, MarkFile};
use crate::disk::{self, Disk, LockedDirectory, StoreLock};
use crate::error::{OpenError, SchemaError};
use crate::expiry::{self, Expirer, Expiry};
use crate::objects;
use crate::retention;
use crate::schema::StoreSchema;
use crate::transaction::{Transaction, WriterMemory, stored_sequences};
use crate::writer::{Demand, Writer, WriterSetup};
use esclusa_flow::fault::Fault;
use esclusa_flow::timestamp::Timestamp;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Bytes of the disk that are left unused by default: room for the tables that the last commits become.
pub const RESERVE: u64 = 128 << 20;

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreOptions {
    /// Bytes of the disk that are left unused: a commit that would take them is refused with a transient fault.
    pub reserve: u64,
    /// How often it looks for items that have expired.
    pub expiry_every: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions { reserve: RESERVE, expiry_every: expiry::EVERY }
    }
}

/// The embedded engine.
#[derive(Clone)]
pub struct Store {
    inner: Arc<OpenStore>,
}

struct OpenStore {
    shared: Arc<SharedCatalog>,
    writer: Arc<Writer>,
    expiry: Expiry,
    disk: Disk,
    version: watch::Receiver<u64>,
    failed: watch::Receiver<Option<String>>,
    /// Bytes of the disk that are left unused.
    reserve: u64,
    /// Dropped last: another process may open the directory only after everything else is closed.
    _lock: StoreLock,
}

impl Drop for OpenStore {
    fn drop(&mut self) {
        self.expiry.stop();
        self.writer.stop();
    }
}

impl Store {
    /// Opens the store in a directory, or creates it. Blocks, for as long as a new index takes to be built.
    ///
    /// # Errors
    /// [`OpenError`]: another router has it, it was written by another version, the schema does not fit.
    pub fn open(path: impl AsRef<Path>, schema: StoreSchema) -> Result<Store, OpenError> {
        Store::open_with(path, schema, StoreOptions::default())
    }

    /// Like [`Self::open`], with options.
    ///
    /// # Errors
    /// Likewise.
    pub fn open_with(path: impl AsRef<Path>, schema: StoreSchema, options: StoreOptions) -> Result<Store, OpenError> {
        Store::open_locked(LockedDirectory::take(path)?, schema, options)
    }

    /// Like [`Self::open_with`], in a directory that is locked already.
    ///
    /// # Errors
    /// Likewise.
    pub fn open_locked(
        directory: LockedDirectory,
        schema: StoreSchema,
        options: StoreOptions,
    ) -> Result<Store, OpenError> {
        let path = &*directory.path().to_owned();
        Store::start(directory, schema, options).map_err(|error| match error {
            // The database is closed again: a look at all files says which one is damaged.
            OpenError::Schema(SchemaError::Fault(Fault::Refused { code: DAMAGED, reason })) => {
                disk::look_for_damage(path, std::io::ErrorKind::Other, reason)
            }
            error => error,
        })
    }

    fn start(directory: LockedDirectory, schema: StoreSchema, options: StoreOptions) -> Result<Store, OpenError> {
        let path = &*directory.path().to_owned();
        let unusable =
            |reason: String| OpenError::Unusable { path: path.to_owned(), kind: std::io::ErrorKind::Other, reason };
        let (disk, synced, lock) = disk::open(directory)?;
        let (sequences, batch) = stored_sequences(&disk).map_err(SchemaError::from)?;
        if batch < synced.batch {
            let damage = vec![disk::incomplete(batch, synced.batch)];
            return Err(OpenError::Damaged { path: path.to_owned(), damage });
        }
        // After a crash the mark may be older; what has been read is durable, because the database syncs its journal when it opens it.
        let mark = Mark { batch, seqno: disk.database.visible_seqno(), closed: false };
        let mark = MarkFile::open(path, mark).map_err(disk::unusable(path))?;
        let memory = WriterMemory { sequences, batch, ..WriterMemory::default() };
        let dead = DeadCounts::load(&disk).map_err(SchemaError::from)?;
        let (version, versions) = watch::channel(memory.sequences.version);
        let shared = Arc::new(SharedCatalog::new(dead));
        let setup = WriterSetup {
            disk: disk.clone(),
            memory,
            mark,
            reserve: options.reserve,
            version,
            failed: watch::Sender::new(None),
            tick: retention::tick(Arc::clone(&shared)),
        };
        let failed = setup.failed.subscribe();
        let writer = Arc::new(Writer::start(setup).map_err(|e| unusable(e.to_string()))?);
        let expirer = Expirer { disk: disk.clone(), shared: Arc::clone(&shared), writer: Arc::clone(&writer) };
        let expiry = Expiry::start(expirer, options.expiry_every).map_err(|e| unusable(e.to_string()))?;
        let (reserve, version) = (options.reserve, versions);
        let store = Store {
            inner: Arc::new(OpenStore { shared, writer, expiry, disk, version, failed, reserve, _lock: lock }),
        };
        store.recover_objects(&schema).map_err(SchemaError::from)?;
        store.apply_schema(schema)?;
        Ok(store)
    }

    /// Changes the schema while the store runs. Blocks, for as long as a new index takes to be built; commits
    /// wait meanwhile.
    ///
    /// # Errors
    /// [`SchemaError`]; the old schema stays in force then.
    pub fn apply_schema(&self, schema: StoreSchema) -> Result<(), SchemaError> {
        for (name, path) in &schema.objects {
            std::fs::create_dir_all(path).map_err(|e| {
                let (name, path) = (name.clone(), path.clone());
                SchemaError::Objects { name, path, kind: e.kind(), reason: e.to_string() }
            })?;
        }
        let shared = Arc::clone(&self.inner.shared);
        let dropped = self.inner.writer.perform_blocking(0, Demand::Alone, move |tx| {
            let (catalog, dropped) = catalog::apply(&schema, &shared.catalog(), tx)?;
            tx.after(move || shared.replace(Arc::new(catalog)));
            Ok::<_, SchemaError>(dropped)
        })?;
        for index in dropped {
            // If this fails, or the process ends before it, the entries take space and do no harm.
            let work = move |tx: &mut Transaction<'_>| catalog::drop_entries(index, tx);
            if let Err(fault) = self.inner.writer.perform_blocking(0, Demand::Alone, work) {
                tracing::warn!(index, error = %fault, "entries of an index that is gone could not be deleted");
            }
        }
        Ok(())
    }

    fn recover_objects(&self, schema: &StoreSchema) -> Result<(), Fault> {
        self.inner.writer.perform_blocking(0, Demand::Alone, objects::finish)?;
        schema.objects.values().try_for_each(|root| objects::delete_orphans(root, &self.inner.disk))
    }

    /// Finishes the commits that wait, makes them durable and stops the writer. Later commits fail; reads go on. The
    /// directory is free for another process once all handles are dropped.
    pub fn close(&self) {
        self.inner.expiry.stop();
        self.inner.writer.stop();
    }

    /// Waits until a write fails, after which nothing more is written, and gives the reason. Never ends while all
    /// writes succeed. Cancel-safe.
    pub async fn failed(&self) -> String {
        let mut failed = self.inner.failed.clone();
        let why = failed.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        match why {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }

    /// Why nothing can be written at present: a write has failed, or the disk is full. `None`: writes are taken. Asks the
    /// file system, which may block.
    #[must_use]
    pub fn unwritable(&self) -> Option<String> {
        if let Some(why) = &*self.inner.failed.borrow() {
            return Some(why.clone());
        }
        let (disk, reserve) = (&self.inner.disk, self.inner.reserve);
        let free = disk.available().unwrap_or(u64::MAX);
        (free < reserve).then(|| disk::full(&disk.path.display().to_string(), free, reserve))
    }

    /// The number of commits so far.
    #[must_use]
    pub fn version(&self) -> u64 {
        *self.inner.version.borrow()
    }

    /// Sees every change of [`Self::version`].
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.inner.version.clone()
    }

    pub(crate) fn schema_changes(&self) -> watch::Receiver<u64> {
        self.inner.shared.subscribe()
    }

    /// Deletes every item that has expired at `now`, as the store does by itself every few seconds; gives how many there were.
    /// Blocks.
    ///
    /// # Errors
    /// A [`Fault`]; some may be deleted.
    pub fn expire(&self, now: Timestamp) -> Result<u64, Fault> {
        let (disk, shared) = (self.inner.disk.clone(), Arc::clone(&self.inner.shared));
        Expirer { disk, shared, writer: Arc::clone(&self.inner.writer) }.expire(now.millis() / 1000)
    }

    /// How many items the store has deleted since it was opened because they had expired, of each table with `ttl`.
    #[must_use]
    pub fn expired_counts(&self) -> BTreeMap<String, u64> {
        self.inner.shared.expired()
    }

    pub(crate) fn shared(&self) -> &Arc<SharedCatalog> {
        &self.inner.shared
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.inner.writer
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.inner.disk
    }
}
