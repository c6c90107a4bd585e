//! Watches files by their content: routes.toml, the files that it names, and the plugins.
//!
//! Directories are watched, not files, so that a rename over a file, a swapped symlink or a deleted and recreated file
//! is seen. An event says "look", and the content decides. A file that is still being written is not read before
//! its size and time of change stay the same. Network file systems and deleted directories give no events: for those
//! all files are looked at every few seconds.
//!
//! A file may change and keep its size and time of modification, and its inode: `cp -p`, tar and reproducible builds do that. The
//! time of its last change of status tells nevertheless, once it is older than the clock of the file system is coarse. Small
//! files are read at every tick, so that nothing about them depends on metadata.

use crate::runtime::stale::MissingFiles;
use esclusa_config::named_file;
use esclusa_pipeline::meter::epoch_millis;
use esclusa_sandbox::MAX_FILE;
use notify::event::{AccessKind, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Interval of the looks at all files, whatever events tell.
const TICK: Duration = Duration::from_secs(2);
/// Files up to this size are read at every tick, in bytes.
const SMALL: u64 = 256 << 10;
/// A file is read once it has not changed for this long.
const QUIET: Duration = Duration::from_millis(40);
/// A file that keeps changing is read after this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Watches files by content.
pub(crate) struct FileWatch {
    wake: Arc<Notify>,
    /// Names of the files, as events have them.
    names: Arc<Mutex<BTreeSet<OsString>>>,
    /// When all files are looked at next, whatever happens.
    next_tick: Instant,
    watcher: Option<RecommendedWatcher>,
    directories: BTreeSet<PathBuf>,
    seen: BTreeMap<PathBuf, FileLook>,
    missing: MissingFiles,
    /// Files that have changed and that [`changed`](FileWatch::changed) has not returned yet: it may be cancelled in
    /// between.
    found: Vec<PathBuf>,
}

/// The last look at a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileLook {
    stamp: Option<FileStamp>,
    digest: Option<[u8; 32]>,
    /// The file had changed just before: it may change again without a trace in its stamp.
    recent: bool,
}

impl FileLook {
    fn at(path: &Path) -> Self {
        // The stamp first: a change in between makes it differ.
        let stamp = stamp(path);
        FileLook { recent: stamp.as_ref().is_some_and(FileStamp::is_recent), stamp, digest: digest(path) }
    }

    /// True if the content may have changed since. `ticked`: all files are looked at, whatever events tell.
    fn is_stale(&self, path: &Path, ticked: bool) -> bool {
        let now = stamp(path);
        let small = ticked && now.as_ref().is_some_and(|now| now.len <= SMALL);
        self.recent || small || now != self.stamp
    }
}

/// Metadata that shows cheaply that a file may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileStamp {
    modified: Option<SystemTime>,
    /// Time of the last change of status, seconds and nanoseconds: no program can set it.
    changed: (i64, i64),
    len: u64,
    device: u64,
    inode: u64,
}

impl FileStamp {
    /// True if the file has changed within the last second.
    fn is_recent(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        i64::try_from(now).is_ok_and(|now| now.abs_diff(self.changed.0) <= 1)
    }
}

impl FileWatch {
    /// A watch of no files.
    #[must_use]
    pub(crate) fn new() -> Self {
        let (wake, names) = (Arc::new(Notify::new()), Arc::new(Mutex::new(BTreeSet::new())));
        let (waker, watched) = (wake.clone(), names.clone());
        let watcher = notify::recommended_watcher(move |event| {
            if concerns(&event, &watched.lock()) {
                waker.notify_one();
            }
        });
        if let Err(error) = &watcher {
            tracing::warn!(error = %error, every = ?TICK, "cannot watch directories; looking at the files instead");
        }
        FileWatch {
            wake,
            names,
            next_tick: Instant::now() + TICK,
            watcher: watcher.ok(),
            directories: BTreeSet::new(),
            seen: BTreeMap::new(),
            missing: MissingFiles::default(),
            found: Vec::new(),
        }
    }

    /// The files that are missing now, as this watch finds them.
    #[must_use]
    pub(crate) fn missing(&self) -> MissingFiles {
        self.missing.clone()
    }

