//! The data directory of a node and the volumes open on it.
//!
//! | module | what it owns |
//! |---|---|
//! | `host` | [`Node`]: opening, creating, removing volumes, stopping |
//! | `types` | what nodes and volumes are configured with, and what they tell |
//! | `directory` | the lock, the `NODE` file, durable changes of files |
//! | `formats` | what a format asks of requests, and a conversion of a volume |
//! | `generation` | one volume's directory: `CURRENT`, generations, leftovers |
//! | `home` | an open volume's directory: generations in the making and on their way out |
//! | `rebuilding` | rebuilds of one volume: one at a time, ended with it |
//! | `kept` | the previous generation, kept for a while to go back to |
//! | `stores` | how stores are opened |
//! | `tasks` | ending what runs behind a volume |
//! | `volume` | [`Volume`]: writes and reads of one open volume |
//! | `admission` | which writes are let into the log, by what they move at once |
//! | `upkeep` | flushing, purging, removing superseded revisions of one volume |
//! | `pressure` | how writers are slowed when the store does not keep up |
//! | [`doctor`] | looks at a directory that no daemon uses |
//! | `disk` | free space, and the refusal of writes when it runs out |

mod admission;
mod directory;
mod disk;
pub mod doctor;
mod formats;
mod generation;
mod home;
mod host;
mod kept;
mod pressure;
mod rebuilding;
mod stores;
mod tasks;
mod types;
mod upkeep;
mod volume;

#[cfg(test)]
mod generation_tests;

pub use host::Node;
pub use pressure::{Pressure, Verdict};
pub use types::{
    Consistency, ContentHash, KeptGeneration, NodeConfig, VolumeConfig, VolumeCounters, VolumeId,
    VolumeStatus,
};
pub use volume::Volume;
