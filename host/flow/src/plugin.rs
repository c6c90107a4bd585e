//! The boundary to plugins: a batch in, an output out.

use crate::BoxFuture;
use crate::call_output::{CallError, CallOutput};
use crate::event::{BatchOrigin, Columns};
use crate::reads::Reads;
use std::sync::Arc;

/// A loaded version of a plugin, configured for one route. A pure function from a batch of events to effects.
pub trait Plugin: Send + Sync {
    /// Handles a batch, which may be done on threads of the plugin's own. `reads` is asked only for granted tables.
    /// Dropping the future stops the guest and drops its instance.
    ///
    /// # Errors
    /// [`CallError`]; the call has no output then, so its events are called again or given up, never settled as done.
    fn call<'a>(
        &'a self,
        origin: &'a BatchOrigin,
        events: &'a Arc<Columns>,
        reads: Arc<dyn Reads>,
    ) -> BoxFuture<'a, Result<CallOutput, CallError>>;

    /// SHA-256 of the plugin's file, in hex.
    fn digest(&self) -> &str;
}