    /// Watches exactly these files from now on. Files that are new here are compared with their content of now.
    pub(crate) fn set(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        let files: BTreeSet<PathBuf> = files.into_iter().collect();
        self.seen.retain(|path, _| files.contains(path));
        self.missing.lock().retain(|path, _| files.contains(path));
        for path in files {
            self.seen.entry(path.clone()).or_insert_with(|| FileLook::at(&path));
        }
        self.arm();
    }

    /// Watches the directories of the files and of the targets of symlinks. Repeated at every tick: a directory may
    /// have been deleted and created again, and its old watch is dead.
    fn arm(&mut self) {
        let (mut wanted, mut names) = (BTreeSet::new(), BTreeSet::new());
        for path in self.seen.keys() {
            let real = path.canonicalize().ok();
            for file in [Some(path.clone()), real].into_iter().flatten() {
                names.extend(file.file_name().map(OsStr::to_owned));
                wanted.extend(
                    file.parent().map(|p| if p.as_os_str().is_empty() { PathBuf::from(".") } else { p.to_owned() }),
                );
            }
        }
        *self.names.lock() = names;
        let Some(watcher) = &mut self.watcher else { return };
        for gone in self.directories.difference(&wanted) {
            // It fails if the directory was deleted: its watch ended with it.
            let _ = watcher.unwatch(gone);
        }
        self.directories =
            wanted.into_iter().filter(|d| watcher.watch(d, RecursiveMode::NonRecursive).is_ok()).collect();
    }

    /// Waits until the content of some files has changed; gives their paths. A missing file does not count as changed:
    /// its next content does, even if it is the old one. Cancel-safe.
    pub(crate) async fn changed(&mut self) -> Vec<PathBuf> {
        loop {
            // By the clock: in a directory in which something always happens there is no quiet interval.
            let _ = timeout_at(self.next_tick, self.wake.notified()).await;
            let ticked = Instant::now() >= self.next_tick;
            if ticked {
                self.next_tick = Instant::now() + TICK;
                self.arm();
            }
            let suspects: Vec<PathBuf> = self
                .seen
                .iter()
                .filter(|(path, look)| look.is_stale(path, ticked))
                .map(|(path, _)| path.clone())
                .collect();
            for path in suspects {
                let now = stamp(&path);
                let same = self.seen.get(&path).is_some_and(|look| look.stamp == now);
                let stamp = if same { now } else { quiet(&path).await };
                let file = path.clone();
                // A plugin has megabytes: hashing it here would hold up the other tasks of this thread.
                let digest = tokio::task::spawn_blocking(move || digest(&file)).await.unwrap_or_default();
                let Some(look) = self.seen.get_mut(&path) else { continue };
                if stamp.is_none() && look.stamp.is_some() {
                    tracing::warn!(file = %path.display(), "a file in use was deleted; the router goes on without it, but its next start needs the file");
                }
                let back = note_missing(&self.missing, &path, digest.is_none());
                // Noted even if the content is the same, so that a touched file is read once and not at every tick.
                look.recent = stamp.as_ref().is_some_and(FileStamp::is_recent);
                look.stamp = stamp;
                // A configuration may have been refused while the file was missing.
                if digest.is_some() && (digest != look.digest || back) {
                    look.digest = digest;
                    self.found.push(path);
                }
            }
            if !self.found.is_empty() {
                self.arm();
                return std::mem::take(&mut self.found);
            }
        }
    }
}

impl Default for FileWatch {
    fn default() -> Self {
        FileWatch::new()
    }
}

/// True if an event in a watched directory may mean that a watched file has changed, by the names of those. A log that is written in the
/// directory does not make the router look at all of them each time, and neither does its own look, which opens them. Whatever changes the
/// directory itself counts: a name in the path of a file may lead elsewhere now.
fn concerns(event: &notify::Result<Event>, names: &BTreeSet<OsString>) -> bool {
    match event {
        Ok(Event { kind: EventKind::Access(AccessKind::Open(_) | AccessKind::Read), .. }) => false,
        Ok(Event { kind: EventKind::Access(_) | EventKind::Modify(ModifyKind::Data(_)), paths, .. }) => {
            paths.iter().any(|path| path.file_name().is_none_or(|name| names.contains(name)))
        }
        _ => true,
    }
}

