//! Answers of plugins.
#![no_main]

#[path = "../../../host/esclusa/tests/scenarios/fuzz/answers.rs"]
mod answers;
#[path = "../../../host/sandbox/tests/sandbox/bare.rs"]
#[expect(dead_code, reason = "one guest of many")]
mod bare;

use std::cell::RefCell;

thread_local! {
    static TARGET: RefCell<Box<dyn FnMut(&[u8])>> = RefCell::new(Box::new(answers::Harness::new().target()));
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET.with_borrow_mut(|target| target(data)));
