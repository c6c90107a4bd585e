//! An allocator that counts the bytes that each thread allocates, so that a test can limit the cost of an input in
//! bytes instead of seconds.
//! A test binary that uses it has a `#[global_allocator]` of type [`Counting`].
#![expect(unsafe_code, reason = "an allocator is unsafe to implement; this one hands everything on to the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts, and leaves the work to the system's allocator.
pub struct Counting;

thread_local! {
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

/// Bytes that this thread has allocated so far, freed or not.
#[must_use]
pub fn bytes() -> usize {
    BYTES.with(Cell::get)
}

fn count(bytes: usize) {
    // A thread that is ending has no counter any more.
    let _ = BYTES.try_with(|counted| counted.set(counted.get().saturating_add(bytes)));
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: likewise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: likewise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
