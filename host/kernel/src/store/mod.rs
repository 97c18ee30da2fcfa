//! One volume's multi-version store over an lsm-tree.

mod shape;

pub use shape::{
    IllegalStep, LEVELS, LevelShape, RunShape, Step, StepOutcome, TABLE_BYTES, TableShape, TreeShape, check_step,
};
