//! Asking a strategy for its next step.
//!
//! Every call gets a fresh instance, so nothing of one call reaches the next. It ends in a [`Decision`] or in
//! a [`Fault`], within the deadline; a plugin that answers with an error of its own has refused, which is a
//! fault, too. A decision is well-typed and its reason is one short line. Whether the step is legal for the
//! tree is not known here: whoever acts on it checks that, and reports illegal ones for the figures.
//!
//! [`CompactionStrategy::decide`] blocks its thread. Async code uses the runtime's threads: the pool for what
//! serves, the one aside for calls that nobody waits for.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Instance};

use super::{Level, Run, Table, View, v0_1_0};
use crate::bindings::exports::mortise::plugin::compaction::{Decision as WireDecision, Knobs, Span, Step};
use crate::component::Given;
use crate::present::presentable;
use crate::runtime::CallState;
use crate::{Call, Component, Fault, FaultKind, Limits, Result};

/// Bytes of a reason that are kept.
const REASON_BYTES: usize = 200;

/// What a strategy answered, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// What to do.
    pub step: Answer,
    /// One line for the operator, at most 200 bytes; empty when the strategy gives no reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl From<Answer> for Decision {
    fn from(step: Answer) -> Self {
        Self { step, reason: String::new() }
    }
}

impl From<WireDecision> for Decision {
    fn from(WireDecision { step, reason }: WireDecision) -> Self {
        let mut reason = presentable(reason.trim());
        if reason.len() > REASON_BYTES {
            let end = (0..=REASON_BYTES - '…'.len_utf8()).rev().find(|at| reason.is_char_boundary(*at));
            reason.truncate(end.unwrap_or(0));
            reason.push('…');
        }
        Self { step: step.into(), reason }
    }
}

/// The step that a strategy wants. Its types are right and nothing else is known of it: whoever acts on it
/// checks whether the step is legal for the tree.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Nothing to do.
    Wait {
        /// Milliseconds after which the strategy wants to be asked again even if the shape hasn't changed.
        ask_again_ms: Option<u64>,
    },
    /// One step of the host's levelled compaction.
    Partial {
        /// Runs in level 0 that start a compaction.
        l0_threshold: u8,
        /// Size ratio between neighbouring levels; may be any float, NaN included.
        #[serde(with = "super::ratio")]
        level_ratio: f32,
        /// Size that tables should have, in bytes.
        table_bytes: u64,
    },
    /// Merge all of level `from` with level `to`.
    Merge {
        /// Source level.
        from: u8,
        /// Destination level.
        to: u8,
    },
    /// Move the only run of level `from` to level `to`.
    Move {
        /// Source level.
        from: u8,
        /// Destination level.
        to: u8,
    },
    /// Rewrite the whole tree into the last level.
    Major {
        /// Size that tables should have, in bytes.
        table_bytes: u64,
    },
}

impl From<Step> for Answer {
    fn from(step: Step) -> Self {
        match step {
            Step::Wait(ask_again_ms) => Self::Wait { ask_again_ms },
            Step::Partial(Knobs { l0_threshold, level_ratio, table_bytes }) => {
                Self::Partial { l0_threshold, level_ratio, table_bytes }
            }
            Step::Merge(Span { from, to }) => Self::Merge { from, to },
            Step::Move(Span { from, to }) => Self::Move { from, to },
            Step::Major(table_bytes) => Self::Major { table_bytes },
        }
    }
}

impl From<Answer> for Step {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Wait { ask_again_ms } => Self::Wait(ask_again_ms),
            Answer::Partial { l0_threshold, level_ratio, table_bytes } => {
                Self::Partial(Knobs { l0_threshold, level_ratio, table_bytes })
            }
            Answer::Merge { from, to } => Self::Merge(Span { from, to }),
            Answer::Move { from, to } => Self::Move(Span { from, to }),
            Answer::Major { table_bytes } => Self::Major(table_bytes),
        }
    }
}

/// What a component answered, as it came through the contract: its types are right, and nothing of it was
/// looked at yet. A component of version 0.1.0 comes here by
/// [`said_by_v0_1_0`](super::said_by_v0_1_0).
pub type Said = Result<WireDecision, String>;

/// What the host makes of an answer.
///
/// # Errors
/// [`FaultKind::Refused`] when the answer is an error of the plugin's own.
pub fn heard(said: Said) -> Result<Decision, Fault> {
    said.map(Decision::from).map_err(|refusal| {
        let detail = format!("the plugin refused: {}", presentable(&refusal));
        Fault::new(FaultKind::Refused, detail)
    })
}

/// The function that decides, in the version of the contract that the component was built for.
#[derive(Clone)]
pub(crate) enum Decide {
    V0_1_0(ComponentExportIndex),
    V0_2_0(ComponentExportIndex),
}

impl Decide {
    fn call(
        &self,
        instance: &Instance,
        store: &mut Store<CallState>,
        call: &Call,
        view: &View,
    ) -> wasmtime::Result<Said> {
        match self {
            Self::V0_1_0(function) => v0_1_0::decide(instance, store, function, call, view),
            Self::V0_2_0(function) => {
                let decide = instance.get_typed_func::<(&Call, &View), (Said,)>(&mut *store, function)?;
                Ok(decide.call(store, (call, view))?.0)
            }
        }
    }
}

