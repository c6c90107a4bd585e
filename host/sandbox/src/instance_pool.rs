//! Instances that are kept between the calls of a route, and the conditions under which they are dropped.

use crate::sandbox::SandboxCore;
use esclusa_flow::settings::Instances;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// An instance that can be kept, and wears out.
pub(crate) trait Reusable {
    /// Calls that it has had.
    fn calls(&self) -> u32;
    /// Bytes that it holds.
    fn memory(&self) -> usize;
}

/// The kept instances of one route.
pub(crate) struct InstancePool<T> {
    inner: Arc<SandboxCore>,
    instances: Instances,
    kept: Mutex<Vec<T>>,
}

impl<T: Reusable> InstancePool<T> {
    /// An empty pool.
    pub(crate) fn new(inner: Arc<SandboxCore>, instances: Instances) -> Self {
        InstancePool { inner, instances, kept: Mutex::default() }
    }

    /// Takes a kept instance out of the pool, if there is one.
    pub(crate) fn take(&self) -> Option<T> {
        let taken = self.kept.lock().pop();
        if taken.is_some() {
            self.inner.kept.fetch_sub(1, Ordering::Relaxed);
        }
        taken
    }

    /// Keeps an instance whose call went well, unless it is worn out or there is no room for it.
    pub(crate) fn keep(&self, instance: T) {
        let Instances::Reuse { max_invocations, memory_high_water } = self.instances else { return };
        if instance.calls() >= max_invocations || instance.memory() > memory_high_water {
            return;
        }
        // All routes share the room: the engine's pool has slots for that many idle instances.
        let room = self.inner.config.instances as usize;
        if self.inner.kept.fetch_add(1, Ordering::Relaxed) >= room {
            self.inner.kept.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        self.kept.lock().push(instance);
    }
}

impl<T> Drop for InstancePool<T> {
    fn drop(&mut self) {
        let kept = self.kept.get_mut().len();
        self.inner.kept.fetch_sub(kept, Ordering::Relaxed);
    }
}
