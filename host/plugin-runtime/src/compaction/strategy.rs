//! Asking a strategy for its next step.

use serde::{Deserialize, Serialize};

use super::View;
use crate::bindings::exports::mortise::plugin::compaction::{Knobs, Span, Step};
use crate::log::presentable;
use crate::{Call, Component, Fault, FaultKind, Limits, Result};

/// What a strategy answered. Its types are right and nothing else is known of it: whoever acts on it checks
/// whether the step is legal for the tree.
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

/// A component that serves as compaction strategy under given limits.
#[derive(Clone, Debug)]
pub struct CompactionStrategy {
    component: Component,
    limits: Limits,
}

impl CompactionStrategy {
    pub(crate) fn new(component: Component, limits: Limits) -> Self {
        Self { component, limits }
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
    pub fn decide(&self, call: &Call, view: &View) -> Result<Answer, Fault> {
        let step = self.component.call(&self.limits, |instance, store| {
            instance.mortise_plugin_compaction().call_decide(store, call, view)
        })?;
        step.map(Answer::from).map_err(|refusal| {
            let detail = format!("the plugin refused: {}", presentable(&refusal));
            Fault::new(FaultKind::Refused, detail)
        })
    }

    /// Decides on the runtime's own threads. When the future is dropped the answer is lost; a call that has
    /// begun still ends by its deadline.
    ///
    /// # Errors
    /// The plugin's fault, or [`FaultKind::Busy`] when too many calls are waiting.
    pub async fn decide_on_pool(&self, call: Call, view: View) -> Result<Answer, Fault> {
        let strategy = self.clone();
        self.component.shared().pool.run(move || strategy.decide(&call, &view)).await
    }
}
