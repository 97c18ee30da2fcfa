//! The catalog: volumes, plugins, bindings, quarantines and history, as ordinary keys of the system volume.
//!
//! The rows are the truth; [`Model`] is a copy of them for readers. Everything is changed through
//! [`Catalog::commit`], conditionally on what was read. Components are too large for rows and lie beside
//! them as files named by their digest ([`Blobs`]).

mod blobs;
mod change;
mod job_rows;
mod keys;
mod model;
mod rows;
mod store;

#[cfg(test)]
pub(crate) mod memory_rows;
#[cfg(test)]
mod tests;

pub(crate) use blobs::Blobs;
pub(crate) use change::{Change, Keep, ROWS_AT_ONCE};
pub(crate) use job_rows::{JobRow, NextJobId};
pub(crate) use keys::{Key, label_problem};
pub(crate) use model::Model;
pub(crate) use rows::{
    ArrivalRow, BindingRow, CandidateRow, HistoryRow, KeptRow, NextVolumeId, Origin, PluginRow,
    QuarantineRow, ROW_VERSION, RecordingRow, TakenBackRow, Target, VolumeRow, VolumeState,
};
#[cfg(test)]
pub(crate) use store::Rows;
pub(crate) use store::{Catalog, SystemVolume};
