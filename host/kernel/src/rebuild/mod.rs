//! Rebuilding a volume's store on line, into a new generation.
//!
//! A rebuild serves defragmentation (the bytes stay as they are) and conversion (a [`Transform`] turns them
//! into another format's). Writers and readers go on throughout:
//!
//! 1. **Copy.** The memtable is flushed, the tables of one moment are pinned, which hold the state at one
//!    index *i0* of the log, the purge of the log is held there, and all rows go into
//!    `gen-N+1.building`. The copy is then read back and gets its final name.
//! 2. **Catch up.** The entries of the log after *i0* are applied to the new store, round after round, until
//!    few remain. The raft log is the journal: it costs no memory and survives a crash.
//! 3. **Switch.** Apply is held for at most [`SWITCH_ENTRIES`] entries of together [`SWITCH_BYTES`] bytes
//!    that move at most [`SWITCH_WEIGHT`] bytes; the new store gets them, `CURRENT` is renamed, and the new
//!    store serves. Where more is left than that, or an entry is heavier, it goes back to catching up.
//!
//! Up to the renaming of `CURRENT` everything can be cancelled, and any error or panic leaves the volume as
//! it was. From there on nothing can fail: until the renaming is durable, the log is held for both
//! generations, each where its own tables stand, so that a power failure may choose either.
//!
//! | module | what it does |
//! |---|---|
//! | `options` | what a rebuild is asked and answers |
//! | `handle` | watching, cancelling, awaiting |
//! | `site` | what is needed of the volume |
//! | `task` | a rebuild from beginning to end, and the cleaning up |
//! | `copy` | the first phase, and its check |
//! | `pace` | keeping the copy to a rate |
//! | `catch_up` | the second phase, and when writers are slowed |
//!
//! This module must not know Wasm, codecs or who asked.

mod catch_up;
mod copy;
mod handle;
mod options;
mod pace;
mod site;
mod task;

pub use crate::store::Transform;
pub use handle::{Cancel, Rebuild};
pub(crate) use site::{Generation, Site};
pub(crate) use task::{Source, Task, run};

pub use options::{Phase, Progress, RebuildOptions, RebuildOutcome, Verify};

/// Most entries of the log that are applied while apply is held.
pub const SWITCH_ENTRIES: u64 = 8;
/// Most bytes of entries that are applied while apply is held.
pub const SWITCH_BYTES: u64 = 512 * 1024;
/// Most bytes of keys and values that those entries may write, with what their rows take beside: a delete
/// of a range has few bytes and moves many. Eight full entries of small puts weigh less.
pub const SWITCH_WEIGHT: u64 = 2 * 1024 * 1024;
