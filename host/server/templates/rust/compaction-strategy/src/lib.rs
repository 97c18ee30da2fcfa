//! A compaction strategy: merges level 0 when it is full, and keeps one run in every other level.
//!
//! `decide` is asked whenever the tree has changed and answers with one step. It sees sizes and numbers,
//! never data, and it cannot do harm: the host checks every step. Given the same call it must give the same
//! answer, so there is no clock and no randomness but what comes with the call.

use mortise_guest::Call;
use mortise_guest::compaction::{CompactionStrategy, Decision, LEVELS, Step, View};

/// What an operator can set: `mortise plugin use {{name}} --config '{"l0_runs": 8}'`.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Runs that level 0 collects before they are merged; at least 1.
    pub l0_runs: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { l0_runs: 4 }
    }
}

/// The strategy.
#[derive(Clone, Copy, Debug)]
pub struct Policy;

impl CompactionStrategy for Policy {
    type Config = Config;

    fn decide(config: &Config, _call: &Call, view: &View) -> Result<Decision, String> {
        if config.l0_runs == 0 {
            return Err("configuration: l0_runs is 0; expected at least 1".to_owned());
        }
        // Another strategy may have left several runs in a level.
        if let Some(level) = view.crowded_level() {
            let why = format!("level {level} has several runs");
            return Ok(Step::Merge { from: level, to: level }.because(why));
        }
        let runs = view.level0_runs();
        if runs < config.l0_runs {
            return Ok(Step::WAIT.into());
        }
        // Into the first level that holds anything; what lies between must be empty, and is.
        let below = (1..LEVELS).find(|level| view.runs(*level) > 0).unwrap_or(LEVELS - 1);
        // The operator sees the reason beside the step.
        Ok(Step::Merge { from: 0, to: below }.because(format!("level 0 has {runs} runs")))
    }
}

mortise_guest::export_compaction_strategy!(Policy);
