//! A power failure: everything that was not synced is gone, or a part of it is there. The store opens, everything acknowledged is in it, and
//! what is in it adds up.
//!
//! A process commits, opens and closes, with a library that records what it writes and what it syncs (`power/trace.c`, which needs a C compiler). From the
//! record the test builds the directory as it may be after a failure at any moment.

use super::schema::{commit, item, number, put, schema, spec, text};
use esclusa_embedded::{Store, check};
use esclusa_flow::batch::Token;
use esclusa_flow::effect::{Action, AttributeChange, UpdateItem};
use esclusa_flow::engine::{Commit, Engine, Progress};
use esclusa_flow::retry::mix;
use std::collections::HashMap;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};

/// Set for the child: the test runs itself again as the process whose power fails.
const DIRECTORY: &str = "ESCLUSA_POWER_TEST";
const TEST: &str = "embedded::power::nothing_acknowledged_is_lost_when_the_power_fails";
/// What a disk writes as a whole.
const PAGE: usize = 4096;

/// Commit number `n`: an item, a sum, and the position `n`. Some are large, so that the database makes tables.
fn work(n: u64) -> Commit {
    let fill = "x".repeat(if n.is_multiple_of(10) { 300_000 } else { 5_000 });
    let add = UpdateItem {
        table: "things".to_owned(),
        key: item([("pk", text("total")), ("sk", number(0))]),
        changes: vec![("n".to_owned(), AttributeChange::Add("1".to_owned()))],
        guard: None,
    };
    let written = put("plain", item([("pk", text("p")), ("sk", number(n)), ("fill", text(&fill))]), None);
    let progress = Progress::Position { from: (n > 1).then(|| Token::Offset(n - 1)), to: Token::Offset(n) };
    Commit { progress, ..commit(vec![written, Action::Update(add)]) }
}

/// The position of a store, whose items and sum must add up to it.
fn account(store: &Store) -> u64 {
    let done = match store.position(&spec("r"), "").unwrap() {
        Some(Token::Offset(done)) => done,
        _ => 0,
    };
    assert_eq!(store.scan("plain", None, usize::MAX).unwrap().len() as u64, done);
    let total = store.get("things", &item([("pk", text("total")), ("sk", number(0))])).unwrap();
    assert_eq!(total.and_then(|total| total.get("n").cloned()), (done > 0).then(|| number(done)));
    done
}

/// The body of the child.
async fn child(path: &Path) {
    let mut n = 0;
    for _ in 0..3 {
        let store = Store::open(path, schema()).unwrap();
        for _ in 0..20 {
            n += 1;
            store.commit(work(n)).await.unwrap();
            println!("done {n}");
        }
        store.close();
    }
}

/// A file as the disk has it, and what was written to it since.
#[derive(Debug, Clone, Default)]
struct TracedFile {
    durable: Vec<u8>,
    since: Vec<(usize, Option<Vec<u8>>)>,
}

impl TracedFile {
    fn apply(bytes: &mut Vec<u8>, at: usize, written: Option<&[u8]>) {
        match written {
            None => bytes.resize(at, 0),
            Some(written) => {
                bytes.resize(bytes.len().max(at + written.len()), 0);
                bytes[at..at + written.len()].copy_from_slice(written);
            }
        }
    }

    fn sync(&mut self) {
        for (at, written) in self.since.drain(..) {
            Self::apply(&mut self.durable, at, written.as_deref());
        }
    }

    /// The file after a failure, with each page that was not synced if `kept` says so.
    fn after(&self, mut kept: impl FnMut() -> bool) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for (at, written) in &self.since {
            match written {
                None if kept() => Self::apply(&mut bytes, *at, None),
                None => {}
                Some(written) => {
                    let mut from = 0;
                    while from < written.len() {
                        let to = written.len().min(from + PAGE - (at + from) % PAGE);
                        if kept() {
                            Self::apply(&mut bytes, at + from, Some(&written[from..to]));
                        }
                        from = to;
                    }
                }
            }
        }
        bytes
    }
}

/// The disk of the child at one moment.
#[derive(Debug, Default)]
struct Disk {
    files: HashMap<u64, TracedFile>,
    /// Entries of directories as they were synced: the name, whether it is a directory, the inode.
    folders: HashMap<u64, Vec<(String, bool, u64)>>,
    acknowledged: u64,
}

