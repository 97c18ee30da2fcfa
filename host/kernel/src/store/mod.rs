//! One volume's multi-version store over an lsm-tree.
//!
//! From the bottom up: `columns` and `records` fix the bytes, `tree` and `damage` wrap the library, `view`
//! says what readers see, `source` lays staged changes over the tree, `scan`, `read` and `reading` answer,
//! `draft` and `txn` apply entries, `weight` and `foresight` tell beforehand what that takes, `scrub`
//! removes superseded versions, `maintenance` changes the `shape`, `leftovers` removes what a failed change
//! left, `hash` proves that nothing else changed, `transfer` and `convert` move all rows to another store,
//! read by `tables`, `conversion` from one format into another, `handle` is the face of it all, `config` has
//! what it is opened with and what it tells, `current` exchanges one store for another under its users, and
//! `examine` looks at trees that are not open.

mod columns;
mod config;
mod conversion;
mod convert;
mod current;
mod damage;
mod draft;
mod examine;
mod foresight;
mod handle;
mod hash;
mod leftovers;
mod maintenance;
mod read;
mod reading;
mod records;
mod scan;
mod scrub;
mod shape;
mod source;
mod tables;
mod transfer;
mod tree;
mod txn;
mod view;
mod weight;

#[cfg(test)]
mod gate_tests;
#[cfg(test)]
mod shape_tests;

pub use config::{Applied, Flushed, ScrubProgress, StoreConfig, StoreCounters};
pub use conversion::{Conversion, Survey};
pub(crate) use convert::convert;
pub use convert::{Row, Transform};
pub use current::{CurrentStore, Reaper, Served};
pub(crate) use examine::examine_tree;
pub use foresight::{MOST_ORDERED_BYTES, MOST_ORDERED_VALUES};
pub use handle::Store;
pub use hash::ContentHasher;
pub use reading::{Reading, Waiting, Wanted};
pub use shape::{
    IllegalStep, LEVELS, LevelShape, RunShape, Step, StepOutcome, TABLE_BYTES, TableShape, TreeShape,
    check_step,
};
pub use transfer::{PinnedContent, PinnedRows, RowSum};
