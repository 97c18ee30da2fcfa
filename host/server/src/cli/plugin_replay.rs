//! `mortise plugin replay`: recorded calls against a component, and what it would answer otherwise.
//!
//! It needs no daemon, and compiles the component in a process of its own. Like `diff`, the command fails
//! when anything would be answered otherwise, whether the new answer is better or worse; the table shows the
//! first differences, the JSON all.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use mortise_mechanisms::conformance::trace::Reply;
use mortise_mechanisms::conformance::{Replayed, Workbench};

use super::output::Output;
use super::plugin_author::{CallLimits, grouped, specimen};
use super::plugin_limits::milliseconds;
use super::plugin_test::records;
use crate::wiring;

/// Differences that are told in full.
const SHOWN: usize = 20;

/// Run recorded calls against a component, and say what it would answer otherwise.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The trace: a recorded call a line.
    trace: PathBuf,
    /// The component, a .wasm file.
    component: PathBuf,
    #[command(flatten)]
    limits: CallLimits,
    #[command(flatten)]
    output: Output,
}

impl Replay {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let records = records(&self.trace)?;
        let bench = Workbench::new(wiring::compile_in_child())?;
        let specimen = specimen(&bench, &self.component, &self.limits)?;
        let replayed = specimen.replay(&records, &mut |_| {})?;
        self.output.output.emit(|| told(&replayed), || serde_json::json!(replayed))?;
        verdict(&replayed)
    }
}

/// Fails when anything would be answered otherwise, as `diff` does.
pub(super) fn verdict(replayed: &Replayed) -> anyhow::Result<()> {
    let differ = replayed.differences.len() as u64;
    if differ > 0 {
        bail!("{} of {} recorded calls are answered otherwise", grouped(differ), grouped(replayed.calls));
    }
    Ok(())
}

pub(super) fn told(replayed: &Replayed) -> String {
    let mut text = String::new();
    for difference in replayed.differences.iter().take(SHOWN) {
        let legal = if difference.legal { "" } else { "  (not a legal answer)" };
        text += &format!(
            "\ncall {}: {}\n  recorded  {}\n  now       {}{legal}\n",
            difference.record,
            difference.seen,
            reply(&difference.recorded),
            reply(&difference.found),
        );
    }
    let more = replayed.differences.len().saturating_sub(SHOWN);
    if more > 0 {
        text += &format!("\n… and {more} more; --output json has all of them\n");
    }
    text + &format!(
        "\n{}: {} of {} recorded calls are answered as recorded; the longest took {}\n",
        replayed.plugin,
        grouped(replayed.same),
        grouped(replayed.calls),
        milliseconds(replayed.longest_us)
    )
}

fn reply(reply: &Reply) -> String {
    match reply {
        Reply::Decision(decision) if decision.reason.is_empty() => format!("{:?}", decision.step),
        Reply::Decision(decision) => format!("{:?} ({})", decision.step, decision.reason),
        Reply::Fault { kind, detail } => format!("a fault ({kind}): {detail}"),
    }
}
