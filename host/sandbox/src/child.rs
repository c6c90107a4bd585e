//! Work in a child process, for work that may take any time and any memory: a thread cannot be stopped, a process can.
//!
//! The child is the same program, started with a command that no help lists. It reads its input from standard input
//! (the length as eight bytes, little-endian, then the bytes), writes its answer to standard output and ends. It has no
//! environment and no other descriptors, and sets its [`ChildLimits`] before it reads a byte. It ends with its parent:
//! standard input stays open until the parent has the answer, and a thread of the child waits for its end.
//!
//! This protects the parent's memory and threads. It is **no security boundary for the answer**: the parent believes
//! the answer of a child, even if the input has taken the child over.

mod serve;

pub use serve::serve;

use rustix::process::{Pid, setpriority_pgrp};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// Time between two readings of a child's processor time.
const LOOK: Duration = Duration::from_millis(20);
/// A child is given up after so many times its processor time on the clock: it hangs, or the machine is overloaded.
const WALL: u32 = 10;
/// Bytes of a child's standard error that are kept.
const COMPLAINT: u64 = 4 << 10;
/// Threads of one child. More of them would need more memory for little gain.
const THREADS: usize = 4;

/// The command that starts a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildCommand {
    /// The file.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl ChildCommand {
    /// The program that runs now, even if its file has been replaced since.
    #[must_use]
    pub fn this(command: &str) -> ChildCommand {
        ChildCommand { path: "/proc/self/exe".into(), arguments: vec![command.into()] }
    }

    /// Starts it at a niceness, from 0 to 19.
    ///
    /// # Errors
    /// [`ChildError::Start`].
    pub fn start(&self, niceness: i32) -> Result<Child, ChildError> {
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(THREADS));
        let mut command = Command::new(&self.path);
        command
            .arg0("esclusa")
            .args(&self.arguments)
            .env_clear()
            .env("RAYON_NUM_THREADS", threads.to_string())
            // Otherwise the allocator reserves 1 GiB of addresses at the start, which count as the child's memory.
            .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A process group of its own: one call sets the priority of all its threads, and Ctrl-C in a terminal
            // reaches the parent alone, which then ends the child.
            .process_group(0)
            .kill_on_drop(true);
        let process = command.spawn().map_err(ChildError::Start)?;
        let usage = ProcessorUsage(process.id().and_then(|id| Pid::from_raw(id.cast_signed())));
        usage.renice(niceness);
        Ok(Child { process, usage })
    }
}

/// The resources of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildLimits {
    /// Bytes of its memory, mapped files left out.
    pub memory: u64,
    /// Processor time of all its threads, in whole seconds.
    pub time: Duration,
    /// Bytes of its answer.
    pub answer: usize,
}

/// Why a child gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// The process could not be started.
    #[error("the process for it does not start: {0}")]
    Start(std::io::Error),
    /// It needed more memory than it may have, or than the machine has.
    #[error("it takes more than {} MiB of memory", .0 >> 20)]
    Memory(u64),
    /// It needed more processor time than it may have.
    #[error("it takes more than {0:?} of processor time")]
    Time(Duration),
    /// Its answer is too long.
    #[error("the result has more than {} MiB", .0 >> 20)]
    Answer(usize),
    /// It ended without an answer.
    #[error("the process for it crashed: {0}")]
    Crashed(String),
}

/// A child at work; it is killed when this is dropped.
#[derive(Debug)]
pub struct Child {
    process: tokio::process::Child,
    usage: ProcessorUsage,
}

impl Child {
    /// The child's processor time, to be watched while [`Child::ask`] owns the child.
    #[must_use]
    pub(crate) fn usage(&self) -> ProcessorUsage {
        self.usage
    }

    /// Gives the child its input and waits for its answer. If this future is dropped, the child is killed.
    ///
    /// # Errors
    /// [`ChildError`].
    pub async fn ask(mut self, input: &[u8], bounds: &ChildLimits) -> Result<Vec<u8>, ChildError> {
        let (mut answer, mut complaint) = (Vec::new(), Vec::new());
        let pipes = (self.process.stdin.take(), self.process.stdout.take(), self.process.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(ChildError::Crashed("it has no pipes".to_owned()));
        };
        let most = bounds.answer;
        let exchange = async {
            let feed = async {
                stdin.write_all(&(input.len() as u64).to_le_bytes()).await?;
                stdin.write_all(input).await
            };
            let (mut stdout, mut stderr) = (stdout.take(most as u64 + 1), stderr.take(COMPLAINT));
            // Writing fails if the child has ended early; its exit status says why.
            let _ = tokio::join!(feed, stdout.read_to_end(&mut answer), stderr.read_to_end(&mut complaint));
            if answer.len() > most {
                return Err(ChildError::Answer(most));
            }
            self.process.wait().await.map_err(ChildError::Start)
        };
        let status = match tokio::time::timeout(bounds.time.saturating_mul(WALL), exchange).await {
            Ok(ended) => ended?,
            Err(_) => return Err(ChildError::Time(bounds.time)),
        };
        if status.success() { Ok(answer) } else { Err(ending(status, &complaint, bounds)) }
    }
}

/// The error that the exit status of a child stands for.
fn ending(status: ExitStatus, complaint: &[u8], bounds: &ChildLimits) -> ChildError {
    use std::os::unix::process::ExitStatusExt;
    let complaint = String::from_utf8_lossy(complaint);
    let is = |signal: rustix::process::Signal| status.signal() == Some(signal.as_raw());
    let refused = ["memory allocation of", "Cannot allocate memory", "out of memory"];
    if is(rustix::process::Signal::XCPU) {
        return ChildError::Time(bounds.time);
    }
    // Only the system kills a child that is waited for, and it does so if memory runs out.
    if is(rustix::process::Signal::KILL) || refused.iter().any(|words| complaint.contains(words)) {
        return ChildError::Memory(bounds.memory);
    }
    let said: Vec<_> = complaint.lines().filter(|line| !line.is_empty() && !line.starts_with("note:")).collect();
    ChildError::Crashed(format!("{status}: {}", said.join(" ")))
}

/// Reads the processor time of a child, and sets its priority.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProcessorUsage(Option<Pid>);

impl ProcessorUsage {
    /// Sets the niceness of all its threads.
    pub(crate) fn renice(self, niceness: i32) {
        if self.0.is_some() {
            // It fails if the child has ended, and then the priority does not matter.
            let _ = setpriority_pgrp(self.0, niceness);
        }
    }

    /// Waits until the child has used more processor time than `time`.
    pub(crate) async fn exceeds(self, time: Duration) {
        while self.used() <= time {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Processor time of all its threads; zero if it has ended.
    fn used(self) -> Duration {
        // Of the fields after the name, which ends in the last bracket, the 12th and 13th: hundredths of seconds in
        // user and in system mode (proc_pid_stat(5)).
        let read = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0?.as_raw_nonzero())).ok()?;
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
            let mut next = || fields.next()?.parse::<u64>().ok();
            Some(Duration::from_millis((next()? + next()?).saturating_mul(10)))
        };
        read().unwrap_or_default()
    }
}
