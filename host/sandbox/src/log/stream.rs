//! A guest's standard output or error as an output stream of WASI.

use super::{Journal, Origin};
use std::pin::Pin;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi_io::bytes::Bytes;

/// Bytes that a guest may write at once.
const CHUNK: usize = 64 << 10;

/// Writes into the journal of the call. Never blocks.
pub struct LogStream {
    journal: Journal,
    origin: Origin,
}

impl LogStream {
    /// A stream into `journal`.
    pub fn new(journal: Journal, origin: Origin) -> Self {
        LogStream { journal, origin }
    }
}

impl Pollable for LogStream {
    fn ready<'a, 'b>(&'a mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(std::future::ready(()))
    }
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.journal.write(self.origin, &bytes);
        Ok(())
    }

    /// What comes with the trait makes as many zeros as a guest names, in the host's memory.
    fn write_zeroes(&mut self, count: usize) -> StreamResult<()> {
        if count > CHUNK {
            return Err(StreamError::trap("write-zeroes of more bytes than check-write allows"));
        }
        self.journal.write(self.origin, &vec![0; count]);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK)
    }
}
