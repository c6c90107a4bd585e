//! Code of plugins that one router of these tests has compiled, for the others: each has a data directory of its own, and would compile
//! its plugins again, which is most of the work of its first start. A test that is about compiling starts its router with
//! `launch` or `run`.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The key of every cache here: a router runs only code that was kept with its own key.
const KEY: [u8; 64] = *b"A key of tests only, beside the cache of every router in them...";

/// What these tests have compiled so far. The next run of them compiles anew.
static KEPT: LazyLock<PathBuf> = LazyLock::new(|| {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let _ = fs::remove_dir_all(&kept);
    fs::create_dir_all(&kept).unwrap();
    kept
});

/// Makes a data directory, if there is none, and puts all code that was kept into its cache, unless a router has made that.
pub(crate) fn lend(data: &Path) {
    DirBuilder::new().recursive(true).mode(0o700).create(data).unwrap();
    if DirBuilder::new().mode(0o700).create(data.join("cache")).is_ok() {
        let key = OpenOptions::new().write(true).create_new(true).mode(0o600).open(data.join("cache.key"));
        key.unwrap().write_all(&KEY).unwrap();
        copy(&KEPT, &data.join("cache")).unwrap();
    }
}

/// Keeps the code in a data directory that was made here.
pub(crate) fn keep(data: &Path) {
    if fs::read(data.join("cache.key")).is_ok_and(|key| key == KEY) {
        copy(&data.join("cache"), &KEPT).unwrap();
    }
}

/// Copies all code that is missing in a directory. Tests do this at the same time, so no file is seen before it is whole.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    for file in fs::read_dir(from)? {
        let path = file?.path();
        let whole = to.join(path.file_name().unwrap_or_default());
        if path.extension().is_some_and(|extension| extension == "cwasm") && !whole.exists() {
            let part = to.join(format!("{}.part", NUMBER.fetch_add(1, Ordering::Relaxed)));
            fs::hard_link(&path, &part).or_else(|_| fs::copy(&path, &part).map(drop))?;
            fs::rename(part, whole)?;
        }
    }
    Ok(())
}
