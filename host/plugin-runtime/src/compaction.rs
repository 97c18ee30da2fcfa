//! World `compaction-strategy`: keeps the tree of a volume in shape.

pub use crate::bindings::exports::mortise::plugin::compaction::{Level, Run, Table, View};
pub use crate::skeleton::{Answer, CompactionStrategy, canned_views};
