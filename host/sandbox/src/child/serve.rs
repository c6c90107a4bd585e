//! The child's side: it sets its own limits, reads its input, and writes its answer.

use super::ChildLimits;
use rustix::process::{Pid, Resource, Rlimit, Signal, getpid, kill_process, setrlimit};
use std::io::{self, Read, Write};
use std::process::ExitCode;

/// Files that a child may have open: its three pipes, and files in /proc that the allocator and the compiler read.
const FILES: u64 = 64;

/// The whole life of a child: within `bounds` it turns one input of at most `most` bytes into one answer.
#[must_use]
pub fn serve(bounds: &ChildLimits, most: usize, work: impl FnOnce(Vec<u8>) -> Vec<u8>) -> ExitCode {
    let done = bind(bounds).and_then(|()| input(most)).and_then(|input| {
        let answer = work(input);
        let mut out = io::stdout().lock();
        out.write_all(&answer)?;
        out.flush()
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The parent reads standard error. If this fails, the exit code has to do.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Gives up all descriptors and resources that the work does not need.
fn bind(bounds: &ChildLimits) -> io::Result<()> {
    close_inherited()?;
    // If the machine's memory runs out, the system shall end this process and not the router. If /proc is closed, the
    // limits below must be enough.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let seconds = bounds.time.as_secs().max(1);
    for (resource, most, hard) in [
        (Resource::Core, 0, 0),
        (Resource::Fsize, 0, 0),
        (Resource::Nofile, FILES, FILES),
        // At the hard limit the system kills without a word, as it does when memory runs out.
        (Resource::Cpu, seconds, seconds.saturating_add(5)),
        (Resource::Data, bounds.memory, bounds.memory),
    ] {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(hard) })?;
    }
    Ok(())
}

/// Closes the descriptors that the parent inherited. Those that it opened itself are closed on exec already.
fn close_inherited() -> io::Result<()> {
    let names: Vec<_> = std::fs::read_dir("/proc/self/fd")?.map(|entry| entry.map(|entry| entry.file_name())).collect();
    for name in names {
        let number = name?.to_str().and_then(|name| name.parse::<i32>().ok());
        if let Some(number) = number.filter(|number| *number > 2) {
            #[expect(unsafe_code, reason = "descriptors that nobody owns are known by number only")]
            // SAFETY: the process has just started, with one thread; it has opened nothing that is still open but its
            // three pipes. The number of the directory that was just read may be among these: closing it again fails.
            unsafe {
                rustix::io::close(number);
            }
        }
    }
    Ok(())
}

/// Reads the input, and waits for the parent's end from then on.
fn input(most: usize) -> io::Result<Vec<u8>> {
    let mut stdin = io::stdin();
    let mut length = [0; 8];
    stdin.read_exact(&mut length)?;
    let length = usize::try_from(u64::from_le_bytes(length)).ok().filter(|length| *length <= most);
    let mut bytes = vec![0; length.ok_or_else(|| io::Error::other("the input is too long"))?];
    stdin.read_exact(&mut bytes)?;
    std::thread::Builder::new().name("parent".to_owned()).stack_size(64 << 10).spawn(|| end_with(getpid()))?;
    Ok(bytes)
}

/// Ends this process when the parent closes its side of standard input, in the middle of the other threads' work.
fn end_with(this: Pid) {
    let mut byte = [0];
    while !matches!(io::stdin().read(&mut byte), Ok(0) | Err(_)) {}
    // The parent is gone, so an error could not be reported.
    let _ = kill_process(this, Signal::KILL);
}
