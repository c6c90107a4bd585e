//! The orders that [`super::Hostile`] carries out.

use crate::generated::esclusa::router::effects::Action;
use crate::generated::esclusa::router::items::Value;
use crate::generated::esclusa::router::tables;
use crate::generated::exports::esclusa::router::handler::{Batch, Failure, Output};
use crate::{message, output, skipped};
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Carries out an order; `count` is the number of this call in its instance.
pub(crate) fn attack(order: &str, count: u32, batch: &Batch) -> Result<Output, Failure> {
    match order {
        "loop" => compute(),
        "loop-after-time" => spend(Duration::from_secs(3600)),
        "copy-loop" => copy(),
        "clock-loop" => loop {
            black_box(Instant::now());
        },
        "wall-loop" => loop {
            black_box(SystemTime::now());
        },
        "sleep-loop" => loop {
            std::thread::sleep(Duration::from_secs(3600));
        },
        "log-loop" => loop {
            println!("all work and no play");
        },
        "read-loop" => loop {
            black_box(read("t").is_ok());
        },
        "sleep" => std::thread::sleep(Duration::from_secs(3600)),
        "recurse" => return Ok(output(vec![message(None, vec![recurse(1) as u8])])),
        "grow" => grow(),
        "allocate" => drop(black_box(vec![1_u8; 1 << 30])),
        "grow-politely" => {
            let refused = core::arch::wasm32::memory_grow(0, 65_000) == usize::MAX;
            return Ok(output(vec![message(None, vec![u8::from(refused)])]));
        }
        "many-effects" => return Ok(output((0..1_000_000).map(|_| message(None, Vec::new())).collect())),
        "some-effects" => return Ok(output((0..101).map(|_| message(None, Vec::new())).collect())),
        "big-effect" => return Ok(output(vec![message(None, vec![7; 8 << 20])])),
        "big-read" => drop(read(&"t".repeat(2 << 20))),
        "panic" => panic!("this is\nthe end"),
        "exit" => std::process::exit(3),
        "abort" => std::process::abort(),
        "retry" => return Err(Failure::Retry("not now".to_owned())),
        "halt" => return Err(Failure::Halt("look at this".to_owned())),
        "log" => log(),
        "flood" => flood(),
        _ => return harmless(order, count, batch),
    }
    Ok(output(Vec::new()))
}

fn harmless(order: &str, count: u32, batch: &Batch) -> Result<Output, Failure> {
    match order {
        "echo" => Ok(output(echo(batch))),
        "differ" => Ok(output(differ(batch, count))),
        "skip" => Ok(Output { outcomes: vec![skipped(0)], ..output(Vec::new()) }),
        "count" => Ok(output(vec![message(None, count.to_string().into_bytes())])),
        "see" => Ok(output(vec![message(None, see().into_bytes())])),
        "environment" => Ok(output(vec![message(None, environment().into_bytes())])),
        "read" => match read("t") {
            Ok(found) => Ok(output(vec![message(None, found.into_bytes())])),
            Err(tables::Error::Unavailable(why)) => Err(Failure::Retry(why)),
            Err(error) => Err(Failure::Halt(format!("{error:?}"))),
        },
        "read-panic" => panic!("{:?}", read("t")),
        "probe" => Ok(output(vec![message(None, probe().to_string().into_bytes())])),
        _ => Ok(output(Vec::new())),
    }
}

/// Computes for ever.
pub(crate) fn compute() -> ! {
    let mut n = 0_u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

fn spend(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {}
}

fn copy() {
    let mut buffer = vec![1_u8; 4 << 20];
    loop {
        buffer.copy_within(0..3 << 20, 1 << 20);
        black_box(&mut buffer);
    }
}

#[expect(unconditional_recursion, reason = "the attack")]
fn recurse(n: u64) -> u64 {
    // Little of the guest's own stack in its memory: that of WebAssembly ends first.
    recurse(black_box(n) + 1) + n
}

fn grow() {
    let mut all = Vec::new();
    loop {
        all.push(black_box(vec![1_u8; 1 << 20]));
    }
}

fn log() {
    println!("plain");
    println!("\x1b[2J\x1b]0;title\x07\u{202e}gnol\r");
    eprintln!("INFO forged=true");
    print!("no end");
    let _ = std::io::Write::flush(&mut std::io::stdout());
}

fn flood() {
    println!("{}", "x".repeat(200_000));
    for n in 0..200 {
        println!("line {n} {}", "y".repeat(100));
    }
}

fn echo(batch: &Batch) -> Vec<crate::Effect> {
    let data = |head: &[u32]| batch.bytes[head[4] as usize..][..head[5] as usize].to_vec();
    batch.events.chunks(8).zip(0..).map(|(head, n)| message(Some(n), data(head))).collect()
}

/// The data of each event, and the number of this call: another text in each call.
fn differ(batch: &Batch, count: u32) -> Vec<crate::Effect> {
    let mut effects = echo(batch);
    for effect in &mut effects {
        let Action::Send(send) = &mut effect.action else { continue };
        send.data.extend_from_slice(format!(" in call {count}").as_bytes());
    }
    effects
}

/// Time, random numbers and the order of maps as a guest sees them.
fn see() -> String {
    let map: HashMap<u32, u32> = (0..50).map(|n| (n, n)).collect();
    let order: Vec<_> = map.into_keys().collect();
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let (first, second) = (Instant::now(), Instant::now());
    std::thread::sleep(Duration::from_secs(60));
    format!("{wall:?} {:?} {:?} {order:?}", second - first, first.elapsed() >= Duration::from_secs(60))
}

fn environment() -> String {
    let mut input = String::new();
    let stdin = std::io::Read::read_to_string(&mut std::io::stdin(), &mut input);
    format!(
        "{:?} {:?} {:?} {:?} {:?}",
        std::env::vars().collect::<Vec<_>>(),
        std::env::args().collect::<Vec<_>>(),
        std::fs::read_dir("/").is_err(),
        std::fs::write("/tmp/x", "x").is_err(),
        stdin
    )
}

fn read(table: &str) -> Result<String, tables::Error> {
    let key = vec![("id".to_owned(), Value::Text("1".to_owned()))];
    tables::get(table, &key).map(|found| format!("{found:?}"))
}

/// Bytes that should be zero before the first call of an instance: marks are left in them.
static UNTOUCHED: Mutex<[u8; 1 << 16]> = Mutex::new([0; 1 << 16]);

/// Bytes of fresh memory, and of [`UNTOUCHED`], that are not zero; leaves marks for the next instance.
fn probe() -> usize {
    let mut untouched = UNTOUCHED.lock().unwrap_or_else(PoisonError::into_inner);
    let marked = untouched.iter().filter(|byte| **byte != 0).count();
    black_box(&mut *untouched).fill(0xaa);
    let pages = 64;
    let at = core::arch::wasm32::memory_grow(0, pages) * 65_536;
    #[expect(unsafe_code, reason = "the memory was just grown by that much")]
    // SAFETY: the memory was just grown by these pages, which nobody else uses.
    let fresh = unsafe { std::slice::from_raw_parts_mut(at as *mut u8, pages * 65_536) };
    let dirty = fresh.iter().filter(|byte| **byte != 0).count();
    fresh.fill(0xaa);
    black_box(fresh);
    dirty + marked
}
