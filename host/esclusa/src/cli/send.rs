//! `esclusa send`: puts events into the stream or queue of a source, through the running router or into the store.

use super::connect::{Client, RouterOrStore, connect_or_create, escape};
use super::{GlobalArgs, UsageError, completions, print};
use crate::cli::Exit;
use crate::intake;
use anyhow::{Context, Result};
use esclusa_config::plan::Plan;
use esclusa_embedded::{NewRecord, Store};
use serde::Deserialize;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

/// Most lines of one request.
const LINES: usize = 1000;
/// Bytes of lines after which they are sent.
const BYTES: usize = 4 << 20;

/// `esclusa send`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  esclusa send orders orders.jsonl --key order_id\n  echo '{\"n\": 1}' | esclusa send orders"
)]
pub(super) struct SendArgs {
    /// Name of the source in routes.toml: a stream, a queue, or http without reply
    #[arg(add = completions::sources())]
    source: String,
    /// JSON lines, an event each; - is standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// The field that holds the partition key or message group; dots lead into nested objects
    #[arg(long, value_name = "FIELD", conflicts_with = "raw")]
    key: Option<String>,
    /// Send the whole input as one event
    #[arg(long)]
    raw: bool,
}

/// The router or the store that takes the events.
enum SendTarget {
    Router(Client),
    Store(Store, Box<Plan>),
}

#[derive(Deserialize)]
struct SentIds {
    ids: Vec<String>,
}

impl SendArgs {
    /// Sends the events, and prints how many there were.
    pub(super) async fn run(&self, global: &GlobalArgs) -> Result<Exit> {
        let mut input = self.open()?;
        let target = match connect_or_create(global).await? {
            RouterOrStore::Router(client) => SendTarget::Router(client),
            RouterOrStore::Store(store, plan) => SendTarget::Store(store, plan),
        };
        let mut sent = 0;
        if self.raw {
            let mut data = Vec::new();
            input.read_to_end(&mut data)?;
            sent += self.put(&target, data, 1).await?;
        } else {
            let (mut chunk, mut first, mut next) = (Vec::new(), 1, 1);
            loop {
                let read = input.read_until(b'\n', &mut chunk)?;
                next += usize::from(read > 0);
                if (read == 0 || next - first >= LINES || chunk.len() >= BYTES) && !chunk.is_empty() {
                    sent += self
                        .put(&target, std::mem::take(&mut chunk), first)
                        .await
                        // Earlier parts are stored: the message says where to go on.
                        .with_context(|| format!("{sent} event(s) were sent before"))?;
                    first = next;
                }
                if read == 0 {
                    break;
                }
            }
            if sent == 0 {
                // An empty input is sent, too: so a wrong name of the source is an error.
                self.put(&target, Vec::new(), 1).await?;
            }
        }
        if global.json {
            print::json(&serde_json::json!({"sent": sent}))?;
        } else {
            print::message(&format!("{sent} event(s) sent to {}", self.source));
        }
        Ok(Exit::Ok)
    }

    fn open(&self) -> Result<Box<dyn BufRead>> {
        if self.file.as_os_str() == "-" {
            return Ok(Box::new(BufReader::new(std::io::stdin())));
        }
        let file = std::fs::File::open(&self.file)
            .map_err(|error| UsageError(format!("cannot read {}: {error}", self.file.display())))?;
        Ok(Box::new(BufReader::new(file)))
    }

    /// Sends one part of the input; `first` is the number of its first line.
    async fn put(&self, target: &SendTarget, text: Vec<u8>, first: usize) -> Result<usize> {
        let records = self.records(&text, first)?;
        match target {
            SendTarget::Store(store, plan) => Ok(intake::put(store, plan, &self.source, &records).await?.len()),
            SendTarget::Router(client) => {
                let mut path = format!("/api/v1/sources/{}/send?raw={}", escape(&self.source), self.raw);
                if let Some(field) = &self.key {
                    path.push_str(&format!("&key={}", escape(field)));
                }
                let sent_ids: SentIds = client.upload(&path, text).await?;
                Ok(sent_ids.ids.len())
            }
        }
    }

    fn records(&self, text: &[u8], first: usize) -> Result<Vec<NewRecord>, intake::NotTaken> {
        if self.raw {
            return Ok(vec![intake::raw(text.to_vec(), "")]);
        }
        intake::json_lines(text, self.key.as_deref(), first)
    }
}
