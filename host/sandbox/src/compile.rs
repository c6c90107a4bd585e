//! From a plugin's file to native code: looked at, then compiled, here or in a [child](crate::child).
//!
//! Nobody can say beforehand how long a file takes to compile. So a child is *prompt* at first and counts as *overdue*
//! when it has used more processor time than a file of its size should need. Prompt ones with large files run as many at a
//! time as there are cores. Those with small files run [`SHARING`] times as many, so that a good one shares the cores with
//! bombs instead of waiting for them. Overdue ones run at the lowest priority, [`OVERDUE`] at a time, in places of their own.
//! Thus a file that takes for ever holds up others only as long as its size excuses.

use crate::child::{self, ChildCommand, ChildError, ChildLimits};
use crate::load_error::{LoadError, MAX_FILE};
use crate::{wasm_scan, wasmtime_engine};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::Engine;

/// What compiling one plugin may take. CPython with its standard library, 18 MB, takes a seventh of it: 14 s, 340 MiB, and
/// 36 MB of code.
pub const BOUNDS: ChildLimits = ChildLimits { memory: 2 << 30, time: Duration::from_secs(120), answer: 256 << 20 };
/// Bytes from which on a file is a large one.
const LARGE: usize = 2 << 20;
/// Processor time that any plugin may need before it counts as overdue: mostly to start the child.
const PROMPT: Duration = Duration::from_millis(100);
/// Further processor time for each MiB: twice what our plugins take, four times what CPython takes.
const PROMPT_PER_MIB: Duration = Duration::from_secs(3);
/// Prompt children with small files for each core.
const SHARING: usize = 4;
/// Children that are overdue and run at the same time: each may need [`BOUNDS`]' memory.
const OVERDUE: usize = 2;
/// Niceness of children with small and large files, and of those that are overdue. Routing goes before all of them.
const NICE: [i32; 3] = [5, 10, 19];

/// How plugins are compiled.
#[derive(Debug, Clone, Default)]
pub enum Compiler {
    /// In this process, one at a time, given up after `compile_time`, though what was given up runs on. For tests and
    /// benchmarks with plugins that are known.
    #[default]
    Here,
    /// By a child process: a program that calls [`compile_plugin`].
    Child(ChildCommand),
}

/// Places to compile.
pub(crate) struct CompileSlots {
    here: Semaphore,
    small: Semaphore,
    large: Semaphore,
    overdue: Semaphore,
}

/// Children that compile at the same time, at most.
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
    /// Has a plugin compiled by a child. Dropped, it kills the child.
    ///
    /// # Errors
    /// What is wrong with the plugin, or how the child was lost.
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
        if let Ok(_place) = self.overdue.try_acquire() {
            drop(place);
            usage.renice(NICE[2]);
            return decode_answer(asked.await?);
        }
        // What it has done is lost: waiting, it would keep its memory.
        drop((asked, place));
        let _place = acquire(&self.overdue).await?;
        decode_answer(program.start(NICE[2])?.ask(bytes, &BOUNDS).await?)
    }

    /// Compiles a plugin in this process.
    ///
    /// # Errors
    /// What is wrong with the plugin.
    pub(crate) async fn in_process(
        self: &Arc<Self>,
        engine: &Engine,
        bytes: Arc<Vec<u8>>,
        most: Duration,
    ) -> Result<Vec<u8>, LoadError> {
        let (places, engine) = (self.clone(), engine.clone());
        let place = acquire(&self.here).await?;
        place.forget();
        let work = tokio::task::spawn_blocking(move || {
            let compiled = compile(&engine, &bytes);
            // Only when it is through, even if no caller waits for it any more.
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

/// What a program does that was started as [`Compiler::Child`]. Nothing else may have started any thread in it.
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

/// What a compiling child says: a word, a zero byte, and then the code, or the texts of the error with zero bytes
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
