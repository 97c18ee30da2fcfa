//! Rebuilding and converting volumes: jobs that administrators begin, watch and cancel.
//!
//! The kernel does the work and promises that a volume is as it was unless the new generation serves. Here is
//! what surrounds it: which format is meant and where its codec comes from, one job for each volume at a
//! time, what the catalog says meanwhile and afterwards, and what came of every job.
//!
//! | file | what |
//! |---|---|
//! | `observe` | what is told of a job: progress, result, metrics |
//! | `decide` | which work may begin, and what the catalog says before and after it, as pure functions |
//! | `tell` | what the history says of jobs |
//! | `act` | the jobs that run: beginning, watching, cancelling, ending |
//! | `begin` | how jobs are written down that begin |
//! | `live` | a job that is under way, and how it is asked to end |
//! | `settle` | what became of the jobs that the last stop cut off |
//! | `launch` | a request as the kernel's rebuild |
//! | `codec` | components of the world `format` as the kernel's codecs |

mod act;
mod begin;
mod codec;
mod decide;
mod launch;
mod live;
mod observe;
mod settle;
mod tell;

#[cfg(test)]
mod act_tests;
#[cfg(test)]
mod decide_tests;
#[cfg(test)]
mod tell_tests;

pub(crate) use act::Jobs;
pub(crate) use codec::FormatCodec;
pub use codec::{FormatCodecs, recoded};
pub(crate) use decide::wanted_format;
pub use decide::{JobRequest, JobWork, WantedFormat};
pub(crate) use launch::kept_info;
pub use observe::{JobInfo, JobKind, JobProgress, JobResult, JobState};
