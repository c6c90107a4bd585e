//! From a plugin's file to native code: scanned, then compiled, in this process or in a [child](crate::child).
//!
//! The time that a file takes to compile is not known beforehand. So a child is *prompt* at first, and *overdue* when
//! it has used more processor time than a file of its size should need. As many prompt children with large files run at
//! a time as there are cores, and [`SHARING`] times as many with small files: a good small file shares the cores with
//! bombs instead of waiting for them. Overdue children run at the lowest priority, [`OVERDUE`] at a time, in slots of
//! their own. So a file that compiles for ever delays others only for as long as a file of its size may take.

use crate::child::{self, ChildCommand, ChildError, ChildLimits};
use crate::load_error::{LoadError, MAX_FILE};
use crate::{wasm_scan, wasmtime_engine};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::Engine;

/// The limits of compiling one plugin. CPython with its standard library, 18 MB, takes about a seventh of them: 14 s,
/// 340 MiB, and 36 MB of code.
pub const BOUNDS: ChildLimits = ChildLimits { memory: 2 << 30, time: Duration::from_secs(120), answer: 256 << 20 };
/// Size from which on a file counts as large, bytes.
const LARGE: usize = 2 << 20;
/// Processor time that every child has before it is overdue: it mostly goes into starting the child.
const PROMPT: Duration = Duration::from_millis(100);
/// Further processor time for each MiB of the file: twice as much as our plugins need, four times as much as CPython.
const PROMPT_PER_MIB: Duration = Duration::from_secs(3);
/// Prompt children with small files for each core.
const SHARING: usize = 4;
/// Children that are overdue and run at the same time: each may need [`BOUNDS`]' memory.
const OVERDUE: usize = 2;
/// Niceness of children with small files, with large files, and of overdue ones. The router itself goes before all of them.
const NICE: [i32; 3] = [5, 10, 19];

/// How plugins are compiled.
#[derive(Debug, Clone, Default)]
pub enum Compiler {
    /// In this process, one at a time. After `compile_time` the caller gets an error, but the thread goes on compiling.
    /// For tests and benchmarks with known plugins.
    #[default]
    Here,
    /// By a child process: a program that calls [`compile_plugin`].
    Child(ChildCommand),
}

/// Slots to compile in: each bounds how many plugins of one sort compile at the same time.
pub(crate) struct CompileSlots {
    here: Semaphore,
    small: Semaphore,
    large: Semaphore,
    overdue: Semaphore,
}

/// Most children that compile at the same time.
#[must_use]
pub fn children() -> usize {
    cores().saturating_mul(SHARING.saturating_add(1)).saturating_add(OVERDUE)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

impl Default for CompileSlots {
    fn default() -> Self {
        let cores = cores();
        let places = Semaphore::new;
        CompileSlots {
            here: places(1),
            small: places(cores.saturating_mul(SHARING)),
            large: places(cores),
            overdue: places(OVERDUE),
        }
    }
}

impl CompileSlots {
    /// Has a child compile a plugin. If this future is dropped, the child is killed.
    ///
    /// # Errors
    /// The problem of the plugin, or the end of the child.
    pub(crate) async fn by_child(&self, program: &ChildCommand, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
        let (places, niceness) = if bytes.len() < LARGE { (&self.small, NICE[0]) } else { (&self.large, NICE[1]) };
        let place = acquire(places).await?;
        let child = program.start(niceness)?;
        let usage = child.usage();
        let mut asked = Box::pin(child.ask(bytes, &BOUNDS));
        tokio::select! {
            answer = &mut asked => return decode_answer(answer?),
            () = usage.exceeds(prompt_time(bytes.len())) => {}
        }
        // An overdue child gives its slot to others. If an overdue slot is free, it goes on in that one.
        if let Ok(_place) = self.overdue.try_acquire() {
            drop(place);
            usage.renice(NICE[2]);
            return decode_answer(asked.await?);
        }
        // Otherwise it is killed and starts anew later: stopped, it would keep its memory.
        drop((asked, place));
        let _place = acquire(&self.overdue).await?;
        decode_answer(program.start(NICE[2])?.ask(bytes, &BOUNDS).await?)
    }

    /// Compiles a plugin in this process.
    ///
    /// # Errors
    /// The problem of the plugin, or [`LoadError::CompileTime`] after `most`.
    pub(crate) async fn in_process(
        self: &Arc<Self>,
        engine: &Engine,
        bytes: Arc<Vec<u8>>,
        most: Duration,
    ) -> Result<Vec<u8>, LoadError> {
        let (places, engine) = (self.clone(), engine.clone());
        let place = acquire(&self.here).await?;
        // The thread gives the slot back: a permit would be given back with this future, while the thread still computes.
        place.forget();
        let work = tokio::task::spawn_blocking(move || {
            let compiled = compile(&engine, &bytes);
            // Only when it has ended, even if no caller waits for it any more.
            places.here.add_permits(1);
            compiled
        });
        match tokio::time::timeout(most, work).await {
            Ok(joined) => joined.unwrap_or_else(|error| Err(LoadError::Compile(error.to_string()))),
            Err(_) => Err(LoadError::CompileTime(most)),
        }
    }
}

async fn acquire(places: &Semaphore) -> Result<SemaphorePermit<'_>, LoadError> {
    places.acquire().await.map_err(|_| LoadError::Stopped)
}

