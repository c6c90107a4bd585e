//! The parts of WASI that are answered from the batch or with "there is none", and the guest's output, which goes into
//! the log.

use super::Guest;
use crate::call_meter::GuestStop;
use crate::guest_log::{Journal, LogOrigin};
use std::pin::Pin;
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::cli::{
    environment, exit, stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr, terminal_stdin,
    terminal_stdout,
};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::p2::pipe::ClosedInputStream;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, OutputStream, Pollable, StreamError, StreamResult, subscribe,
};
use wasmtime_wasi_io::bytes::Bytes;

/// Most random bytes of one request.
const RANDOM: u64 = 64 << 10;

/// Most bytes of one write by a guest.
const CHUNK: usize = 64 << 10;

impl environment::Host for Guest {
    fn get_environment(&mut self) -> Result<Vec<(String, String)>> {
        self.count_host_call()?;
        Ok(Vec::new())
    }

    fn get_arguments(&mut self) -> Result<Vec<String>> {
        self.count_host_call()?;
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> Result<Option<String>> {
        self.count_host_call()?;
        Ok(None)
    }
}

impl exit::Host for Guest {
    fn exit(&mut self, status: std::result::Result<(), ()>) -> Result<()> {
        Err(GuestStop::Exit(u8::from(status.is_err())).into())
    }

    fn exit_with_code(&mut self, status: u8) -> Result<()> {
        Err(GuestStop::Exit(status).into())
    }
}

impl stdin::Host for Guest {
    fn get_stdin(&mut self) -> Result<Resource<DynInputStream>> {
        self.count_host_call()?;
        Ok(self.table.push(Box::new(ClosedInputStream) as DynInputStream)?)
    }
}

impl stdout::Host for Guest {
    fn get_stdout(&mut self) -> Result<Resource<DynOutputStream>> {
        self.log_stream(LogOrigin::Stdout)
    }
}

impl stderr::Host for Guest {
    fn get_stderr(&mut self) -> Result<Resource<DynOutputStream>> {
        self.log_stream(LogOrigin::Stderr)
    }
}

impl Guest {
    fn log_stream(&mut self, origin: LogOrigin) -> Result<Resource<DynOutputStream>> {
        self.count_host_call()?;
        let stream = LogStream::new(self.journal.clone(), origin);
        Ok(self.table.push(Box::new(stream) as DynOutputStream)?)
    }

    fn random_bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        self.count_host_call()?;
        if count > RANDOM {
            return Err(GuestStop::Random(count, RANDOM).into());
        }
        Ok(self.random.bytes(count as usize))
    }

    fn random_number(&mut self) -> Result<u64> {
        self.count_host_call()?;
        Ok(self.random.next())
    }

    fn timer(&mut self) -> Result<Resource<DynPollable>> {
        let elapsed = self.table.push(Elapsed)?;
        subscribe(&mut self.table, elapsed)
    }
}

impl terminal_input::Host for Guest {}
impl terminal_input::HostTerminalInput for Guest {
    fn drop(&mut self, terminal: Resource<terminal_input::TerminalInput>) -> Result<()> {
        self.table.delete(terminal)?;
        Ok(())
    }
}

impl terminal_output::Host for Guest {}
impl terminal_output::HostTerminalOutput for Guest {
    fn drop(&mut self, terminal: Resource<terminal_output::TerminalOutput>) -> Result<()> {
        self.table.delete(terminal)?;
        Ok(())
    }
}

impl terminal_stdin::Host for Guest {
    fn get_terminal_stdin(&mut self) -> Result<Option<Resource<terminal_stdin::TerminalInput>>> {
        self.count_host_call()?;
        Ok(None)
    }
}

impl terminal_stdout::Host for Guest {
    fn get_terminal_stdout(&mut self) -> Result<Option<Resource<terminal_stdout::TerminalOutput>>> {
        self.count_host_call()?;
        Ok(None)
    }
}

impl terminal_stderr::Host for Guest {
    fn get_terminal_stderr(&mut self) -> Result<Option<Resource<terminal_stderr::TerminalOutput>>> {
        self.count_host_call()?;
        Ok(None)
    }
}

impl wall_clock::Host for Guest {
    fn now(&mut self) -> Result<wall_clock::Datetime> {
        self.count_host_call()?;
        let now = self.clock.wall();
        Ok(wall_clock::Datetime { seconds: now / 1000, nanoseconds: (now % 1000) as u32 * 1_000_000 })
    }

    fn resolution(&mut self) -> Result<wall_clock::Datetime> {
        self.count_host_call()?;
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1_000_000 })
    }
}

/// A timer. The guest's clock moves when the timer is made, so it has always elapsed.
struct Elapsed;

impl Pollable for Elapsed {
    fn ready<'a, 'b>(&'a mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(std::future::ready(()))
    }
}

impl monotonic_clock::Host for Guest {
    fn now(&mut self) -> Result<u64> {
        self.count_host_call()?;
        Ok(self.clock.monotonic())
    }

    fn resolution(&mut self) -> Result<u64> {
        self.count_host_call()?;
        Ok(crate::guest_clock::STEP)
    }

    fn subscribe_instant(&mut self, when: u64) -> Result<Resource<DynPollable>> {
        self.count_host_call()?;
        self.clock.wait_until(when);
        self.timer()
    }

    fn subscribe_duration(&mut self, nanoseconds: u64) -> Result<Resource<DynPollable>> {
        self.count_host_call()?;
        self.clock.wait(nanoseconds);
        self.timer()
    }
}

impl random::Host for Guest {
    fn get_random_bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        self.random_bytes(count)
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        self.random_number()
    }
}

impl insecure::Host for Guest {
    fn get_insecure_random_bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        self.random_bytes(count)
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        self.random_number()
    }
}

impl insecure_seed::Host for Guest {
    fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        self.count_host_call()?;
        Ok((self.random.next(), self.random.next()))
    }
}

/// A guest's standard output or error as an output stream of WASI: writes into the journal of the call. Never blocks.
struct LogStream {
    journal: Journal,
    origin: LogOrigin,
}

impl LogStream {
    /// A stream into `journal`.
    fn new(journal: Journal, origin: LogOrigin) -> Self {
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

    /// The trait's own version would allocate as many zeros as a guest asks for in the host's memory.
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
