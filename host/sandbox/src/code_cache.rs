//! Compiled code on disk, by digest of the plugin and by engine.
//!
//! Native code is run as it is read, so a file must be one that this program wrote: the directory is closed to other
//! users, and each file ends with a checksum of the rest. A file that is cut off or damaged is compiled again.

use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Bytes of the checksum at the end of a file.
const CHECKSUM: usize = 32;

/// A directory of compiled components.
#[derive(Debug)]
pub(crate) struct CodeCache {
    dir: PathBuf,
    /// Distinguishes versions and settings of the engine, and the machine's instruction set.
    engine: u64,
}

impl CodeCache {
    /// Opens the directory, makes it if it is missing, and closes it to other users.
    pub(crate) fn open(dir: &Path, engine: &Engine) -> io::Result<CodeCache> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        // Only the owner of a directory can do this: it fails if another user made the directory to plant code in it.
        fs::set_permissions(dir, Permissions::from_mode(0o700))?;
        let mut hasher = DefaultHasher::new();
        // Code of another version or setting must not be found: loading it fails at best.
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(CodeCache { dir: dir.to_owned(), engine: hasher.finish() })
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.dir.join(format!("{digest}-{:016x}.cwasm", self.engine))
    }

    /// The compiled component of a plugin, if the cache has an undamaged one.
    pub(crate) fn get(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let path = self.path(digest);
        let bytes = fs::read(&path).ok()?;
        let (code, checksum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
        if Sha256::digest(code).as_slice() != checksum {
            tracing::warn!(path = %path.display(), "a cached plugin is damaged, it is compiled again");
            return None;
        }
        component(engine, code)
            .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "a cached plugin does not load"))
            .ok()
    }

    /// Keeps compiled code. The file is written under another name, synced and renamed, so that no reader sees a part of it.
    pub(crate) fn put(&self, digest: &str, code: &[u8]) -> io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let aside = self.dir.join(format!(".{digest}-{}-{number}", std::process::id()));
        let written = write(&aside, code).and_then(|()| fs::rename(&aside, self.path(digest)));
        if written.is_err() {
            let _ = fs::remove_file(&aside);
        }
        written
    }
}

/// The component of code that wasmtime's compiler made, now or earlier.
pub(crate) fn component(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    #[expect(unsafe_code, reason = "the only way to load compiled code")]
    // SAFETY: the bytes must come from wasmtime's compiler. They come from a child of this process, which is this program,
    // or from the cache: its directory is ours and closed to others, its files are written by `put` alone, and the
    // checksum shows that they are as they were written.
    unsafe {
        Component::deserialize(engine, code)
    }
}

fn write(path: &Path, code: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(code)?;
    file.write_all(&Sha256::digest(code))?;
    file.sync_all()
}
