//! The data directory of a node and the volumes open on it.

mod types;
mod volume;

pub use types::{Consistency, ContentHash, NodeConfig, VolumeConfig, VolumeCounters, VolumeId, VolumeStatus};
pub use volume::{Node, Volume};
