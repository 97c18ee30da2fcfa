//! The raft log of every volume on the node, in one fjall database.
//!
//! One database for all volumes makes *group commit* possible: whatever waits for the disk, of whichever
//! volume, shares one `fdatasync`. A single writer thread takes everything that waits (a *group*), writes it,
//! syncs once and completes every waiter; what arrives meanwhile forms the next group. The queue is ordered,
//! so a truncation can never overtake or be overtaken by an append of the same volume.
//!
//! What is promised: a change whose completion reported success survives `kill -9` and power loss, as far as
//! the disk honours `fdatasync`. After an I/O failure nothing more is accepted, because what the failed group
//! left on disk is unknown until the next opening; reads go on.
//!
//! Stored bytes are opaque here. This module must not know raft's types, commands or the store.
//!
//! | module | what it does |
//! |---|---|
//! | `handle` | [`Log`]: the log as its users see it |
//! | `queue`, `writer` | the ordered queue, and the thread that writes groups of what is in it |
//! | `fjall_sink`, `keys` | the database, and the keys in it |
//! | `room` | the wait for room on the disk |
//! | `tail` | [`Tail`]: the newest entries of one volume, in memory |
//! | `examine`, `journal` | what is judged before the database is opened |
//! | `metrics` | what the log reports about itself |

mod examine;
mod fjall_sink;
mod handle;
mod journal;
mod keys;
mod metrics;
mod queue;
mod room;
mod tail;
mod writer;

#[cfg(test)]
mod examine_tests;
#[cfg(test)]
mod journal_tests;
#[cfg(test)]
mod room_tests;
#[cfg(test)]
mod tests;

pub(crate) use examine::{check_marker, is_unfinished, trees};
pub use handle::{Log, LogConfig, LogState};
pub(crate) use journal::examine as examine_journals;
pub use keys::Key;
pub(crate) use queue::DISK_FULL;
pub use queue::{Completion, LogFailure};
pub use tail::Tail;
pub use writer::{Sink, Write};
