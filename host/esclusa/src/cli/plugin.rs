//! `esclusa plugin`: describes a plugin's file, without a configuration.

use super::{GlobalArgs, UsageError, print};
use crate::cli::Exit;
use crate::configuration::digest;
use crate::plugins;
use anyhow::{Context, Result};
use esclusa_sandbox::{ComponentNames, PluginFile, Sandbox, SandboxConfig};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// `esclusa plugin`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum PluginCommand {
    /// Show a plugin's name, version, digest, size, imports, exports, and the schema of its configuration
    #[command(after_help = "Example:\n  esclusa plugin inspect plugins/etl.wasm --json")]
    Inspect {
        /// The plugin's file
        file: PathBuf,
    },
}

impl PluginCommand {
    /// Runs the command.
    pub(super) async fn run(&self, global: &GlobalArgs) -> Result<Exit> {
        let PluginCommand::Inspect { file } = self;
        inspect(global, file).await
    }
}

async fn inspect(global: &GlobalArgs, file: &Path) -> Result<Exit> {
    let bytes = esclusa_sandbox::read(file).map_err(|error| UsageError(error.to_string()))?;
    let sandbox = Sandbox::new(SandboxConfig { compiler: plugins::compiler(), ..SandboxConfig::default() })?;
    let read = PluginFile::of(&file.display().to_string(), bytes.clone())?;
    let loaded = sandbox.load(read).await.with_context(|| format!("{} is not a plugin", file.display()))?;
    let names = ComponentNames::of(&bytes);
    let info = &loaded.info;
    let schema: Option<Value> = info.config_schema.as_deref().and_then(|text| serde_json::from_str(text).ok());
    if global.json {
        print::json(&json!({
            "name": info.name,
            "version": info.version,
            "description": info.description,
            "sha256": digest(&bytes),
            "bytes": bytes.len(),
            "imports": names.imports,
            "exports": names.exports,
            "config_schema": schema,
        }))?;
        return Ok(Exit::Ok);
    }
    print::line(&format!("{} {}", print::visible(&info.name), print::visible(&info.version)))?;
    if !info.description.is_empty() {
        print::line(&print::visible(&info.description))?;
    }
    print::line(&format!("\nsha256   {}\nsize     {} bytes", digest(&bytes), bytes.len()))?;
    for (what, names) in [("needs", &names.imports), ("offers", &names.exports)] {
        for name in names {
            print::line(&format!("{what:8} {}", print::visible(name)))?;
        }
    }
    match schema {
        Some(schema) => print::line(&format!("\nconfig, as JSON Schema:\n{schema:#}"))?,
        None => print::line("\nconfig: not described")?,
    }
    Ok(Exit::Ok)
}