impl Disk {
    fn event(&mut self, kind: u8, inode: u64, offset: usize, bytes: &[u8]) {
        let file = self.files.entry(inode).or_default();
        match kind {
            b'n' => *file = TracedFile::default(),
            b'w' => file.since.push((offset, Some(bytes.to_vec()))),
            b't' => file.since.push((offset, None)),
            b's' => file.sync(),
            b'd' => {
                let entry = |line: &str| {
                    let mut parts = line.splitn(3, ' ');
                    let (kind, inode) = (parts.next().unwrap(), parts.next().unwrap().parse().unwrap());
                    (parts.next().unwrap().to_owned(), kind == "d", inode)
                };
                self.folders.insert(inode, std::str::from_utf8(bytes).unwrap().lines().map(entry).collect());
            }
            _ => {
                let lines = String::from_utf8_lossy(bytes);
                let numbers = lines.lines().filter_map(|line| line.strip_prefix("done ")?.parse().ok());
                self.acknowledged = numbers.fold(self.acknowledged, u64::max);
            }
        }
    }

    /// Builds the directory as it is after a failure at this moment.
    fn build(&self, folder: u64, path: &Path, kept: &mut impl FnMut() -> bool) {
        std::fs::create_dir_all(path).unwrap();
        for (name, is_folder, inode) in self.folders.get(&folder).into_iter().flatten() {
            let path = path.join(name);
            if *is_folder {
                self.build(*inode, &path, kept);
                continue;
            }
            let bytes = self.files.get(inode).map(|file| file.after(&mut *kept)).unwrap_or_default();
            let file = std::fs::File::create(path).unwrap();
            file.set_len(bytes.len() as u64).unwrap();
            for (at, page) in bytes.chunks(PAGE).enumerate().filter(|(_, page)| page.iter().any(|byte| *byte != 0)) {
                file.write_all_at(page, (at * PAGE) as u64).unwrap();
            }
        }
    }
}

/// The events of a record.
fn events(trace: &[u8]) -> Vec<(u8, u64, usize, &[u8])> {
    let (mut events, mut rest) = (Vec::new(), trace);
    while let Some((head, tail)) = rest.split_first_chunk::<32>() {
        let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
        let (bytes, tail) = tail.split_at(number(24) as usize);
        events.push((number(0) as u8, number(8), number(16) as usize, bytes));
        rest = tail;
    }
    events
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_power_fails() {
    if let Ok(path) = std::env::var(DIRECTORY) {
        return child(Path::new(&path)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let [path, trace, library] = ["store", "trace", "trace.so"].map(|name| directory.path().join(name));
    std::fs::create_dir(&path).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power/trace.c");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl").status();
    assert!(compiled.unwrap().success());
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args([TEST, "--exact", "--nocapture", "--test-threads=1"]).env(DIRECTORY, &path).stdout(Stdio::null());
    test.env("LD_PRELOAD", &library).env("POWER_TRACE", &trace).env("POWER_DIRECTORY", &path);
    assert!(test.status().unwrap().success());

    let trace = std::fs::read(trace).unwrap();
    let events = events(&trace);
    let root = std::fs::metadata(&path).unwrap().ino();
    let mut disk = Disk::default();
    let (mut failures, mut acknowledged) = (0, 0);
    let every = (events.len() as u64 / super::damage::flips(8)).max(1);
    for (at, (kind, inode, offset, bytes)) in events.iter().enumerate() {
        let before = disk.acknowledged;
        disk.event(*kind, *inode, *offset, bytes);
        // Most of them before a sync, when there is something to lose, or right after an acknowledgement.
        let syncs = events.get(at + 1).is_some_and(|next| next.0 == b's');
        let each = if disk.acknowledged > before {
            5
        } else if syncs {
            every / 4 + 1
        } else {
            every * 2
        };
        if !mix(at as u64).is_multiple_of(each) && at + 1 < events.len() {
            continue;
        }
        for keeps in [0, 2] {
            let after = directory.path().join(format!("after-{at}-{keeps}"));
            let mut seed = at as u64;
            disk.build(root, &after, &mut || {
                seed = mix(seed + 1);
                keeps > 0 && seed.is_multiple_of(keeps)
            });
            let store = Store::open(&after, schema()).unwrap_or_else(|e| panic!("event {at} of {}: {e}", events.len()));
            let done = account(&store);
            assert!(done >= disk.acknowledged, "event {at}: {done} of {} are there", disk.acknowledged);
            drop(store);
            assert_eq!(check(&after).unwrap().damage, [], "event {at}");
            std::fs::remove_dir_all(after).unwrap();
            failures += 1;
        }
        acknowledged = disk.acknowledged;
    }
    assert_eq!(acknowledged, 60, "the last failure is after the last commit");
    assert!(failures > 8, "{failures}");
}
