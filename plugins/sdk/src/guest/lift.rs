//! Takes over the batch that the router has written to linear memory, without a copy.

use crate::batch::{Batch, Origin};
use esclusa_data::event::Columns;

/// A list of `T` as it is handed over: address and number of elements.
#[repr(C)]
struct ListPointer<T> {
    at: *mut T,
    len: usize,
}

/// `events.batch`, laid out as the canonical ABI does.
#[repr(C)]
struct LoweredBatch {
    route: ListPointer<u8>,
    source: ListPointer<u8>,
    kind: ListPointer<u8>,
    lane: ListPointer<u8>,
    ordered: u8,
    events: ListPointer<u32>,
    timestamps: ListPointer<u64>,
    attempts: ListPointer<u32>,
    attributes: ListPointer<u32>,
    bytes: ListPointer<u8>,
}

const _: () = assert!(size_of::<LoweredBatch>() == 76);

impl<T> ListPointer<T> {
    /// # Safety
    /// The list was allocated by `cabi_realloc` for exactly `len` elements, and is taken once.
    unsafe fn take(&self) -> Vec<T> {
        // The router allocates nothing for an empty list, so its address may be anything.
        if self.len == 0 {
            return Vec::new();
        }
        // SAFETY: the caller's promise; `cabi_realloc` is the global allocator.
        unsafe { Vec::from_raw_parts(self.at, self.len, self.len) }
    }
}

/// Takes over a text.
///
/// # Safety
/// Allocated by `cabi_realloc` for exactly `len` bytes of UTF-8, and taken once.
pub(super) unsafe fn text(at: *mut u8, len: usize) -> String {
    // SAFETY: the caller's promise.
    unsafe { String::from_utf8_unchecked(ListPointer { at, len }.take()) }
}

/// Takes over a batch.
///
/// # Safety
/// `at` is a lowered batch, allocated by `cabi_realloc` as all of its lists, and taken once.
pub(super) unsafe fn batch(at: *mut u8) -> Batch {
    // SAFETY: the caller's promise.
    unsafe {
        let lowered = Box::from_raw(at.cast::<LoweredBatch>());
        let text = |list: &ListPointer<u8>| text(list.at, list.len);
        Batch {
            origin: Origin {
                route: text(&lowered.route),
                source: text(&lowered.source),
                kind: text(&lowered.kind),
                lane: text(&lowered.lane),
                ordered: lowered.ordered != 0,
            },
            columns: Columns {
                events: lowered.events.take(),
                timestamps: lowered.timestamps.take(),
                attempts: lowered.attempts.take(),
                attributes: lowered.attributes.take(),
                bytes: lowered.bytes.take(),
            },
        }
    }
}
