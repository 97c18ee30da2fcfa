//! Volumes: which exist, which are served, and how they come and go.

mod act;
mod decide;
mod observe;


pub(crate) use act::{LoopConfig, Volumes};
pub(crate) use decide::{DEFAULT, SYSTEM, SystemVolumeStart, found, start_plan, system_start};
pub(crate) use observe::on_disk;
