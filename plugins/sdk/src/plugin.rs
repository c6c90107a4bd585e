//! The trait that authors implement, and the macro that makes a component of it.

use crate::{Batch, Effects, Failure};
use serde::de::DeserializeOwned;

/// A plugin: configured once, then given batch after batch. It keeps no state between batches; a table remembers for it.
pub trait Plugin: Sized + 'static {
    /// The route's `[route.config]`. Deny unknown fields, so that a typo is found.
    type Config: DeserializeOwned;

    /// JSON Schema of the configuration, which the router checks before it calls [`Plugin::new`]; empty: none.
    const SCHEMA: &'static str = "";

    /// Checks and compiles the configuration.
    ///
    /// # Errors
    /// In words for the operator. The router then gives this version no events.
    fn new(config: Self::Config) -> Result<Self, String>;

    /// Handles a batch. Its effects go into `out`; the router carries them out after this returns. See
    /// [`Effects::for_each`] for the usual loop.
    ///
    /// # Errors
    /// [`Failure`] if the batch as a whole did not go through; `out` is dropped then.
    fn handle<'a>(&'a self, batch: &'a Batch, out: &mut Effects<'a>) -> Result<(), Failure>;
}

/// A plugin from the JSON text of its configuration.
///
/// # Errors
/// In words for the operator.
pub fn configure<P: Plugin>(config: &str) -> Result<P, String> {
    P::new(serde_json::from_str(config).map_err(|e| format!("config: {e}"))?)
}

/// One call: the effects of a batch.
///
/// # Errors
/// The plugin's [`Failure`].
pub fn call<'a, P: Plugin>(plugin: &'a P, batch: &'a Batch) -> Result<Effects<'a>, Failure> {
    let mut out = Effects::with_capacity(batch.len());
    plugin.handle(batch, &mut out)?;
    Ok(out)
}

/// Makes the type, which implements [`Plugin`](crate::Plugin), the plugin of this crate: `export!(MyPlugin);`, once, in `lib.rs`.
/// Name, version and description are those of Cargo.toml; an `esclusa-` before the name is left out.
#[macro_export]
macro_rules! export {
    ($plugin:ident) => {
        #[cfg(target_family = "wasm")]
        $crate::guest::bindings::export!($plugin with_types_in $crate::guest);

        const _: fn() = || {
            fn is_a_plugin<P: $crate::Plugin>() {}
            is_a_plugin::<$plugin>();
        };
    };
}
