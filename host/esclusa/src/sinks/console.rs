//! Writes messages to standard output, a line each. If the reader stops reading, one thread blocks, and no other.

use super::line;
use esclusa_flow::BoxFuture;
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::engine::{SendError, Sink};
use esclusa_flow::fault::Fault;
use std::io::Write;
use tokio::sync::Mutex;

/// One write at a time. The lock is held by the write itself, even if the send was cancelled.
static TURN: Mutex<()> = Mutex::const_new(());

/// Standard output.
pub(crate) struct ConsoleSink;

impl Sink for ConsoleSink {
    fn send<'a>(&'a self, messages: &'a [OutboxMessage]) -> BoxFuture<'a, Vec<Result<(), SendError>>> {
        Box::pin(async move {
            let text: String = messages.iter().map(|m| line(&m.send.data) + "\n").collect();
            let turn = TURN.lock().await;
            let written = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                write(text.as_bytes())
            });
            let result = match written.await {
                Ok(written) => written.map_err(|error| format!("cannot write to standard output: {error}")),
                Err(error) => Err(error.to_string()),
            };
            vec![result.map_err(|why| Fault::Transient(why).into()); messages.len()]
        })
    }
}

fn write(text: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text)?;
    out.flush()
}
