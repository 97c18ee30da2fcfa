//! How much of what a strategy was asked is kept: calls and bytes, whichever is reached first.
//!
//! The bounds are those of one volume, and their bytes are bytes of memory; what may be asked for has a
//! limit, because every volume of a node may be asked. Volumes that nobody asked about have small defaults,
//! and 0 calls keep none.

use crate::{Error, Result};

/// How many calls are kept, and how many bytes they may take; whichever is reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Calls; 0 keeps none.
    pub calls: u64,
    /// Bytes of memory.
    pub bytes: u64,
}

impl Bounds {
    /// Most calls that may be asked for.
    pub(crate) const MOST_CALLS: u64 = 100_000;
    /// Most bytes that may be asked for, for each volume.
    pub(crate) const MOST_BYTES: u64 = 256 * 1024 * 1024;
    /// Bytes where only a number of calls was asked for.
    const USUAL_BYTES: u64 = 8 * 1024 * 1024;

    /// So many calls in so many bytes; 0 bytes means the usual number.
    ///
    /// # Errors
    /// [`Error::Limits`] when either is more than may be asked for.
    pub(crate) fn wanted(calls: u64, bytes: u64) -> Result<Self> {
        for (what, found, most) in [("calls", calls, Self::MOST_CALLS), ("bytes", bytes, Self::MOST_BYTES)] {
            if found > most {
                return Err(Error::Limits(format!(
                    "found a recording of {found} {what}; at most {most} are kept for a volume, in memory"
                )));
            }
        }
        Ok(Self { calls, bytes: if bytes == 0 { Self::USUAL_BYTES } else { bytes } })
    }
}

/// What is kept for a volume that nobody has asked for. Faults come unannounced, and what must be switched on
/// first is never there when it is needed; three of them lead to quarantine, and a few calls before them tell
/// how it came to that.
impl Default for Bounds {
    fn default() -> Self {
        Self { calls: 8, bytes: 256 * 1024 }
    }
}
