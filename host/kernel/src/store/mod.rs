//! One volume's multi-version store over an lsm-tree.

mod handle;
mod shape;

pub use handle::{Applied, Flushed, ScrubProgress, Store, StoreConfig, StoreCounters};
pub use shape::{
    IllegalStep, LEVELS, LevelShape, RunShape, Step, StepOutcome, TABLE_BYTES, TableShape, TreeShape,
    check_step,
};
