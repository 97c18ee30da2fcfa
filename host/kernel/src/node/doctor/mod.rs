//! Looks at a data directory that no daemon uses, and changes nothing in it.
//!
//! What is looked at: the identity of the node, the journals and trees of the raft log, and every volume:
//! which generation is current, in which format it is written, whether each of its tables has the checksum
//! that the manifest gives it, and what else lies there. Nothing is opened the way a start would open it,
//! because opening removes leftovers; only reading happens, under a shared lock that keeps a daemon out.
//!
//! What is found is sorted by what it means for the next start ([`Severity`]). The checksums cover whole
//! files. What lies beyond them, such as rows that are whole and contradict each other, is not judged here.
//!
//! This module must not know components: whether a codec is there is for others to say.
//!
//! | module | what it looks at |
//! |---|---|
//! | `examine`, `volume` | the directory as a whole, and one volume in it |
//! | `report` | what is told of it |

mod examine;
mod report;
mod volume;

#[cfg(test)]
mod tests;

pub use examine::examine;
pub use report::{
    Finding, FormatReport, GenerationReport, JournalReport, LogReport, NodeReport, Report, Role, Severity,
    TreeReport, VolumeReport,
};