/// Processor time after which a file of so many bytes is overdue.
fn prompt_time(bytes: usize) -> Duration {
    PROMPT.saturating_add(PROMPT_PER_MIB.mul_f64(bytes as f64 / f64::from(1 << 20)))
}

fn compile(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
    wasm_scan::scan(bytes)?;
    engine.precompile_component(bytes).map_err(|error| LoadError::Compile(format!("{error:#}")))
}

/// The whole run of a program that was started as [`Compiler::Child`]. No thread may have been started in it before.
#[must_use]
pub fn compile_plugin() -> ExitCode {
    child::serve(&BOUNDS, MAX_FILE, |bytes| {
        let engine = wasmtime_engine::on_demand()
            .map_err(|error| LoadError::Compile(format!("the sandbox cannot be set up: {error:#}")));
        encode_answer(engine.and_then(|engine| compile(&engine, &bytes)))
    })
}

impl From<ChildError> for LoadError {
    fn from(lost: ChildError) -> Self {
        match lost {
            ChildError::Memory(most) => LoadError::CompileMemory(most),
            ChildError::Time(most) => LoadError::CompileTime(most),
            lost => LoadError::CompileLost(lost.to_string()),
        }
    }
}

/// The answer of a compiling child: a word, a zero byte, and then the code, or the texts of the error with zero bytes
/// between them. A text has no zero byte: it would end there.
fn encode_answer(result: Result<Vec<u8>, LoadError>) -> Vec<u8> {
    let (word, texts) = match result {
        Ok(code) => return [b"code\0".as_slice(), &code].concat(),
        Err(LoadError::NotAComponent { found, hint }) => ("not-a-component", vec![found, hint]),
        Err(LoadError::Malformed(detail)) => ("malformed", vec![detail]),
        Err(LoadError::Proposal { proposal, detail }) => ("proposal", vec![proposal, detail]),
        Err(LoadError::Bomb(what)) => ("bomb", vec![what]),
        Err(LoadError::Compile(why)) => ("compile", vec![why]),
        Err(other) => ("compile", vec![other.to_string()]),
    };
    let texts: Vec<_> = texts.iter().map(|text| text.replace('\0', "\u{fffd}")).collect();
    format!("{word}\0{}", texts.join("\0")).into_bytes()
}

/// The code, or the error, as [`encode_answer`] was given it.
///
/// # Errors
/// The error of the child.
fn decode_answer(mut answer: Vec<u8>) -> Result<Vec<u8>, LoadError> {
    let end = answer.iter().position(|byte| *byte == 0).unwrap_or(answer.len());
    let rest = answer.split_off((end + 1).min(answer.len()));
    if answer == b"code\0" {
        return Ok(rest);
    }
    let rest = String::from_utf8_lossy(&rest).into_owned();
    let (first, second) = rest.split_once('\0').map_or((&*rest, ""), |texts| texts);
    let (first, second) = (first.to_owned(), second.to_owned());
    Err(match &*answer {
        b"not-a-component\0" => LoadError::NotAComponent { found: first, hint: second },
        b"malformed\0" => LoadError::Malformed(first),
        b"proposal\0" => LoadError::Proposal { proposal: first, detail: second },
        b"bomb\0" => LoadError::Bomb(first),
        b"compile\0" => LoadError::Compile(first),
        _ => LoadError::CompileLost("it gave no answer".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_the_same_on_both_sides() {
        let (found, hint) = ("text".to_owned(), "; is the path right?".to_owned());
        let errors = [
            LoadError::NotAComponent { found, hint },
            LoadError::Malformed("at 7\nof 9".to_owned()),
            LoadError::Proposal { proposal: "gc".to_owned(), detail: "at 7".to_owned() },
            LoadError::Bomb("60001 functions".to_owned()),
            LoadError::Compile("\u{fc}".to_owned()),
        ];
        for error in errors {
            let text = format!("{error:?}");
            assert_eq!(format!("{:?}", decode_answer(encode_answer(Err(error))).unwrap_err()), text);
        }
    }

    #[test]
    fn code_is_handed_over_as_it_is_and_no_answer_is_an_error() {
        for code in [vec![], vec![0], b"code\0code\0".to_vec()] {
            assert_eq!(decode_answer(encode_answer(Ok(code.clone()))).unwrap(), code);
        }
        for nothing in [&b""[..], b"code", b"co\0de", b"\0"] {
            assert!(matches!(decode_answer(nothing.to_vec()), Err(LoadError::CompileLost(_))));
        }
    }
}
