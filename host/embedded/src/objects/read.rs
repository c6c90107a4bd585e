//! Reads of objects in directories. They run on threads that may block, few at a time.

use super::{STAGING, path};
use esclusa_flow::reads::{ObjectBytes, ObjectRead, READ_BYTES, ReadError};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use tokio::sync::Semaphore;

/// Reads of objects that are carried out at the same time: each holds a thread, and up to [`READ_BYTES`].
static READERS: Semaphore = Semaphore::const_new(8);

/// Runs `read` on a thread that may block. If the caller gives up, the read keeps its place until it is done.
pub(crate) async fn on_disk<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    let broken = |why: String| ReadError::Unavailable(format!("the read of an object was broken off: {why}"));
    let place = READERS.acquire().await.map_err(|closed| broken(closed.to_string()))?;
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        read()
    });
    done.await.unwrap_or_else(|error| Err(broken(error.to_string())))
}

/// Reads an object of the store at `root`, or a part of it. Blocks.
pub(crate) fn object(root: &Path, read: &ObjectRead) -> Result<Option<ObjectBytes>, ReadError> {
    let context = |why: &str| format!("object {:?} of store {:?}: {why}", read.path, read.store);
    path::check(&read.path).map_err(|why| ReadError::Invalid(context(&why)))?;
    let found = match find(root, &read.path) {
        Ok(Found::File(file, size)) => part(file, size, read.range),
        Ok(Found::Nothing) => return Ok(None),
        Ok(Found::Outside) => return Err(ReadError::Invalid(context("a symlink leads out of the store"))),
        Err(error) => Err(error),
    };
    match found {
        Ok(Some(object)) => Ok(Some(object)),
        Ok(None) => {
            Err(ReadError::Invalid(context(&format!("it has more than {} MiB: read a part", READ_BYTES >> 20))))
        }
        Err(error) => Err(ReadError::Unavailable(context(&error.to_string()))),
    }
}

enum Found {
    /// A file and its size.
    File(File, u64),
    /// No file has this path.
    Nothing,
    /// A symlink leads out of the store, or to objects that have no name yet.
    Outside,
}

fn find(root: &Path, path: &str) -> std::io::Result<Found> {
    let root = root.canonicalize()?;
    let target = match root.join(path).canonicalize() {
        Ok(target) => target,
        Err(error) if is_absent(&error) => return Ok(Found::Nothing),
        Err(error) => return Err(error),
    };
    if !is_within(&root, &target) {
        return Ok(Found::Outside);
    }
    // Opening a pipe must not wait for its other end.
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits()).unwrap_or_default();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(target) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(Found::Nothing),
        Err(error) => return Err(error),
    };
    let about = file.metadata()?;
    Ok(if about.is_file() { Found::File(file, about.len()) } else { Found::Nothing })
}

fn is_absent(error: &std::io::Error) -> bool {
    // Nothing can be at a name that the disk does not take, or behind symlinks that lead in a circle.
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::LOOP))
}

fn is_within(root: &Path, target: &Path) -> bool {
    target.strip_prefix(root).is_ok_and(|inside| inside.iter().all(|segment| segment != STAGING))
}

/// The bytes of a range; `None`: they are too many.
fn part(mut file: File, size: u64, range: Option<(u64, u32)>) -> std::io::Result<Option<ObjectBytes>> {
    let (offset, length) = range.map_or((0, size), |(offset, length)| (offset, u64::from(length)));
    let length = length.min(size.saturating_sub(offset));
    if length > READ_BYTES as u64 {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    if length > 0 {
        file.seek(SeekFrom::Start(offset))?;
        file.take(length).read_to_end(&mut bytes)?;
    }
    Ok(Some(ObjectBytes { size, bytes }))
}
