//! Objects in directories: written aside and synced before the commit, named in a manifest within it, renamed after
//! it. Opening the store finishes the renames that a crash left, and deletes staged objects that no commit named.

mod claims;
pub(crate) mod list;
mod path;
pub(crate) mod read;

use crate::codec::{ByteReader, Damaged, push_bytes};
use crate::disk::{Disk, Space, read_fault, sync_directory};
use crate::transaction::Transaction;
use claims::{Claim, Use};
use esclusa_flow::effect::PutObject;
use esclusa_flow::fault::Fault;
use esclusa_flow::object_path;
use fjall::Readable;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Directory of staged objects, within the directory of their store: a rename stays on one file system.
const STAGING: &str = ".staging";
const PREFIX: u8 = b'o';

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Why an object was not written aside.
pub(crate) enum StageError {
    /// Its path can never work.
    Refused(String),
    /// The disk did not take it.
    Fault(Fault),
}

/// An object written aside. Dropped, it is deleted, unless a commit has named it.
#[derive(Debug)]
pub(crate) struct Staged {
    aside: PathBuf,
    path: PathBuf,
    committed: bool,
    /// Its path, until it has its name.
    _claim: Claim,
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.committed {
            // A file that stays is deleted when the store is opened again.
            let _ = std::fs::remove_file(&self.aside);
        }
    }
}

