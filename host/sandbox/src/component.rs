//! A plugin's file becomes a loaded plugin: read, looked at, compiled or fetched from the cache, checked against
//! the contract, and asked who it is. Nothing of a file that fails here ever takes traffic.

pub mod check;
mod error;
pub mod scan;

pub use error::LoadError;

use crate::call::{self, Program};
use crate::engine::{Inner, Sandbox};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use wasmtime::component::Component;

/// Bytes that a plugin's file may have.
pub const MAX_FILE: usize = 32 << 20;

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
    /// Loads the plugin in a file. The digest is of the very bytes that are loaded.
    ///
    /// # Errors
    /// [`LoadError`], which says what was found and what is expected.
    pub async fn load(&self, path: &Path) -> Result<Loaded, LoadError> {
        let unreadable = |source| LoadError::Read { path: path.to_owned(), source };
        let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).await.map_err(unreadable)?;
        self.load_bytes(&path.display().to_string(), bytes).await
    }

    /// Loads a plugin from memory; `name` is for error messages.
    ///
    /// # Errors
    /// [`LoadError`], which says what was found and what is expected.
    pub async fn load_bytes(&self, name: &str, bytes: Vec<u8>) -> Result<Loaded, LoadError> {
        if bytes.len() > MAX_FILE {
            return Err(LoadError::TooLarge);
        }
        let (digest, component) = compiled(&self.0, name, bytes).await?;
        let program = Arc::new(check::program(&self.0, &component)?);
        let info = call::describe(&program).await?;
        Ok(Loaded { digest, info: Arc::new(info), program })
    }
}

/// Compiles off the hot path. Where it takes too long it is given up, but keeps its permit until it is through.
async fn compiled(inner: &Arc<Inner>, name: &str, bytes: Vec<u8>) -> Result<(Arc<str>, Component), LoadError> {
    let permit = inner.compiling.clone().acquire_owned().await.map_err(|_| LoadError::Stopped)?;
    let (shared, name) = (inner.clone(), name.to_owned());
    let work = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        compile(&shared, &name, &bytes)
    });
    match tokio::time::timeout(inner.config.compile_time, work).await {
        Ok(joined) => joined.unwrap_or_else(|error| Err(LoadError::Compile(error.to_string()))),
        Err(_) => Err(LoadError::CompileTime(inner.config.compile_time)),
    }
}

fn compile(inner: &Inner, name: &str, bytes: &[u8]) -> Result<(Arc<str>, Component), LoadError> {
    let digest: Arc<str> = hex(&Sha256::digest(bytes)).into();
    if let Some(found) = inner.cache.as_ref().and_then(|cache| cache.get(&inner.engine, &digest)) {
        return Ok((digest, found));
    }
    scan::scan(bytes)?;
    let started = std::time::Instant::now();
    let compiled =
        Component::from_binary(&inner.engine, bytes).map_err(|error| LoadError::Compile(format!("{error:#}")))?;
    tracing::info!(
        plugin = name,
        digest = &*digest,
        milliseconds = started.elapsed().as_millis() as u64,
        "plugin compiled"
    );
    if let Some(Err(error)) = inner.cache.as_ref().map(|cache| cache.put(&digest, &compiled)) {
        tracing::warn!(plugin = name, %error, "a compiled plugin could not be kept, it will be compiled again");
    }
    Ok((digest, compiled))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
