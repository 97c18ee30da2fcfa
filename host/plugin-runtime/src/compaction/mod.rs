//! World `compaction-strategy`: keeps the tree of a volume in shape.
//!
//! The view types are generated from the contract, so that a view is handed to the plugin without a copy in
//! between; their documentation is the contract's.

mod strategy;
mod views;

pub use crate::bindings::exports::mortise::plugin::compaction::{Level, Run, Table, View};
pub use strategy::{Answer, CompactionStrategy};
pub use views::{LEVELS, canned_views};
