//! The guest side of the boundary: the exports that the router calls, and the imports that the plugin calls.
//!
//! `wit-bindgen` reads the contract and generates the imports. The exports are written here instead, since every event
//! passes through them: effects are lowered straight from borrowed texts, with no copy of a string and one allocation
//! for all attributes of a batch ([`lower`]). Of the generated export macro only the description of the component's
//! type is used; it finds our macros at the paths of its own, in [`exports`].
#![expect(unsafe_code, reason = "the canonical ABI passes addresses in linear memory")]

#[doc(hidden)]
#[rustfmt::skip]
#[path = "guest/bindings/contract.rs"]
pub mod bindings;
mod lift;
mod lower;
#[cfg(feature = "slim")]
mod slim;

use crate::plugin::{self, Plugin};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Modules at the paths of the generated ones, with our own macros.
#[doc(hidden)]
pub mod exports {
    pub mod esclusa {
        pub mod router {
            pub mod lifecycle {
                pub use crate::__esclusa_export_lifecycle as __export_esclusa_router_lifecycle_0_2_0_cabi;
            }
            pub mod handler {
                pub use crate::__esclusa_export_handler as __export_esclusa_router_handler_0_2_0_cabi;
            }
        }
    }
}

#[doc(hidden)]
#[macro_export]
macro_rules! __esclusa_export_lifecycle {
    ($plugin:ident with_types_in $($path:tt)*) => {
        #[unsafe(export_name = "esclusa:router/lifecycle@0.2.0#describe")]
        extern "C" fn __esclusa_describe() -> *const u8 {
            $crate::guest::describe::<$plugin>(
                env!("CARGO_PKG_NAME"),
                env!("CARGO_PKG_VERSION"),
                env!("CARGO_PKG_DESCRIPTION"),
            )
        }

        #[unsafe(export_name = "esclusa:router/lifecycle@0.2.0#init")]
        unsafe extern "C" fn __esclusa_init(config: *mut u8, len: usize) -> *const u8 {
            unsafe { $crate::guest::init(&__ESCLUSA_PLUGIN, config, len) }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __esclusa_export_handler {
    ($plugin:ident with_types_in $($path:tt)*) => {
        static __ESCLUSA_PLUGIN: ::std::sync::OnceLock<$plugin> = ::std::sync::OnceLock::new();

        #[unsafe(export_name = "esclusa:router/handler@0.2.0#handle")]
        unsafe extern "C" fn __esclusa_handle(batch: *mut u8) -> *const u8 {
            unsafe { $crate::guest::handle(&__ESCLUSA_PLUGIN, batch) }
        }

        #[unsafe(export_name = "cabi_post_esclusa:router/handler@0.2.0#handle")]
        unsafe extern "C" fn __esclusa_handled(returned: *mut u8) {
            unsafe { $crate::guest::handled(returned) }
        }
    };
}

/// `lifecycle.describe`. The answer stays allocated: an instance is asked once.
pub fn describe<P: Plugin>(package: &'static str, version: &'static str, description: &'static str) -> *const u8 {
    let name = package.strip_prefix("esclusa-").unwrap_or(package);
    leak(lower::LoweredInfo::new(name, version, description, P::SCHEMA))
}

/// `lifecycle.init`. The answer stays allocated: an instance is initialised once.
///
/// # Safety
/// `config` and `len` are a text that the caller of the export has allocated and given up.
pub unsafe fn init<P: Plugin>(cell: &OnceLock<P>, config: *mut u8, len: usize) -> *const u8 {
    wit_bindgen::rt::maybe_link_cabi_realloc();
    // SAFETY: the caller's promise; the canonical ABI gives UTF-8.
    let config = unsafe { lift::text(config, len) };
    let result = plugin::configure::<P>(&config)
        .and_then(|plugin| cell.set(plugin).map_err(|_| "init was called twice on one instance".to_owned()));
    leak(lower::Initialised::new(result))
}

/// `handler.handle`. The answer lives until [`handled`].
///
/// # Safety
/// `batch` is a lowered batch that the caller of the export has allocated and given up.
pub unsafe fn handle<P: Plugin>(cell: &'static OnceLock<P>, batch: *mut u8) -> *const u8 {
    drop_last(std::ptr::null_mut());
    // SAFETY: the caller's promise.
    let batch = Box::new(unsafe { lift::batch(batch) });
    let Some(plugin) = cell.get() else {
        return lower::Returned::failure(crate::Failure::Halt("handle was called before init".to_owned()));
    };
    lower::Returned::call(plugin, batch)
}

/// After the router has read the answer of [`handle`]. It is kept until the next call: an instance that handles one
/// batch only, as by default, never takes the time to free it.
///
/// # Safety
/// `returned` comes from [`handle`], and is not used after this.
pub unsafe fn handled(returned: *mut u8) {
    drop_last(returned.cast());
}

/// Frees the last answer that the router has read; `next` takes its place.
fn drop_last(next: *mut lower::Returned) {
    static LAST: AtomicPtr<lower::Returned> = AtomicPtr::new(std::ptr::null_mut());
    let last = LAST.swap(next, Ordering::Relaxed);
    if !last.is_null() {
        // SAFETY: it came out of a box in `handle`, and was given up by its reader.
        drop(unsafe { Box::from_raw(last) });
    }
}

fn leak<T>(value: T) -> *const u8 {
    std::ptr::from_ref(Box::leak(Box::new(value))).cast()
}
