//! A plugin that misbehaves as its configuration says: `{"do": "loop"}`. Only the tests of the sandbox use it; it
//! stands for every mistake and attack of a plugin made with an ordinary toolchain. Empty on other targets than
//! WebAssembly, for builds of the whole workspace.
#![cfg(target_arch = "wasm32")]

#[expect(unsafe_code, clippy::allow_attributes, clippy::allow_attributes_without_reason, reason = "generated")]
mod generated {
    wit_bindgen::generate!({
        path: ["wit", "../../../../wit"],
        inline: "package esclusa:hostile; \
            world hostile { include esclusa:router/plugin@0.2.0; import wasi:logging/logging@0.1.0-draft; }",
        world: "esclusa:hostile/hostile",
        generate_all,
    });
    export!(Hostile with_types_in self);
    pub(crate) struct Hostile;
}

mod attack;
mod bulk;
mod denied;
mod echo;
mod tattle;

use generated::Hostile;
use generated::esclusa::router::effects::{Action, Effect, Send};
use generated::exports::esclusa::router::handler::{Batch, Disposition, Failure, Guest as Handler, Outcome, Output};
use generated::exports::esclusa::router::lifecycle::{Guest as Lifecycle, Info};
use std::sync::Mutex;

/// The order in the configuration, and how often it was carried out in this instance.
static ORDER: Mutex<(String, u32)> = Mutex::new((String::new(), 0));

/// The schema of its configuration: `scripts/hostile.sh` finds it in the file and puts another in its place, for which there
/// are blanks at its end. Read as if it might change, so that it stays in one piece.
static SCHEMA: &[u8; 16 << 10] = &{
    let mut room = [b' '; 16 << 10];
    let schema = br#"{"type":"object","properties":{"do":{"type":"string"}}}"#;
    let mut at = 0;
    while at < schema.len() {
        room[at] = schema[at];
        at += 1;
    }
    room
};

/// What this version does beside its order: tests change the digit at its end, and have another version of the plugin. 0: nothing,
/// 1: `describe` panics, 2: `init` panics, 3: `init` refuses, 4: `init` loops, 5: `handle` panics.
static MANNER: &[u8; 24] = b"manner-of-this-version:0";

fn manner() -> u8 {
    std::hint::black_box(MANNER)[23]
}

impl Lifecycle for Hostile {
    fn describe() -> Info {
        assert_ne!(manner(), b'1', "this version does not describe itself");
        Info {
            name: "hostile".to_owned(),
            version: "1.0.0".to_owned(),
            description: "Misbehaves as configured.".to_owned(),
            config_schema: Some(String::from_utf8_lossy(std::hint::black_box(SCHEMA)).trim_end().to_owned()),
        }
    }

    fn init(config: String) -> Result<(), String> {
        match order(&config) {
            "init-refuse" => return Err("the key \"table\" is missing".to_owned()),
            "init-panic" => panic!("no such luck"),
            "init-loop" => attack::compute(),
            "init-log-call" => drop(bulk::log_call(&config)),
            "init-tell" => return Err(format!("{} is no good", tattle::secret(&config))),
            _ => {}
        }
        match manner() {
            b'2' => panic!("this version does not begin"),
            b'3' => return Err("this version wants another configuration".to_owned()),
            b'4' => attack::compute(),
            _ => {}
        }
        *order_of() = (config, 0);
        Ok(())
    }
}

impl Handler for Hostile {
    fn handle(batch: Batch) -> Result<Output, Failure> {
        let (config, count) = {
            let mut order = order_of();
            order.1 += 1;
            order.clone()
        };
        assert_ne!(manner(), b'5', "this version handles nothing");
        if let Some(told) = tattle::tell(order(&config), &config, &batch) {
            return told;
        }
        if order(&config) == "echo-request" {
            return Ok(echo::echo(&batch));
        }
        match denied::attack(order(&config)).or_else(|| bulk::attack(order(&config), &config, &batch)) {
            Some(output) => Ok(output),
            None => attack::attack(order(&config), count, &batch),
        }
    }
}

/// Reads the order from the configuration.
fn order(config: &str) -> &str {
    let after = config.split_once("\"do\"").map_or("", |(_, after)| after);
    after.split('"').nth(1).unwrap_or_default()
}

fn order_of() -> std::sync::MutexGuard<'static, (String, u32)> {
    ORDER.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// An output with these effects.
fn output(effects: Vec<Effect>) -> Output {
    Output { effects, outcomes: Vec::new(), replies: Vec::new() }
}

/// A message caused by an event.
fn message(cause: Option<u32>, data: Vec<u8>) -> Effect {
    let send = Send { output: "out".to_owned(), key: None, data, attributes: Vec::new() };
    Effect { cause, action: Action::Send(send) }
}

/// Skips an event.
fn skipped(event: u32) -> Outcome {
    Outcome { event, disposition: Disposition::Skip("asked to".to_owned()) }
}
