//! The child's side: it binds itself, reads its input, and writes its answer.

use super::ChildLimits;
use rustix::process::{Pid, Resource, Rlimit, Signal, getpid, kill_process, setrlimit};
use std::io::{self, Read, Write};
use std::process::ExitCode;

/// Files that a child may have open: its three pipes, and what the allocator and the compiler look at in /proc.
const FILES: u64 = 64;

/// The whole life of a child: within `bounds`, one input of at most `most` bytes becomes one answer.
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
            // Nobody else is there to be told.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Gives up everything that the work does not need.
fn bind(bounds: &ChildLimits) -> io::Result<()> {
    close_inherited()?;
    // Should the machine's memory run out, the system ends this process and not the router. Where /proc is closed,
    // the other limits do.
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

/// Closes what the parent was started with and did not open itself: what it opens is closed by starting the child.
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

/// Ends this process when the parent has closed its side, whatever the other threads are at.
fn end_with(this: Pid) {
    let mut byte = [0];
    while !matches!(io::stdin().read(&mut byte), Ok(0) | Err(_)) {}
    // There is nobody left to be told that it failed.
    let _ = kill_process(this, Signal::KILL);
}
