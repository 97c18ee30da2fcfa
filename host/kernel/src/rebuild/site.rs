//! What a rebuild needs of the volume that it works on.

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::Result;
use crate::format::FormatId;
use crate::raft::Group;
use crate::store::{CurrentStore, Served, Store};

/// A generation on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) format: FormatId,
}

/// The volume around a rebuild. What touches files blocks.
pub(crate) trait Site: Send + Sync + 'static {
    /// Name of the volume, for messages and metric labels.
    fn label(&self) -> &str;

    /// The store that serves.
    fn store(&self) -> &CurrentStore;

    /// The raft group.
    fn group(&self) -> &Group;

    /// Number of the generation that serves.
    fn current(&self) -> u64;

    /// Waits until nothing is left in the store that was unreadable when this was called.
    fn scrubbed(&self) -> BoxFuture<'_, ()>;

    /// Passes while this many bytes can be written without touching the reserve of free space.
    fn check_room(&self, bytes: u64) -> Result<()>;

    /// Makes the directory of a generation, of this format or that of the current one. Its number is
    /// reported before there is anything to remove.
    fn begin(&self, format: Option<FormatId>, number: &dyn Fn(u64)) -> Result<Generation>;

    /// Opens the store of a generation in the making.
    fn open_building(&self, building: &Generation) -> Result<Store>;

    /// Gives a generation in the making, whose store is closed, its final name, and opens it under that.
    fn name(&self, building: &Generation) -> Result<Arc<Served>>;

    /// Prepares the flip to a generation, durably.
    fn prepare_flip(&self, to: u64) -> Result<()>;

    /// Makes a generation the current one; an error means that nothing has changed.
    fn flip(&self, to: u64) -> Result<()>;

    /// Makes the flip durable.
    fn settle(&self) -> Result<()>;

    /// Removes a generation that was never current.
    fn abandon(&self, number: u64) -> Result<()>;

    /// Lets the files of a generation go as soon as nothing reads them.
    fn retire(&self, number: u64);

    /// Another store serves now.
    fn exchanged(&self);

    /// Slows writers by so many degrees; 0 lets them go.
    fn slow_writers(&self, degree: u8);
}
