//! What is simulated: the load, the machine, and how much smaller than life.
//!
//! Rates, sizes of the disk and thresholds are those of the tree that is stood for; numbers of writes and
//! keys are those that are really made. The same setup gives the same figures. Numbers that are out of bounds
//! are refused by name before anything begins.

use serde::Serialize;

use super::Workload;
use crate::{Error, Result};

/// Bytes of a memtable in life; the kernel's default.
const MEMTABLE_BYTES: u64 = 64 << 20;
/// A memtable of the simulated store has at least so many bytes.
const LEAST_MEMTABLE_BYTES: u64 = 256 << 10;

/// A load, and the machine that it meets. Rates and the disk are those of the tree that is stood for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setup {
    /// What is written.
    pub workload: Workload,
    /// How many writes; deletes count.
    pub writes: u64,
    /// Different keys; of [`Workload::TtlLike`], keys that live at the same time. [`Workload::Append`] has no
    /// use for it.
    pub keys: u64,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// The same seed gives the same writes, the same calls and the same figures.
    pub seed: u64,
    /// Bytes that each byte stands for.
    pub scale: u64,
    /// Bytes of keys and values that clients write in a second.
    pub write_rate: u64,
    /// Bytes that the disk reads and writes in a second, flushes and steps together.
    pub disk_rate: u64,
    /// Bytes of the disk.
    pub disk_bytes: u64,
    /// Level-0 runs above which an idle strategy is passed over.
    pub guard_l0_runs: usize,
}

impl Setup {
    /// The defaults for so many writes: values of 256 bytes, a quarter as many keys, one byte for 64; clients
    /// that write 16 MiB a second on a disk of 200 MiB a second.
    #[must_use]
    pub fn new(workload: Workload, writes: u64) -> Self {
        Self {
            workload,
            writes,
            keys: (writes / 4).max(1),
            value_bytes: 256,
            seed: 1,
            scale: 64,
            write_rate: 16 << 20,
            disk_rate: 200 << 20,
            disk_bytes: 4 << 40,
            guard_l0_runs: 20,
        }
    }

    /// Checks that every number is within what can be simulated.
    ///
    /// # Errors
    /// [`Error::Simulation`] names the first that is not.
    pub fn validate(&self) -> Result<()> {
        let bounds = [
            ("writes", self.writes, 1, 1_000_000_000),
            ("keys", self.keys, 1, 100_000_000),
            ("value size", self.value_bytes as u64, 0, 1 << 20),
            ("scale", self.scale, 1, 256),
            ("write rate", self.write_rate, 1 << 10, 1 << 40),
            ("disk rate", self.disk_rate, 1 << 10, 1 << 40),
            ("disk", self.disk_bytes, 1 << 20, 1 << 50),
            ("guard of level 0", self.guard_l0_runs as u64, 1, 10_000),
        ];
        for (what, found, least, most) in bounds {
            if !(least..=most).contains(&found) {
                return Err(Error::Simulation(format!(
                    "the {what} is {found}; allowed is {least} to {most}"
                )));
            }
        }
        Ok(())
    }

    /// Size at which the store's memtable is sealed.
    pub(super) fn memtable_bytes(&self) -> u64 {
        (MEMTABLE_BYTES / self.scale).max(LEAST_MEMTABLE_BYTES)
    }
}
