//! Compaction: each volume has a loop that observes its tree, has its strategy decide, and acts.
//!
//! The loop holds whatever a strategy answers: illegal answers are faults, faults lead to quarantine, idle
//! strategies are passed over by the guard rail, and the pace keeps everything from spinning. What a
//! strategy can do at worst is to waste disk writes.
//!
//! | file | what |
//! |---|---|
//! | `task` | the loop of one volume |
//! | `observe`, `decide`, `act` | what is known of a tree, what to do with it, and doing it |
//! | `pace` | what keeps the loop from spinning |
//! | `strategy`, `question` | the slot of what serves, and a question that was put to it |
//! | `shadow`, `tally` | a candidate beside what serves, and how the two compare |

mod act;
mod decide;
mod observe;
mod pace;
mod question;
mod shadow;
mod strategy;
mod tally;
mod task;

#[cfg(test)]
mod act_tests;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod decide_tests;
#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod recorder_tests;
#[cfg(test)]
mod shadow_tests;
#[cfg(test)]
mod task_tests;

pub(crate) use act::{Permits, Wanted};
pub(crate) use decide::{Plan, plan};
pub use decide::{Verdict, judge};
pub(crate) use observe::{
    FreeDisk, Observation, Observer, WriteRate, fingerprint, shape_of, write_amplification,
};
pub(crate) use pace::{By, FAULTS_IN_A_ROW, Pace};
pub(crate) use shadow::Shadow;
pub(crate) use strategy::{Active, Candidate, NativeLeveled, Slot, Strategy, native_info};
pub(crate) use task::{Handle, Supervisor, Task, spawn};
