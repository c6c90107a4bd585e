//! The C library's functions that would import files, environment and standard input, replaced by output to the log,
//! the only one that a plugin needs. Each interface that a component imports costs time whenever an instance starts.
//!
//! A definition here wins over that of the C library, which is an archive: its member is not linked then.

use std::ffi::{c_char, c_int, c_void};

/// Bytes that the stream takes at once (`wasi:io/streams`, `blocking-write-and-flush`).
const WRITE_MAX: usize = 4096;

#[doc(hidden)]
#[rustfmt::skip]
#[path = "bindings/stderr.rs"]
mod bindings;

/// Part of a scattered write.
#[repr(C)]
struct WritePart {
    at: *const u8,
    len: usize,
}

/// Writes to the log, whatever the descriptor. A text that cannot be written is lost: logging must not fail a batch.
#[unsafe(no_mangle)]
unsafe extern "C" fn write(_descriptor: c_int, at: *const u8, len: usize) -> isize {
    if len > 0 {
        let stream = bindings::wasi::cli::stderr::get_stderr();
        // SAFETY: the caller of `write` gives `len` bytes.
        let bytes = unsafe { std::slice::from_raw_parts(at, len) };
        for chunk in bytes.chunks(WRITE_MAX) {
            let _ = stream.blocking_write_and_flush(chunk);
        }
    }
    len as isize
}

/// Writes several parts to the log as one.
#[unsafe(no_mangle)]
unsafe extern "C" fn writev(descriptor: c_int, parts: *const c_void, count: c_int) -> isize {
    let mut text = Vec::new();
    for i in 0..usize::try_from(count).unwrap_or_default() {
        // SAFETY: the caller of `writev` gives `count` parts.
        unsafe {
            let part = &*parts.cast::<WritePart>().add(i);
            if part.len > 0 {
                text.extend_from_slice(std::slice::from_raw_parts(part.at, part.len));
            }
        }
    }
    // SAFETY: the bytes are those of `text`.
    unsafe { write(descriptor, text.as_ptr(), text.len()) }
}

/// There is no environment.
#[unsafe(no_mangle)]
extern "C" fn getenv(_name: *const c_char) -> *mut c_char {
    std::ptr::null_mut()
}

/// Traps, which the router reports with the backtrace.
#[unsafe(no_mangle)]
extern "C" fn abort() -> ! {
    core::arch::wasm32::unreachable()
}

/// A plugin has nothing to exit from: traps too. Not `exit`, whose member of the C library may be linked for
/// its other functions.
#[unsafe(no_mangle)]
extern "C" fn _Exit(_code: c_int) -> ! {
    core::arch::wasm32::unreachable()
}

/// The same: they are one member of the C library.
#[unsafe(no_mangle)]
extern "C" fn _exit(code: c_int) -> ! {
    _Exit(code)
}
