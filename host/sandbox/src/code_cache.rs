//! Compiled code on disk, by digest of the plugin and by engine.
//!
//! Native code is run as it is read, so a file must be one that this router wrote, for this very plugin and engine. Each ends with
//! a MAC of all that, by a [key](key) which is not in the directory. A file without it, that is damaged, or that others may
//! change is compiled again. So it is also taken from a directory that somebody else may write to after all.

mod key;

use hmac::{Hmac, KeyInit, Mac};
use key::Key;
use rustix::fs::{AtFlags, Mode, OFlags, open, openat, renameat, unlinkat};
use rustix::process::geteuid;
use sha2::Sha256;
use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Bytes of the MAC at the end of a file.
const MAC: usize = 32;
/// Bytes of a file that are read: more than a compiler gives.
const LARGEST: u64 = crate::compile::BOUNDS.answer as u64 + MAC as u64;

/// A directory of compiled components.
pub(crate) struct CodeCache {
    path: PathBuf,
    /// The directory that was checked, whatever stands at its path by now.
    dir: OwnedFd,
    key: Key,
    /// Distinguishes versions and settings of the engine, and the machine's instruction set.
    engine: u64,
    /// It was told that nothing can be written.
    told: AtomicBool,
}

impl CodeCache {
    /// Opens the directory, makes it if it is missing, and closes it to other users.
    ///
    /// # Errors
    /// The directory or its key cannot be used: another user owns it, or nothing can be written there.
    pub(crate) fn open(path: &Path, engine: &Engine) -> io::Result<CodeCache> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = File::from(open(path, flags, Mode::empty())?);
        if let Some(why) = foreign(&dir.metadata()?, 0) {
            return Err(io::Error::other(why));
        }
        if dir.metadata()?.mode() & 0o077 != 0 {
            dir.set_permissions(Permissions::from_mode(0o700))?;
        }
        let mut hasher = DefaultHasher::new();
        // Code of another version or setting must not be found: loading it fails at best.
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let key = Key::of(&key::path(path))?;
        Ok(CodeCache {
            path: path.to_owned(),
            dir: dir.into(),
            key,
            engine: hasher.finish(),
            told: AtomicBool::new(false),
        })
    }

    fn name(&self, digest: &str) -> String {
        format!("{digest}-{:016x}.cwasm", self.engine)
    }

    fn mac(&self, digest: &str, code: &[u8]) -> Hmac<Sha256> {
        // The name says for which plugin and engine the code is; it has the same length for all of them.
        let mut mac = Hmac::<Sha256>::new(&self.key.0.into());
        mac.update(b"esclusa compiled plugin 1\0");
        mac.update(self.name(digest).as_bytes());
        mac.update(code);
        mac
    }

    /// The compiled component of a plugin, if the cache has one that this router wrote.
    pub(crate) fn get(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let told = |why: &dyn std::fmt::Display| {
            let path = self.path.join(self.name(digest));
            tracing::warn!(path = %path.display(), %why, "a cached plugin is not used, it is compiled again");
        };
        let code = match self.read(digest) {
            Ok(code) => code,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => {
                told(&error);
                return None;
            }
        };
        component(engine, &code).inspect_err(|error| told(error)).ok()
    }

    /// The code of a file, once it is certain that this router wrote it.
    fn read(&self, digest: &str) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(&self.dir, self.name(digest), flags, Mode::empty())?);
        let about = file.metadata()?;
        let why = if about.is_file() { foreign(&about, 0o022) } else { Some("it is no file") };
        if let Some(why) = why {
            return Err(io::Error::other(why));
        }
        let mut bytes = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut bytes)?;
        let mac = bytes.split_off(bytes.len().saturating_sub(MAC));
        match self.mac(digest, &bytes).verify_slice(&mac) {
            Ok(()) => Ok(bytes),
            Err(_) => Err(io::Error::other("it is damaged, or was not written with the key of this cache")),
        }
    }

    /// Keeps compiled code. The file is written under another name, synced and renamed, so that no reader sees a part of it. If that
    /// fails, the plugin is served all the same; this is told once.
    pub(crate) fn put(&self, digest: &str, code: &[u8]) {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let aside = format!(".{digest}-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let written = self
            .write(&aside, digest, code)
            .and_then(|()| renameat(&self.dir, &aside, &self.dir, self.name(digest)).map_err(io::Error::from));
        let Err(error) = written else { return };
        // It may not have been made.
        let _ = unlinkat(&self.dir, &aside, AtFlags::empty());
        if !self.told.swap(true, Ordering::Relaxed) {
            let path = self.path.display();
            tracing::warn!(%path, %error, "compiled plugins cannot be kept: they are compiled again at each start");
        }
    }

    fn write(&self, name: &str, digest: &str, code: &[u8]) -> io::Result<()> {
        // What an earlier process of this number left.
        let _ = unlinkat(&self.dir, name, AtFlags::empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.dir, name, flags, Mode::RUSR | Mode::WUSR)?);
        file.write_all(code)?;
        file.write_all(&self.mac(digest, code).finalize().into_bytes())?;
        file.sync_all()
    }
}

/// Why others than this user may have made or changed what has these attributes; `None`: nobody may. `closed`: bits of the mode that
/// must not be set.
fn foreign(about: &Metadata, closed: u32) -> Option<&'static str> {
    if about.uid() != geteuid().as_raw() {
        return Some("another user owns it");
    }
    (about.mode() & closed != 0).then_some("its mode lets other users in")
}

/// The component of code that wasmtime's compiler made, now or earlier.
pub(crate) fn component(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    #[expect(unsafe_code, reason = "the only way to load compiled code")]
    // SAFETY: the bytes must come from wasmtime's compiler. They come from a child of this process, which is this program,
    // or from the cache: their MAC shows that a router with this key wrote them for this plugin and engine, as they are.
    unsafe {
        Component::deserialize(engine, code)
    }
}
