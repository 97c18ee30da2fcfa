//! Volumes: which exist, which are served, and how they come and go.
//!
//! | file | what |
//! |---|---|
//! | `observe` | the catalog's rows joined with what is open, for people |
//! | `decide` | what becomes of each volume, as functions of the rows and of what lies on the disk |
//! | `act` | creating, opening and deleting, so that a crash leaves what the next start can finish |
//! | `condemn` | declaring a deletion, where the catalog may not answer |
//! | `start` | opening all volumes when the node starts |

mod act;
mod condemn;
mod decide;
mod observe;
mod start;

#[cfg(test)]
mod act_tests;
#[cfg(test)]
mod decide_tests;

pub(crate) use act::{LoopConfig, Volumes};
pub(crate) use decide::{DEFAULT, SYSTEM, SystemVolumeStart, found, start_plan, system_start};
#[cfg(test)]
pub(crate) use decide::{bury, doom, ready, reserve};
pub(crate) use observe::on_disk;
pub(crate) use start::Opening;
