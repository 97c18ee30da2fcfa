//! The catalog: volumes, plugins, bindings, quarantines and history, as ordinary keys of the system volume.
//!
//! The rows are the truth; [`Model`] is a copy of them for readers. Everything is changed through
//! [`Catalog::commit`], conditionally on what was read. Components are too large for rows and lie beside
//! them as files named by their digest ([`Blobs`]).
//!
//! | file | what |
//! |---|---|
//! | `keys`, `rows`, `history_rows`, `job_rows` | where the rows are, and what is in them |
//! | `model` | the rows in memory, as of one revision |
//! | `change` | what must still hold, and what is then written, in one transaction |
//! | `store` | reading, following and changing the catalog |
//! | `keep`, `refusals` | how much of the history is kept, and how many refusals are written |
//! | `blobs` | components as files |

mod blobs;
mod change;
mod history_rows;
mod job_rows;
mod keep;
mod keys;
mod model;
mod refusals;
mod rows;
mod store;

#[cfg(test)]
mod history_tests;
#[cfg(test)]
pub(crate) mod memory_rows;
#[cfg(test)]
mod tests;

pub(crate) use blobs::Blobs;
pub(crate) use change::{Change, ROWS_AT_ONCE};
pub(crate) use history_rows::{ConfigSeen, HistoryRow};
pub(crate) use job_rows::{JobRow, NextJobId};
pub(crate) use keep::Keep;
pub(crate) use keys::{Key, label_problem};
pub(crate) use model::Model;
pub(crate) use rows::{
    ArrivalRow, BindingRow, CandidateRow, KeptRow, NextVolumeId, Origin, PluginRow, QuarantineRow,
    ROW_VERSION, RecordingRow, TakenBackRow, Target, VolumeRow, VolumeState,
};
#[cfg(test)]
pub(crate) use store::Rows;
pub(crate) use store::{Catalog, SystemVolume};
