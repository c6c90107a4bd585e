//! Lays out the output of a call in linear memory as the canonical ABI does, for the router to read. Texts are borrowed, not copied.

mod layout;
mod lowering;

use crate::batch::Batch;
use crate::effects::Effects;
use crate::failure::Failure;
use crate::plugin::{self, Plugin};
pub(super) use layout::{Initialised, LoweredInfo};
use layout::{LoweredFailure, LoweredOutput, LoweredResult};
use lowering::Storage;

/// The answer of a call with everything to which it points. The result comes first: its address is the answer's.
#[repr(C)]
pub(crate) struct Returned {
    result: LoweredResult,
    // Dropped in this order: the lists, the effects that they point to, the batch that the effects borrow from.
    _storage: Storage,
    _effects: Effects<'static>,
    _failure: Option<Failure>,
    batch: *mut Batch,
}

impl Returned {
    /// Handles a batch and lowers the output or the failure.
    pub(crate) fn call<P: Plugin>(plugin: &'static P, batch: Box<Batch>) -> *const u8 {
        let batch = Box::into_raw(batch);
        // SAFETY: the batch is dropped with `Returned`, after the effects that borrow from it.
        let borrowed: &'static Batch = unsafe { &*batch };
        let (effects, failure) = match plugin::call(plugin, borrowed) {
            Ok(effects) => (effects, None),
            Err(failure) => (Effects::default(), Some(failure)),
        };
        Self::leak(effects, failure, batch)
    }

    /// A failed call.
    pub(crate) fn failure(failure: Failure) -> *const u8 {
        Self::leak(Effects::default(), Some(failure), std::ptr::null_mut())
    }

    fn leak(effects: Effects<'static>, failure: Option<Failure>, batch: *mut Batch) -> *const u8 {
        let mut storage = Storage::for_effects(&effects);
        let result = match &failure {
            // Moving `failure` does not move its text.
            Some(failure) => LoweredResult::Err(LoweredFailure::new(failure)),
            None => LoweredResult::Ok(LoweredOutput {
                effects: storage.effects(effects.effects()),
                outcomes: storage.outcomes(effects.outcomes()),
                replies: storage.replies(effects.replies()),
            }),
        };
        let returned = Returned { result, _storage: storage, _effects: effects, _failure: failure, batch };
        std::ptr::from_ref(Box::leak(Box::new(returned))).cast()
    }
}

impl Drop for Returned {
    fn drop(&mut self) {
        // The effects borrow from the batch, so they go first.
        self._effects = Effects::default();
        if !self.batch.is_null() {
            // SAFETY: it came out of a box in `call`, and nothing borrows from it any more.
            drop(unsafe { Box::from_raw(self.batch) });
        }
    }
}
