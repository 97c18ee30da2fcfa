//! Simulating a strategy: a real store, real flushes and real steps, in a time that is computed.
//!
//! # What is real and what is simulated
//! The tree is a kernel store in a directory of its own: writes go into its memtable, flushes and steps
//! write tables, and every step passes the kernel's legality check, the guard rail and the pace of the
//! compaction loop. Time, the writers and the disk's speed are computed ([`Setup`]), so that the same seed
//! gives the same figures on any machine.
//!
//! A simulation is small and stands for something larger: every byte stands for [`Setup::scale`] bytes. The
//! strategy is shown the larger numbers, and the table sizes in its answers are scaled down, so that
//! thresholds such as «level 1 holds at most 256 MiB» are met after a million writes rather than after a
//! hundred million.
//!
//! # The figures
//! * **Write amplification**: bytes written to tables, by flushes and by steps, for each byte of keys and
//!   values that clients wrote. `volume status` divides by the bytes that commands put into memtables
//!   instead, which are more, because a superseded version and the record of a revision are rows of their
//!   own; a node doesn't count what its clients sent. The raft log is not counted.
//! * **Read amplification**: runs in the tree, so the most that a read of one key has to look into.
//! * **Space amplification**: bytes of all tables for each byte of the keys and values that are live. What is
//!   still in memtables is live and not on disk, so that a small tree may be below 1.
//! * **Stalls**: writes that the kernel would have slowed or stopped because level 0 or the memtables that
//!   wait for their flush were too many, and the time that it cost them.
//!
//! Read and space amplification are averages, and the most, over the second half of the writes, when the tree
//! has grown. The module knows nothing of terminals: whoever calls it draws.
//!
//! | file | what |
//! |---|---|
//! | `setup`, `workload` | the load and the machine; what is written |
//! | `run` | the course of a simulation |
//! | `ask` | asking the strategy, by the rules of the compaction loop |
//! | `machine`, `device` | the store and its disk, whose time is computed |
//! | `figures` | what is told in the end |

mod ask;
mod device;
mod figures;
mod machine;
mod run;
mod setup;
mod workload;

#[cfg(test)]
mod figures_tests;
#[cfg(test)]
mod stall_tests;
#[cfg(test)]
mod tests;

pub use ask::SimulatedStrategy;
pub use figures::{FaultSeen, LevelSample, Report, Sample, Spread, Stalls, StepCounts};
pub use run::{Ended, simulate};
pub use setup::Setup;
pub use workload::Workload;