/// Writes an object aside, durably. Blocks.
pub(crate) fn stage(root: &Path, object: &PutObject) -> Result<Staged, StageError> {
    let fault = |path: &Path, e: std::io::Error| {
        StageError::Fault(Fault::Transient(format!(
            "object {:?} of store {:?}: {}: {e}",
            object.path,
            object.store,
            path.display()
        )))
    };
    object_path::check_object(object).map_err(StageError::Refused)?;
    path::check(&object.path).map_err(|why| refused(&object.path, &why))?;
    std::fs::create_dir_all(root.join(STAGING)).map_err(|e| fault(&root.join(STAGING), e))?;
    // The manifest names its files from the root of the file system: the next start may be in another directory.
    let root = &root.canonicalize().map_err(|e| fault(root, e))?;
    let staging = root.join(STAGING);
    // Accounts that may read the directory of the store may read its objects.
    let mode = std::fs::metadata(root).map_err(|e| fault(root, e))?.mode();
    let (path, claim) = resolve(root, &object.path, mode)?;
    let name = format!("{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
    let staged = Staged { aside: staging.join(name), path, committed: false, _claim: claim };
    let write = || -> std::io::Result<()> {
        let mut file = File::create_new(&staged.aside)?;
        file.set_permissions(Permissions::from_mode(mode & 0o666))?;
        file.write_all(&object.bytes)?;
        file.sync_all()?;
        sync_directory(&staging)
    };
    write().map_err(|e| fault(&staged.aside, e))?;
    Ok(staged)
}

fn refused(path: &str, why: &str) -> StageError {
    StageError::Refused(format!("object path {path:?}: {why}"))
}

/// The final path, claimed, with its directories created with this mode. A symlink may not lead out of the store, whose own
/// path, `root`, has none.
fn resolve(root: &Path, path: &str, mode: u32) -> Result<(PathBuf, Claim), StageError> {
    let mut at = root.to_owned();
    let (parents, name) = path.rsplit_once('/').map_or(("", path), |(parents, name)| (parents, name));
    for segment in parents.split('/').filter(|s| !s.is_empty()) {
        at = enter(&at, segment, (path, mode))?;
        if !at.starts_with(root) {
            return Err(refused(path, &format!("a symlink leads out of the store at {}", root.display())));
        }
    }
    let target = at.join(name);
    let taken = |why: &str| refused(path, &format!("{} is {why}", target.display()));
    let claim =
        Claim::of(&target, Use::Object).ok_or_else(|| taken("a directory of an object that is being written"))?;
    // After the claim: nobody makes a directory there from now on.
    match std::fs::symlink_metadata(&target) {
        Ok(about) if about.is_dir() => Err(taken("a directory")),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(judge(path, &target, &error)),
        _ => Ok((target, claim)),
    }
}

/// The directory `segment` of the directory `at`, which is made if it is missing.
fn enter(at: &Path, segment: &str, (path, mode): (&str, u32)) -> Result<PathBuf, StageError> {
    let next = at.join(segment);
    let Some(_claim) = Claim::of(&next, Use::Directory) else {
        return Err(refused(path, &format!("{} is an object that is being written", next.display())));
    };
    match std::fs::create_dir(&next) {
        Ok(()) => std::fs::set_permissions(&next, Permissions::from_mode(mode & 0o2777))
            .and_then(|()| sync_directory(at))
            .map_err(|e| judge(path, at, &e))?,
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        Err(e) => return Err(judge(path, &next, &e)),
    }
    let real = next.canonicalize().map_err(|e| match std::fs::read_link(&next) {
        Ok(to) if e.kind() == ErrorKind::NotFound => {
            refused(path, &format!("{} is a symlink to {}, where nothing is", next.display(), to.display()))
        }
        _ => judge(path, &next, &e),
    })?;
    if real.is_dir() { Ok(real) } else { Err(refused(path, &format!("{} is not a directory", real.display()))) }
}

/// The error of the disk for a path: if it stays the same however often it is tried, the path is refused.
fn judge(path: &str, at: &Path, error: &std::io::Error) -> StageError {
    const OF_THE_PATH: [Errno; 6] =
        [Errno::NAMETOOLONG, Errno::INVAL, Errno::ILSEQ, Errno::NOTDIR, Errno::LOOP, Errno::MLINK];
    if Errno::from_io_error(error).is_some_and(|errno| OF_THE_PATH.contains(&errno)) {
        return refused(path, &format!("{}: {error}", at.display()));
    }
    StageError::Fault(Fault::Transient(format!("{}: {error}", at.display())))
}

impl Staged {
    /// Names it in the manifest; it gets its name once the commit is durable.
    pub(crate) fn commit(mut self, tx: &mut Transaction<'_>) {
        let key = manifest_key(tx.next_id());
        let mut entry = Vec::new();
        push_bytes(self.aside.as_os_str().as_bytes(), &mut entry);
        push_bytes(self.path.as_os_str().as_bytes(), &mut entry);
        tx.put(Space::State, key, entry);
        self.committed = true;
        tx.after(move || {
            if let Err(error) = publish(&self.aside, &self.path) {
                tracing::error!(object = %self.path.display(), %error, "a committed object has no name yet; it is tried again");
            }
        });
    }
}

/// Renames a staged object to its final path, unless that was done before.
fn publish(aside: &Path, path: &Path) -> std::io::Result<()> {
    match std::fs::rename(aside, path) {
        Ok(()) => {}
        // A tick or an earlier start has renamed it already. Without its directory the object may be on a disk that is not mounted.
        Err(e)
            if e.kind() == ErrorKind::NotFound
                && !aside.exists()
                && aside.parent().is_some_and(|staging| staging.is_dir()) => {}
        Err(e) => return Err(e),
    }
    path.parent().map_or(Ok(()), sync_directory)
}

fn manifest_key(id: u64) -> Vec<u8> {
    [&[PREFIX][..], &id.to_be_bytes()].concat()
}

/// The staged file and the final path in a manifest.
pub(crate) fn read_manifest(bytes: &[u8]) -> Result<(PathBuf, PathBuf), Damaged> {
    let mut reader = ByteReader(bytes);
    let mut path = || Ok(PathBuf::from(std::ffi::OsString::from_vec(reader.bytes()?.to_vec())));
    Ok((path()?, path()?))
}

/// Finishes the renames of the manifest and forgets them. An object that cannot be renamed stays in the manifest for
/// the next tick.
pub(crate) fn finish(tx: &mut Transaction<'_>) -> Result<(), Fault> {
    let snapshot = tx.disk.snapshot();
    let mut named = BTreeSet::new();
    // The newest first: what is named must not be replaced by what was committed before it.
    for guard in snapshot.prefix(tx.disk.space(Space::State), [PREFIX]).rev() {
        let (key, value) = guard.into_inner().map_err(|e| read_fault(&e))?;
        let (aside, path) = read_manifest(&value)?;
        if named.contains(&path) {
            // Deleted like one that no commit has named, if not now.
            let _ = std::fs::remove_file(&aside);
            tx.delete(Space::State, key);
            continue;
        }
        match publish(&aside, &path) {
            Ok(()) => {
                tx.delete(Space::State, key);
                named.insert(path);
            }
            Err(error) => {
                tracing::error!(object = %path.display(), %error, "a committed object cannot be named; it is tried again")
            }
        }
    }
    Ok(())
}

/// Deletes staged files of a directory that no commit named.
pub(crate) fn delete_orphans(root: &Path, disk: &Disk) -> Result<(), Fault> {
    let Ok(files) = std::fs::read_dir(root.join(STAGING)) else { return Ok(()) };
    // By their names alone: the same directory has other paths if it was moved, or mounted elsewhere.
    let mut named = BTreeSet::new();
    for guard in disk.snapshot().prefix(disk.space(Space::State), [PREFIX]) {
        let (aside, _) = read_manifest(&guard.value().map_err(|e| read_fault(&e))?)?;
        named.extend(aside.file_name().map(ToOwned::to_owned));
    }
    for file in files.flatten().filter(|file| !named.contains(&file.file_name())).map(|file| file.path()) {
        if let Err(error) = std::fs::remove_file(&file) {
            tracing::warn!(file = %file.display(), %error, "an unfinished object cannot be deleted");
        }
    }
    Ok(())
}
