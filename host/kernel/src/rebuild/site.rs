//! What a rebuild needs of the volume that it works on.
//!
//! A trait stands between the two, so that the phases of a rebuild do not depend on how a volume keeps its
//! directory, its log and its upkeep. One task calls it, in the order of the phases: a generation is begun,
//! opened, named, prepared for, made current by [`Site::flip`] and settled.
//!
//! Everything up to the flip can be taken back by [`Site::abandon`]. A flip that fails has changed nothing,
//! and one that succeeds is durable only after [`Site::settle`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::Result;
use crate::format::FormatId;
use crate::raft::Group;
use crate::store::{Applied, CurrentStore, Served, Store};

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

    /// Brings what was written so far into tables.
    fn flush(&self) -> BoxFuture<'_, Result<()>>;

    /// Passes while this many bytes can be written without touching the reserve of free space.
    fn check_room(&self, bytes: u64) -> Result<()>;

    /// Makes the directory of a generation, of this format or that of the current one. Its number is
    /// reported before there is anything to remove.
    fn begin(&self, format: Option<FormatId>, number: &dyn Fn(u64)) -> Result<Generation>;

    /// Opens the store of a generation in the making.
    fn open_building(&self, building: &Generation) -> Result<Store>;

    /// Gives a generation in the making, whose store is closed, its final name, and opens it under that.
    fn name(&self, building: &Generation) -> Result<Arc<Served>>;

    /// Prepares the flip to a generation, durably, and with it that the one which serves until then is kept
    /// for so long. What is kept already stays kept otherwise, unless it is that generation, or the order of
    /// keys is not the `same_order` then.
    fn prepare_flip(&self, to: u64, keep: Option<Duration>, same_order: bool) -> Result<()>;

    /// Makes a generation the current one; an error means that nothing has changed.
    fn flip(&self, to: u64) -> Result<()>;

    /// Makes the flip durable.
    fn settle(&self) -> Result<()>;

    /// Removes what was prepared for a flip, and the generation in the making, if there is one.
    fn abandon(&self, building: Option<u64>) -> Result<()>;

    /// Lets the files of a generation go as soon as nothing reads them.
    fn retire(&self, number: u64);

    /// After a flip that is durable: lets go what is kept no longer. Whether the generation that served
    /// before is kept.
    fn keep(&self) -> bool;

    /// The tables of the generation that is kept hold `position`, and need no log before that.
    fn advance_kept(&self, position: Applied) -> Result<()>;

    /// Number of the generation that is kept, which stays kept until the flip or [`Self::abandon`].
    fn lend_kept(&self) -> Result<u64>;

    /// Waits until nothing has a generation open any more.
    fn vacated(&self, number: u64) -> BoxFuture<'_, ()>;

    /// Opens the kept generation, which is lent and vacated, where its tables stand. The log is held there.
    fn open_kept(&self, number: u64) -> Result<Arc<Served>>;

    /// Another store serves now.
    fn exchanged(&self);

    /// Slows writers by so many degrees; 0 lets them go.
    fn slow_writers(&self, degree: u8);
}
