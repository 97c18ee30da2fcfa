//! Recording: what the strategy of a volume was asked lately, what it answered, and what became of that.
//!
//! | file | what |
//! |---|---|
//! | `bounds` | how much is kept, by default and at most |
//! | `ring` | the latest calls, bounded in number and in bytes; those of a strategy that faulted and was replaced |
//! | `latest` | the latest answer and the latest step, for whoever asks why a volume does what it does |
//! | `recorder` | the two behind a lock, one for each volume: what the compaction loop tells |
//!
//! All of it is memory and goes with the process; only the setting is in the catalog. Recording keeps the
//! view that was built for the call, and nothing is serialised before somebody fetches it. This module knows
//! calls and answers; it must not know who asks, what is legal, or where a trace goes.

mod bounds;
mod latest;
mod recorder;
mod ring;

#[cfg(test)]
mod tests;

pub(crate) use bounds::Bounds;
pub(crate) use latest::Latest;
pub use latest::{Became, DecisionInfo};
pub(crate) use recorder::Recorder;
pub use ring::{Recorded, RecordingInfo};
