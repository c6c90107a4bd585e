//! Loads a plugin: reads its file, compiles it or takes the code from the cache, checks it against the contract, and
//! asks it for its name and version. A plugin that fails here never gets an event.

use crate::checked_component::{self, CheckedComponent};
use crate::code_cache;
use crate::compile::Compiler;
use crate::contract::PluginInfo;
use crate::instance::Instance;
use crate::load_error::{LoadError, MAX_FILE};
use crate::sandbox::{self, Sandbox, SandboxCore};
use esclusa_flow::BoxFuture;
use esclusa_flow::secrets::Secrets;
use rustix::fs::{Mode, OFlags, open};
use sha2::{Digest, Sha256};
use std::fs::{File, FileType, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::time::timeout;
use wasmtime::component::Component;

/// Most bytes of the schema of a plugin's configuration. The largest of our plugins' schemas has 2,000.
pub const MAX_SCHEMA: usize = 64 << 10;

/// A version of a plugin, ready to be configured for routes. Its code is freed with the last clone and the last plugin
/// configured from it.
#[derive(Clone)]
pub struct CompiledPlugin {
    /// SHA-256 of the bytes that were loaded, in hex.
    pub digest: Arc<str>,
    /// Its description of itself.
    pub info: Arc<PluginInfo>,
    pub(crate) program: Arc<CheckedComponent>,
}

impl std::fmt::Debug for CompiledPlugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("digest", &self.digest).field("info", &self.info).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Loads the plugin of a file. If this future is dropped, the child that compiles is killed.
    ///
    /// # Errors
    /// [`LoadError`], which says what was found and what is expected.
    pub fn load(&self, file: PluginFile) -> BoxFuture<'_, Result<CompiledPlugin, LoadError>> {
        // Boxed, so that wasmtime's generic code is compiled in this crate only.
        Box::pin(async move { self.load_file(file).await.map_err(LoadError::visible) })
    }

    async fn load_file(&self, file: PluginFile) -> Result<CompiledPlugin, LoadError> {
        let digest = file.digest.clone();
        let component = compiled(&self.0, file).await?;
        let program = Arc::new(checked_component::program(&self.0, &component)?);
        let info = describe(&program).await?;
        check_lengths(&info)?;
        Ok(CompiledPlugin { digest, info: Arc::new(info), program })
    }
}

/// A plugin's file, read and not looked at any further: nothing of it has been compiled or run.
pub struct PluginFile {
    /// SHA-256 of the bytes that were read, in hex; it stays true if the file changes meanwhile.
    pub digest: Arc<str>,
    name: String,
    bytes: Arc<Vec<u8>>,
}

impl PluginFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`LoadError`], which names what was found and what is expected.
    pub async fn read(path: &Path) -> Result<Self, LoadError> {
        let path = path.to_owned();
        off_thread(move || PluginFile::of(&path.display().to_string(), read(&path)?)).await
    }

    /// A file that is in memory; `name` is for messages.
    ///
    /// # Errors
    /// [`LoadError::TooLarge`].
    pub fn of(name: &str, bytes: Vec<u8>) -> Result<Self, LoadError> {
        if bytes.len() > MAX_FILE {
            return Err(LoadError::TooLarge);
        }
        Ok(PluginFile {
            digest: hex::encode(Sha256::digest(&bytes)).into(),
            name: name.to_owned(),
            bytes: Arc::new(bytes),
        })
    }
}

/// Asks a plugin for its name, version, description and schema.
///
/// # Errors
/// [`LoadError::Describe`].
async fn describe(program: &Arc<CheckedComponent>) -> Result<PluginInfo, LoadError> {
    let (threads, program) = (program.inner.config.threads.clone(), program.clone());
    sandbox::run_on(threads, async move { described(&program).await }).await.unwrap_or(Err(LoadError::Stopped))
}