/// A component that serves as compaction strategy under given limits.
#[derive(Clone)]
pub struct CompactionStrategy {
    component: Component,
    decide: Decide,
    limits: Limits,
}

impl CompactionStrategy {
    pub(crate) fn new(component: Component, decide: Decide, limits: Limits) -> Self {
        Self { component, decide, limits }
    }

    /// The component behind it.
    #[must_use]
    pub fn component(&self) -> &Component {
        &self.component
    }

    /// The limits that its calls run under.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Decides on the calling thread, which must not be a worker of an async runtime: the call takes as long
    /// as the plugin wants, up to its deadline.
    ///
    /// # Errors
    /// The plugin's fault. The next call is not affected.
    pub fn decide(&self, call: &Call, view: &View) -> Result<Decision, Fault> {
        let bytes = weight_of_call(call) + weight_of_view(view);
        let given = Given { bytes, now: call.now, seed: call.seed };
        let decide =
            |instance: &Instance, store: &mut Store<CallState>| self.decide.call(instance, store, call, view);
        let said = self.component.call(&self.limits, given, weight_of_decision, decide)?;
        heard(said).inspect_err(|fault| self.component.count_fault(fault.kind))
    }

    /// Decides on the runtime's own threads. When the future is dropped the answer is lost; a call that has
    /// begun still ends by its deadline.
    ///
    /// # Errors
    /// The plugin's fault, or [`FaultKind::Busy`] when too many calls are waiting.
    pub async fn decide_on_pool(&self, call: Call, view: Arc<View>) -> Result<Decision, Fault> {
        let strategy = self.clone();
        self.component.shared().pool.run(move || strategy.decide(&call, &view)).await
    }

    /// As [`Self::decide_on_pool`], on a thread that serves nothing but such calls, one at a time: however
    /// long they take, no other call waits for them.
    ///
    /// # Errors
    /// The plugin's fault, or [`FaultKind::Busy`] when too many calls are waiting for that thread.
    pub async fn decide_aside(&self, call: Call, view: Arc<View>) -> Result<Decision, Fault> {
        let strategy = self.clone();
        self.component.shared().aside.run(move || strategy.decide(&call, &view)).await
    }
}

impl std::fmt::Debug for CompactionStrategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompactionStrategy")
            .field("component", &self.component)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Bytes that a call takes in the plugin's memory.
fn weight_of_call(call: &Call) -> u64 {
    (call.config.len() + size_of::<u64>() * 2) as u64
}

/// Bytes that a view takes in the plugin's memory: the records of the contract, where a list has eight bytes
/// (pointer and length), and the keys.
fn weight_of_view(view: &View) -> u64 {
    const LIST: usize = 8;
    const NUMBERS_OF_TABLE: usize = 5 * size_of::<u64>();
    // A number of four bytes; whether there is a previous step, the step, by whom and how, and its time.
    const GUARD_AND_PREVIOUS: usize = 8 + 8 + 32 + 8;
    let table = |table: &Table| NUMBERS_OF_TABLE + 2 * LIST + table.min_key.len() + table.max_key.len();
    let run = |run: &Run| LIST + run.tables.iter().map(table).sum::<usize>();
    let level = |level: &Level| LIST + level.runs.iter().map(run).sum::<usize>();
    let levels = view.levels.iter().map(level).sum::<usize>() + LIST;
    (levels + 3 * size_of::<u64>() + GUARD_AND_PREVIOUS) as u64
}

/// Bytes of an answer: a step is a record of at most 24 bytes, the rest is text.
fn weight_of_decision(answer: &Said) -> u64 {
    answer.as_ref().map_or_else(|refusal| refusal.len(), |decision| 24 + decision.reason.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> String {
        Decision::from(WireDecision { step: Step::Wait(None), reason: text.to_owned() }).reason
    }

    #[test]
    fn reasons_are_one_short_line() {
        assert_eq!(reason(" level 0 has 5 runs\n"), "level 0 has 5 runs");
        assert_eq!(reason("a\nERROR b"), "a\\nERROR b");
        for text in ["x".repeat(5_000), "ü".repeat(5_000), "\n".repeat(5_000) + "x"] {
            assert!(reason(&text).len() <= REASON_BYTES, "{}", reason(&text));
        }
        assert_eq!(reason(&"x".repeat(200)), "x".repeat(200));
    }

    #[test]
    fn answers_survive_the_way_through_the_contract() {
        for answer in [
            Answer::Wait { ask_again_ms: Some(7) },
            Answer::Partial { l0_threshold: 4, level_ratio: 10.0, table_bytes: 1 << 20 },
            Answer::Merge { from: 1, to: 2 },
            Answer::Move { from: 3, to: 4 },
            Answer::Major { table_bytes: 1 << 21 },
        ] {
            assert_eq!(Answer::from(Step::from(answer)), answer);
        }
    }
}
