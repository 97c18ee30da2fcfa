//! The latest answer of a volume's strategy and the latest step, each with its reason and what became of it.
//!
//! A strategy that has nothing to do answers with `wait` every few seconds, which would hide the step
//! that an operator asks about; so both are remembered.

use std::time::Duration;

use mortise_plugin_runtime::compaction::{Answer, Origin, Outcome, PreviousStep, Work};
use mortise_plugin_runtime::{Fault, ILLEGAL};

use super::Recorded;
use crate::NATIVE_STRATEGY;

/// What a strategy answered and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionInfo {
    /// When it was asked, Unix milliseconds.
    pub unix_ms: u64,
    /// Name of the strategy that answered: a plugin, or [`NATIVE_STRATEGY`], which is also the guard rail.
    pub plugin: String,
    /// Its version; empty for the native strategy.
    pub version: String,
    /// What it wants; `None` when it faulted instead of answering.
    pub step: Option<Answer>,
    /// Why; empty when it gave no reason.
    pub reason: String,
    /// What became of it.
    pub became: Became,
}

/// What became of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Became {
    /// It was to wait.
    Waits,
    /// It is not a legal answer, or none.
    Fault {
        /// Kind: `trap`, `deadline`, `illegal`, …
        kind: &'static str,
        /// What happened.
        detail: String,
    },
    /// The same step had failed or had achieved nothing on the same tree, so it was not run.
    HeldBack,
    /// A step of the guard rail was run before it; the strategy is asked again.
    Overruled,
    /// It is being run, or waits for its turn.
    Runs,
    /// The tree changed.
    Done {
        /// What was read and written.
        work: Work,
        /// How long it took.
        took: Duration,
    },
    /// There was nothing to do.
    Nothing,
    /// The tree had changed before it could begin.
    Stale,
    /// Storage failed; the message.
    Failed(String),
}

impl Became {
    /// Its name in one word, for programs.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Waits => "waits",
            Self::Fault { .. } => "fault",
            Self::HeldBack => "held-back",
            Self::Overruled => "overruled",
            Self::Runs => "runs",
            Self::Done { .. } => "done",
            Self::Nothing => "nothing",
            Self::Stale => "stale",
            Self::Failed(_) => "failed",
        }
    }
}

/// The latest answer and the latest step.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Latest {
    /// What the strategy answered last.
    pub answer: Option<DecisionInfo>,
    /// The last step that was run, or wanted. Newer than the answer where the guard rail wanted it.
    pub step: Option<DecisionInfo>,
}

impl Latest {
    /// Takes note of an answer; `illegal` says which rule it breaks.
    pub(super) fn heard(&mut self, recorded: &Recorded, illegal: Option<&str>) {
        let (step, reason, became) = match (&recorded.answer, illegal) {
            (Ok(decision), Some(rule)) => {
                let became = Became::Fault { kind: ILLEGAL, detail: rule.to_owned() };
                (Some(decision.step), decision.reason.clone(), became)
            }
            (Ok(decision), None) => {
                let waits = matches!(decision.step, Answer::Wait { .. });
                let became = if waits { Became::Waits } else { Became::HeldBack };
                (Some(decision.step), decision.reason.clone(), became)
            }
            (Err(Fault { kind, detail }), _) => {
                (None, String::new(), Became::Fault { kind: kind.as_str(), detail: detail.clone() })
            }
        };
        let info = DecisionInfo {
            unix_ms: recorded.now,
            plugin: recorded.strategy.plugin.clone(),
            version: recorded.strategy.version.clone(),
            step,
            reason,
            became,
        };
        if info.became == Became::HeldBack {
            self.step = Some(info.clone());
        }
        self.answer = Some(info);
    }

    /// A step begins.
    pub(super) fn begun(&mut self, step: Answer, by: Origin, unix_ms: u64) {
        match by {
            Origin::Plugin => self.both(Became::Runs),
            Origin::Host => {
                if let Some(answer) = &mut self.answer
                    && answer.became == Became::HeldBack
                {
                    answer.became = Became::Overruled;
                }
                self.step = Some(DecisionInfo {
                    unix_ms,
                    plugin: NATIVE_STRATEGY.into(),
                    version: String::new(),
                    step: Some(step),
                    reason: "the guard rail".into(),
                    became: Became::Runs,
                });
            }
        }
    }

    /// A step that had begun has ended.
    pub(super) fn ended(&mut self, step: &PreviousStep) {
        let became = match &step.outcome {
            Outcome::Done(work) => Became::Done { work: *work, took: Duration::from_millis(step.took_ms) },
            Outcome::Nothing => Became::Nothing,
            Outcome::Stale => Became::Stale,
            Outcome::Failed(message) => Became::Failed(message.clone()),
        };
        self.both(became);
    }

    /// What becomes of the latest step becomes of the answer, too, where it asked for that step.
    fn both(&mut self, became: Became) {
        let same = |info: &&mut DecisionInfo| matches!(info.became, Became::HeldBack | Became::Runs);
        for info in self.answer.iter_mut().chain(&mut self.step).filter(same) {
            info.became = became.clone();
        }
    }
}
