//! A plugin's file becomes a loaded plugin: read, looked at, compiled or fetched from the cache, checked against
//! the contract, and asked who it is. Nothing of a file that fails here ever takes traffic.

pub mod check;
pub mod compile;
mod error;
mod file;
pub mod scan;

pub use error::LoadError;
pub use file::read;

use crate::cache;
use crate::call::{self, Program};
use crate::engine::{Inner, Sandbox};
use compile::Compiler;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use wasmtime::component::Component;

/// Bytes that a plugin's file may have.
pub const MAX_FILE: usize = 32 << 20;
/// Bytes that the schema of a plugin's configuration may have. The largest of those at hand has 2,000.
pub const MAX_SCHEMA: usize = 64 << 10;

/// Who a plugin is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does, in a line.
    pub description: String,
    /// JSON Schema of its configuration, where it has one.
    pub config_schema: Option<String>,
}

/// A version of a plugin, ready to be configured for routes. Dropping the last value that came of it frees its
/// code.
#[derive(Clone)]
pub struct Loaded {
    /// SHA-256 of the bytes that were loaded, in hex.
    pub digest: Arc<str>,
    /// Who it says it is.
    pub info: Arc<Info>,
    pub(crate) program: Arc<Program>,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("digest", &self.digest).field("info", &self.info).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Loads the plugin in a file. The digest is of the very bytes that are loaded. Dropped, it stops the child that
    /// compiles.
    ///
    /// # Errors
    /// [`LoadError`], which says what was found and what is expected.
    pub async fn load(&self, path: &Path) -> Result<Loaded, LoadError> {
        let file = path.to_owned();
        let bytes = aside(move || file::read(&file)).await?;
        self.load_bytes(&path.display().to_string(), bytes).await
    }

    /// Loads a plugin from memory; `name` is for messages.
    ///
    /// # Errors
    /// [`LoadError`], which says what was found and what is expected.
    pub async fn load_bytes(&self, name: &str, bytes: Vec<u8>) -> Result<Loaded, LoadError> {
        if bytes.len() > MAX_FILE {
            return Err(LoadError::TooLarge);
        }
        let (digest, component) = compiled(&self.0, name, Arc::new(bytes)).await?;
        let program = Arc::new(check::program(&self.0, &component)?);
        let info = call::describe(&program).await?;
        brief(&info)?;
        Ok(Loaded { digest, info: Arc::new(info), program })
    }
}

/// Code from the cache, or else from the compiler.
async fn compiled(inner: &Arc<Inner>, name: &str, bytes: Arc<Vec<u8>>) -> Result<(Arc<str>, Component), LoadError> {
    let (shared, file) = (inner.clone(), bytes.clone());
    let (digest, found) = aside(move || {
        let digest: Arc<str> = hex(&Sha256::digest(&*file)).into();
        let found = shared.cache.as_ref().and_then(|cache| cache.get(&shared.engine, &digest));
        Ok((digest, found))
    })
    .await?;
    if let Some(component) = found {
        return Ok((digest, component));
    }
    tracing::info!(plugin = name, bytes = bytes.len(), "compiling a plugin");
    let started = Instant::now();
    let code = match &inner.config.compiler {
        Compiler::Here => inner.compiling.here(&inner.engine, bytes, inner.config.compile_time).await?,
        Compiler::Child(program) => inner.compiling.by_child(program, &bytes).await?,
    };
    let milliseconds = started.elapsed().as_millis() as u64;
    tracing::info!(plugin = name, digest = &*digest, milliseconds, "plugin compiled");
    let (shared, name) = (inner.clone(), name.to_owned());
    aside(move || {
        let component = cache::component(&shared.engine, &code);
        let component = component.map_err(|error| LoadError::Compile(format!("{error:#}")))?;
        if let Some(Err(error)) = shared.cache.as_ref().map(|cache| cache.put(&digest, &code)) {
            tracing::warn!(plugin = name, %error, "a compiled plugin could not be kept, it will be compiled again");
        }
        Ok((digest, component))
    })
    .await
}

/// Does what takes its time on a thread that nobody waits for but this.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(LoadError::Stopped))
}

/// What a plugin says of itself is shown in logs, status and pages, and its schema is computed with.
fn brief(info: &Info) -> Result<(), LoadError> {
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

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
