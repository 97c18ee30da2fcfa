//! World `compaction-strategy`: keeps the tree of a volume in shape.
//!
//! The view types are generated from the newest contract, so that a view is handed to the plugin without a
//! copy in between; their documentation is the contract's. Components of version 0.1.0 are served through
//! `v0_1_0`, on the same types.
//!
//! | module | what it owns |
//! |---|---|
//! | `strategy` | the calls, and what an answer is made into |
//! | `v0_1_0` | the world as it was in version 0.1.0 |
//! | `views` | views that every strategy must cope with |
//! | `ratio` | floats in JSON that are no number |

mod ratio;
mod strategy;
mod v0_1_0;
mod views;

pub use crate::bindings::exports::mortise::plugin::compaction::{
    Decision as WireDecision, Knobs, Level, Origin, Outcome, PreviousStep, Run, Span, Step, Table, View, Work,
};
pub(crate) use strategy::Decide;
pub use strategy::{Answer, CompactionStrategy, Decision, Said, heard};
pub use v0_1_0::said as said_by_v0_1_0;
pub use views::{LEVELS, canned_views};
