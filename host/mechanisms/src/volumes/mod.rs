//! Volumes: which exist, which are served, and how they come and go.

mod act;
mod decide;
mod observe;
mod start;

#[cfg(test)]
mod decide_tests;

pub(crate) use act::{LoopConfig, Volumes};
pub(crate) use decide::{DEFAULT, SYSTEM, SystemVolumeStart, found, start_plan, system_start};
#[cfg(test)]
pub(crate) use decide::{bury, doom, ready, reserve};
pub(crate) use observe::on_disk;