async fn described(program: &Arc<CheckedComponent>) -> Result<PluginInfo, LoadError> {
    let limits = program.inner.config.describe;
    let _permit = program.inner.running.of_new().await.map_err(|_| LoadError::Stopped)?;
    let mut instance = Instance::new(program, &"describe".into(), (&Arc::default(), &Secrets::default()), limits);
    let asked = timeout(limits.time, async {
        instance.start().await?;
        instance.describe().await
    });
    match asked.await {
        Ok(Ok(info)) => Ok(info),
        Ok(Err(stopped)) => Err(LoadError::Describe(instance.failure(stopped))),
        Err(_) => Err(LoadError::Describe(instance.timed_out())),
    }
}

/// The component of a file: from the cache, or else from the compiler, whose code is then put into the cache.
async fn compiled(inner: &Arc<SandboxCore>, file: PluginFile) -> Result<Component, LoadError> {
    let PluginFile { digest, name, bytes } = file;
    let (shared, wanted) = (inner.clone(), digest.clone());
    let cached = move || Ok(shared.cache.as_ref().and_then(|cache| cache.get(&shared.engine, &wanted)));
    if let Some(component) = off_thread(cached).await? {
        return Ok(component);
    }
    tracing::info!(plugin = name, bytes = bytes.len(), "compiling a plugin");
    let started = Instant::now();
    let code = match &inner.config.compiler {
        Compiler::Here => inner.compiling.in_process(&inner.engine, bytes, inner.config.compile_time).await?,
        Compiler::Child(program) => inner.compiling.by_child(program, &bytes).await?,
    };
    let milliseconds = started.elapsed().as_millis() as u64;
    tracing::info!(plugin = name, digest = &*digest, milliseconds, "plugin compiled");
    let shared = inner.clone();
    off_thread(move || {
        let component = code_cache::component(&shared.engine, &code);
        let component = component.map_err(|error| LoadError::Compile(format!("{error:#}")))?;
        if let Some(cache) = &shared.cache {
            cache.put(&digest, &code);
        }
        Ok(component)
    })
    .await
}

/// Runs blocking work on a thread for such work.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(LoadError::Stopped))
}

/// Refuses a plugin that describes itself at too great length: the texts are shown in logs and pages, and every
/// configuration is checked with the schema.
fn check_lengths(info: &PluginInfo) -> Result<(), LoadError> {
    let texts = [
        ("name", info.name.len(), 128),
        ("version", info.version.len(), 128),
        ("description", info.description.len(), 4 << 10),
        ("config schema", info.config_schema.as_ref().map_or(0, String::len), MAX_SCHEMA),
    ];
    match texts.into_iter().find(|(_, bytes, most)| bytes > most) {
        Some((what, bytes, most)) => Err(LoadError::Wordy { what, bytes, most }),
        None => Ok(()),
    }
}

/// The bytes of a plugin's file. Its kind and size are checked before it is opened; blocks only on the disk.
///
/// # Errors
/// [`LoadError::Read`], [`LoadError::NoFile`] or [`LoadError::TooLarge`].
pub fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let unreadable = |source: io::Error| LoadError::Read { path: path.to_owned(), source };
    // Before it is opened: opening a device may do something.
    sound(path, &std::fs::metadata(path).map_err(unreadable)?)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(open(path, flags, Mode::empty()).map_err(|error| unreadable(error.into()))?);
    // Another file may be there by now.
    sound(path, &file.metadata().map_err(unreadable)?)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_FILE { Err(LoadError::TooLarge) } else { Ok(bytes) }
}

fn sound(path: &Path, meta: &Metadata) -> Result<(), LoadError> {
    if let Some(what) = other(meta.file_type()) {
        return Err(LoadError::NoFile { path: path.to_owned(), what });
    }
    if meta.len() > MAX_FILE as u64 { Err(LoadError::TooLarge) } else { Ok(()) }
}

/// The kind of a path that is no file, with its article.
fn other(kind: FileType) -> Option<&'static str> {
    match kind {
        kind if kind.is_file() => None,
        kind if kind.is_dir() => Some("a directory"),
        kind if kind.is_fifo() => Some("a named pipe"),
        kind if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    }
}
