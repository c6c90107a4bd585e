//! `esclusa table`: prints items of tables, as JSON lines with every digit of every number.

use super::connect::{RouterOrStore, connect_checked, escape};
use super::{GlobalArgs, completions, print};
use crate::cli::Exit;
use crate::table_reads;
use crate::visible::VisibleWriter;
use anyhow::{Result, bail};
use std::io::{BufWriter, Write};

/// `esclusa table`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum TableCommand {
    /// Print every item of a table, a line each
    #[command(after_help = "Example:\n  esclusa table scan orders -c routes.toml | head")]
    Scan {
        /// Name of the table in routes.toml
        #[arg(add = completions::tables())]
        table: String,
    },
    /// Print the item with a key; exit 1 if there is none
    #[command(after_help = "Example:\n  esclusa table get requests '{\"pk\": \"path#/\", \"sk\": \"2026-11-22\"}'")]
    Get {
        /// Name of the table in routes.toml
        #[arg(add = completions::tables())]
        table: String,
        /// The key, a JSON object
        key: String,
    },
}

impl TableCommand {
    /// Runs the command.
    pub(super) async fn run(&self, global: &GlobalArgs) -> Result<Exit> {
        match self {
            TableCommand::Scan { table } => scan(global, table).await,
            TableCommand::Get { table, key } => get(global, table, key).await,
        }
    }
}

async fn scan(global: &GlobalArgs, table: &str) -> Result<Exit> {
    let mut out = VisibleWriter::new(BufWriter::new(std::io::stdout().lock()));
    match connect_checked(global, |plan| Ok(table_reads::check(plan, table)?)).await? {
        RouterOrStore::Router(client) => {
            let mut response = client.stream(&format!("/api/v1/tables/{}/scan", escape(table))).await?;
            while let Some(chunk) = response.chunk().await? {
                out.write_all(&chunk).map_err(print::failed)?;
            }
        }
        RouterOrStore::Store(store, plan) => {
            for item in table_reads::scan(&store, &plan, table)? {
                writeln!(out, "{}", item?).map_err(print::failed)?;
            }
        }
    }
    out.flush().map_err(print::failed)?;
    Ok(Exit::Ok)
}

async fn get(global: &GlobalArgs, table: &str, key: &str) -> Result<Exit> {
    let found = match connect_checked(global, |plan| Ok(table_reads::check(plan, table)?)).await? {
        RouterOrStore::Router(client) => {
            let path = format!("/api/v1/tables/{}/item?key={}", escape(table), escape(key));
            let text = client.stream(&path).await?.text().await?;
            (text.trim() != "null").then_some(text)
        }
        RouterOrStore::Store(store, plan) => table_reads::get(&store, &plan, table, key)?,
    };
    match found {
        Some(item) => print::line(item.trim_end())?,
        None => bail!("table {table:?} has no item with the key {key}"),
    }
    Ok(Exit::Ok)
}
