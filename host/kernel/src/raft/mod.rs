//! One raft group per volume, with openraft, over the shared log and the volume's store.
//!
//! | module | what it does |
//! |---|---|
//! | `types` | openraft's type configuration and the payload of a log entry |
//! | `codec` | bytes of entries, votes, marks and positions |
//! | `storage` | openraft's log storage over [`crate::log`] |
//! | `applier` | applies entries to a store, with their positions |
//! | `machine` | openraft's state machine over [`crate::store`] |
//! | `hold` | keeps the log from being purged |
//! | `replay` | applies the log to another store, and exchanges the two |
//! | `network` | what openraft asks for to reach other replicas; a group with one voter has none |
//! | `group` | a running group: opening, election, purging, stopping |
//! | `proposer` | gathers commands into entries |
//! | `barrier` | shares one confirmation of leadership among concurrent readers |
//!
//! An answer reaches its proposer straight from apply. openraft's own response channel would
//! deliver it one flush later, because its core waits for the disk before it looks at what was applied.
//!
//! This module must not know directories, compaction or who calls it.

mod applier;
mod barrier;
mod codec;
mod group;
mod hold;
mod machine;
mod network;
mod proposer;
mod replay;
mod storage;
mod types;

#[cfg(test)]
mod tests;

pub use barrier::{Barrier, ReadIndex, Refusal};
pub use group::{Group, GroupConfig};
pub use hold::LogHold;
pub use machine::Upkeep;
pub use proposer::{ProposerConfig, Throttle};
pub use replay::{Excess, Exchange, Limits, Postponed, Replay};
pub use types::{Batch, TypeConfig};
