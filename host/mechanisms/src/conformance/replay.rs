//! Running recorded calls against a component, to see what would differ.
//!
//! Each call is repeated with its own configuration, time, seed and view. Answers are the same when they want
//! the same step, whatever reasons they give; faults are the same when they are of the same kind, because
//! their texts may hold addresses and durations. Whether an answer is legal is judged by the tree that was
//! recorded.
//!
//! A difference is no failure here: whoever asked decides what it means. Only strategies are recorded, so a
//! component of another world is refused.

use std::time::Instant;

use serde::Serialize;

use super::battery::micros;
use super::strategy;
use super::trace::{Question, Record, Reply};
use super::views::described;
use super::workbench::LoadedPlugin;
use crate::Result;

/// What became of the recorded calls.
#[derive(Clone, Debug, Serialize)]
pub struct Replayed {
    /// Name and version of the plugin.
    pub plugin: String,
    /// Calls that were made.
    pub calls: u64,
    /// Calls that were answered as recorded.
    pub same: u64,
    /// Answers that are faults or illegal, as recorded or not.
    pub bad: u64,
    /// The others.
    pub differences: Vec<Difference>,
    /// Microseconds of the longest call.
    pub longest_us: u64,
}

/// A call that is answered otherwise.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// Its record, counted from 1.
    pub record: u64,
    /// What was asked, in one line.
    pub seen: String,
    /// The answer then.
    pub recorded: Reply,
    /// The answer now.
    pub found: Reply,
    /// Whether the answer now is legal; a fault is not.
    pub legal: bool,
}

pub(super) fn replay(
    specimen: &LoadedPlugin,
    records: &[Record],
    progress: &mut dyn FnMut(u64),
) -> Result<Replayed> {
    let subject = specimen.strategy(specimen.limits())?;
    let mut replayed = Replayed {
        plugin: specimen.label(),
        calls: 0,
        same: 0,
        bad: 0,
        differences: Vec::new(),
        longest_us: 0,
    };
    for (number, record) in (1..).zip(records) {
        let Question::CompactionStrategy { view } = &record.question;
        let begun = Instant::now();
        let (found, legal) = strategy::replay(&subject, record, view);
        replayed.longest_us = replayed.longest_us.max(micros(begun.elapsed()));
        replayed.calls += 1;
        replayed.bad += u64::from(!legal);
        if same(&record.answer, &found) {
            replayed.same += 1;
        } else {
            let seen = described(&view.into());
            let recorded = record.answer.clone();
            replayed.differences.push(Difference { record: number, seen, recorded, found, legal });
        }
        progress(number);
    }
    Ok(replayed)
}

/// Faults are the same by their kind: their texts may hold addresses and durations.
fn same(recorded: &Reply, found: &Reply) -> bool {
    match (recorded, found) {
        // A float that is no number is not equal to itself, and yet the same answer.
        (Reply::Decision(one), Reply::Decision(other)) => {
            one.step == other.step || format!("{:?}", one.step) == format!("{:?}", other.step)
        }
        (Reply::Fault { kind: one, .. }, Reply::Fault { kind: other, .. }) => one == other,
        _ => false,
    }
}