/// Notes whether a file is missing; true if it was and is not any more.
fn note_missing(files: &MissingFiles, path: &Path, missing: bool) -> bool {
    let mut files = files.lock();
    if missing {
        files.entry(path.to_owned()).or_insert_with(epoch_millis);
        return false;
    }
    files.remove(path).is_some()
}

/// Waits until a file stops changing.
async fn quiet(path: &Path) -> Option<FileStamp> {
    let began = tokio::time::Instant::now();
    let mut last = stamp(path);
    loop {
        tokio::time::sleep(QUIET).await;
        let now = stamp(path);
        if now == last || began.elapsed() > PATIENCE {
            return now;
        }
        last = now;
    }
}

fn stamp(path: &Path) -> Option<FileStamp> {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(path).ok()?;
    let changed = (meta.ctime(), meta.ctime_nsec());
    Some(FileStamp { modified: meta.modified().ok(), changed, len: meta.len(), device: meta.dev(), inode: meta.ino() })
}

/// The digest of a file. Of a file that is larger than any plugin only the first bytes are read: it will be refused
/// for its size. `None`: there is no such file.
fn digest(path: &Path) -> Option<[u8; 32]> {
    let mut bytes = Vec::new();
    named_file::open(path).ok()?.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).ok()?;
    Some(Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::{FileWatch, TICK, concerns};
    use notify::event::{
        AccessKind, AccessMode, CreateKind, DataChange, MetadataKind, ModifyKind, RemoveKind, RenameMode,
    };
    use notify::{Event, EventKind};
    use sha2::{Digest, Sha256};
    use std::collections::BTreeSet;
    use std::ffi::OsString;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    async fn within<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(20), future).await.expect("nothing was noticed")
    }

    #[tokio::test]
    async fn a_rewritten_a_renamed_over_and_a_recreated_file_are_noticed_and_a_touched_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (file, other) = (dir.path().join("a.wasm"), dir.path().join("b.wasm"));
        std::fs::write(&file, "one").unwrap();
        let mut watch = FileWatch::new();
        watch.set([file.clone()]);

        std::fs::write(&file, "one").unwrap();
        std::fs::write(&file, "two").unwrap();
        assert_eq!(within(watch.changed()).await, std::slice::from_ref(&file));

        std::fs::write(&other, "three").unwrap();
        std::fs::rename(&other, &file).unwrap();
        assert_eq!(within(watch.changed()).await, std::slice::from_ref(&file));

        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, "four").unwrap();
        assert_eq!(within(watch.changed()).await, std::slice::from_ref(&file));
    }

    #[tokio::test]
    async fn a_touched_file_is_not_a_changed_one() {
        let dir = tempfile::tempdir().unwrap();
        let [touched, changed] = ["a.wasm", "b.wasm"].map(|name| dir.path().join(name));
        [&touched, &changed].into_iter().for_each(|file| std::fs::write(file, "one").unwrap());
        let mut watch = FileWatch::new();
        watch.set([touched.clone(), changed.clone()]);
        // Looked at first: a look goes through the files in the order of their names.
        std::fs::write(&touched, "one").unwrap();
        std::fs::write(&changed, "two").unwrap();
        assert_eq!(within(watch.changed()).await, std::slice::from_ref(&changed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_never_stands_still_is_read_after_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.wasm");
        let written = file.clone();
        let writer = tokio::spawn(async move {
            for n in 1.. {
                std::fs::write(&written, "x".repeat(n)).unwrap();
                tokio::time::sleep(super::QUIET / 2).await;
            }
        });
        tokio::task::yield_now().await;
        let began = tokio::time::Instant::now();
        assert!(super::quiet(&file).await.is_some());
        let took = began.elapsed();
        assert!((super::PATIENCE..super::PATIENCE * 2).contains(&took), "{took:?}");
        writer.abort();
    }

    #[tokio::test]
    async fn a_change_that_keeps_size_time_and_inode_is_noticed() {
        // Small, and larger than what is read at every look.
        for padding in [0, super::SMALL as usize] {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("a.wasm");
            let old = std::time::UNIX_EPOCH + Duration::from_secs(1);
            let write = |text: &str| {
                std::fs::write(&file, format!("{text}{}", "-".repeat(padding))).unwrap();
                std::fs::File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
            };
            write("one");
            let mut watch = FileWatch::new();
            watch.set([file.clone()]);
            for text in ["two", "six", "ten"] {
                write(text);
                assert_eq!(within(watch.changed()).await, std::slice::from_ref(&file), "{text}");
            }
        }
    }

    #[tokio::test]
    async fn a_change_without_any_trace_in_the_metadata_of_a_small_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("routes.toml");
        std::fs::write(&file, "one").unwrap();
        let mut watch = FileWatch::new();
        watch.set([file.clone()]);
        let look = watch.seen.get_mut(&file).unwrap();
        // As if the file had held other bytes under the same stamp.
        (look.digest, look.recent) = (Some([0; 32]), false);
        assert_eq!(within(watch.changed()).await, std::slice::from_ref(&file));
    }

    /// A change that only the look at every tick finds, beside a file that is renamed all the time.
    #[tokio::test]
    async fn in_a_directory_in_which_something_always_happens_all_files_are_looked_at_nevertheless() {
        let dir = tempfile::tempdir().unwrap();
        let (file, other) = (dir.path().join("routes.toml"), dir.path().join("other"));
        std::fs::write(&file, "one").unwrap();
        std::fs::write(&other, "one").unwrap();
        let mut watch = FileWatch::new();
        watch.set([file.clone()]);
        let look = watch.seen.get_mut(&file).unwrap();
        (look.digest, look.recent) = (Some([0; 32]), false);
        let stop = Arc::new(AtomicBool::new(false));
        let busy = std::thread::spawn({
            let (stop, aside) = (stop.clone(), dir.path().join("aside"));
            move || {
                while !stop.load(Relaxed) {
                    std::fs::rename(&other, &aside).unwrap();
                    std::fs::rename(&aside, &other).unwrap();
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        let changed = tokio::time::timeout(Duration::from_secs(20), watch.changed()).await;
        stop.store(true, Relaxed);
        busy.join().unwrap();
        assert_eq!(changed.expect("nothing was noticed"), std::slice::from_ref(&file));
    }

    #[test]
    fn data_of_another_file_concerns_nobody_and_changes_of_the_directory_everybody() {
        let names = BTreeSet::from([OsString::from("routes.toml")]);
        let event = |kind, path: &str| Ok(Event::new(kind).add_path(path.into()));
        let data = ModifyKind::Data(DataChange::Any);
        for (kind, other) in [
            (EventKind::Modify(data), false),
            (EventKind::Access(AccessKind::Close(AccessMode::Write)), false),
            (EventKind::Modify(ModifyKind::Name(RenameMode::To)), true),
            (EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)), true),
            (EventKind::Create(CreateKind::Any), true),
            (EventKind::Remove(RemoveKind::Any), true),
            (EventKind::Other, true),
        ] {
            assert!(concerns(&event(kind, "/etc/esclusa/routes.toml"), &names), "{kind:?}");
            assert_eq!(concerns(&event(kind, "/etc/esclusa/requests.log"), &names), other, "{kind:?}");
            assert!(concerns(&Ok(Event::new(kind)), &names) == other, "{kind:?} without a path");
        }
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        assert!(!concerns(&event(opened, "/etc/esclusa/routes.toml"), &names), "the watch itself opens it");
        assert!(concerns(&Err(notify::Error::generic("too many events")), &names));
    }

    #[tokio::test]
    async fn a_file_is_missing_until_it_can_be_read_again_even_with_the_same_content() {
        let dir = tempfile::tempdir().unwrap();
        let (file, other) = (dir.path().join("a.wasm"), dir.path().join("b.wasm"));
        std::fs::write(&file, "one").unwrap();
        std::fs::write(&other, "one").unwrap();
        let mut watch = FileWatch::new();
        watch.set([file.clone(), other.clone()]);
        let missing = watch.missing();
        std::fs::remove_file(&file).unwrap();
        // A directory is no file that can be used.
        std::fs::remove_file(&other).unwrap();
        std::fs::create_dir(&other).unwrap();
        let seen = |wanted: usize| {
            let missing = missing.clone();
            async move {
                while missing.lock().len() != wanted {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        };
        tokio::select! {
            changed = watch.changed() => panic!("{changed:?} has no new content"),
            () = within(seen(2)) => {}
        }
        std::fs::write(&file, "one").unwrap();
        assert_eq!(within(watch.changed()).await, std::slice::from_ref(&file), "it is back");
        assert_eq!(missing.lock().keys().collect::<Vec<_>>(), [&other]);
    }

    #[tokio::test]
    async fn a_swapped_symlink_to_a_directory_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("v1", "one"), ("v2", "two")] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join("p.wasm"), text).unwrap();
        }
        let data = dir.path().join("..data");
        std::os::unix::fs::symlink("v1", &data).unwrap();
        std::os::unix::fs::symlink("..data/p.wasm", dir.path().join("p.wasm")).unwrap();
        let mut watch = FileWatch::new();
        watch.set([dir.path().join("p.wasm")]);
        std::os::unix::fs::symlink("v2", dir.path().join("..new")).unwrap();
        std::fs::rename(dir.path().join("..new"), &data).unwrap();
        assert_eq!(within(watch.changed()).await, [dir.path().join("p.wasm")]);
    }

    /// The digest of the content that was read last.
    fn read(watch: &FileWatch, file: &Path) -> Option<[u8; 32]> {
        watch.seen.get(file).and_then(|look| look.digest)
    }

    // The clock is paused: the writer's 5 ms and the watch's 40 ms follow each other exactly, however slow the machine is.
    #[tokio::test(start_paused = true)]
    async fn a_file_written_byte_by_byte_is_one_change() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.wasm");
        std::fs::write(&file, "old").unwrap();
        let mut watch = FileWatch::new();
        watch.set([file.clone()]);
        let (written, wake) = (file.clone(), watch.wake.clone());
        let writer = tokio::spawn(async move {
            // Truncated at first, as by a shell's `>`.
            for n in 0..30 {
                std::fs::write(&written, "x".repeat(n)).unwrap();
                wake.notify_one();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert_eq!(within(watch.changed()).await, std::slice::from_ref(&file));
        assert_eq!(read(&watch, &file), Some(Sha256::digest("x".repeat(29)).into()), "read before it was whole");
        writer.await.unwrap();
        let second = tokio::time::timeout(TICK * 3, watch.changed()).await;
        assert!(second.is_err(), "a second change: {second:?}");
    }

    #[tokio::test]
    async fn a_directory_that_is_deleted_and_made_again_is_watched_again() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("plugins");
        let file = below.join("a.wasm");
        std::fs::create_dir(&below).unwrap();
        std::fs::write(&file, "one").unwrap();
        let mut watch = FileWatch::new();
        watch.set([file.clone()]);
        for text in ["two", "three"] {
            std::fs::remove_dir_all(&below).unwrap();
            // Until the watch knows: nothing of what follows is in the events of the old directory.
            while watch.seen.get(&file).unwrap().stamp.is_some() {
                let _ = tokio::time::timeout(TICK, watch.changed()).await;
            }
            std::fs::create_dir(&below).unwrap();
            std::fs::write(&file, text).unwrap();
            assert_eq!(within(watch.changed()).await, std::slice::from_ref(&file), "{text}");
            assert_eq!(read(&watch, &file), Some(Sha256::digest(text).into()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_noticed_on_a_file_system_that_gives_no_events() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("routes.toml");
        std::fs::write(&file, "one").unwrap();
        let mut watch = FileWatch::new();
        // As it is if the watcher cannot be made, and on NFS, whose watcher is silent.
        watch.watcher = None;
        watch.set([file.clone()]);
        for text in ["two", "three"] {
            std::fs::write(&file, text).unwrap();
            let asked = tokio::time::Instant::now();
            assert_eq!(within(watch.changed()).await, std::slice::from_ref(&file), "{text}");
            assert!(asked.elapsed() <= TICK * 2, "{text}: after {:?}", asked.elapsed());
        }
    }
}
