//! How much of the disk a group of the writer may still use.

use super::{Demand, WriterJob};
use crate::disk::{Disk, full};
use esclusa_flow::fault::Fault;

/// Bytes that a group may still write.
pub(super) struct DiskBudget {
    free: u64,
    path: String,
}

impl DiskBudget {
    /// What is free now.
    pub(super) fn of(disk: &Disk) -> Self {
        // If the file system does not report its free space, the write is tried: it fails by itself on a full disk.
        DiskBudget { free: disk.available().unwrap_or(u64::MAX), path: disk.path.display().to_string() }
    }

    /// True if work of this kind may write so many bytes.
    pub(super) fn has(&self, demand: Demand, bytes: u64, reserve: u64) -> bool {
        let floor = match demand {
            Demand::Durable | Demand::Written => reserve,
            Demand::Frees => reserve / 2,
            // A store on a full disk can still be opened and read.
            Demand::Alone => 0,
        };
        self.free >= floor.saturating_add(bytes)
    }

    /// Takes what a job writes; an error if there is too little.
    pub(super) fn take(&mut self, job: &WriterJob, reserve: u64) -> Result<(), Fault> {
        // Written twice: once to the journal, later to a table.
        let need = (job.bytes as u64).saturating_mul(2);
        if !self.has(job.demand, need, reserve) {
            return Err(Fault::Transient(full(&self.path, self.free, reserve)));
        }
        self.free -= need;
        Ok(())
    }
}
