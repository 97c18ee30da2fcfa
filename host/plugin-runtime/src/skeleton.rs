//! Skeleton: signatures that other crates build against.
#![allow(clippy::unimplemented, clippy::unused_async, missing_docs)]

use std::sync::Arc;

pub use crate::bindings::exports::mortise::plugin::plugin::{Call, Identity};
use crate::compaction::View;
use crate::{Description, Fault, Limits, Result, RuntimeConfig};

#[derive(Debug)]
pub struct Runtime;

impl Runtime {
    pub fn new(_config: RuntimeConfig) -> Result<Arc<Self>> {
        unimplemented!()
    }
    /// Reads and checks a component. No code of the component runs.
    pub fn inspect(&self, _bytes: &[u8]) -> Result<Description> {
        unimplemented!()
    }
    /// Checks, then compiles or takes from the cache. Blocks for milliseconds to seconds.
    pub fn load(&self, _bytes: &[u8]) -> Result<Component> {
        unimplemented!()
    }
}

#[derive(Clone, Debug)]
pub struct Component;

impl Component {
    pub fn description(&self) -> &Description {
        unimplemented!()
    }
    /// Calls the plugin's `describe`. Blocks.
    pub fn identity(&self, _limits: &Limits) -> Result<Identity, Fault> {
        unimplemented!()
    }
    pub fn compaction_strategy(&self, _limits: Limits) -> Result<CompactionStrategy> {
        unimplemented!()
    }
}

#[derive(Clone, Debug)]
pub struct CompactionStrategy;

impl CompactionStrategy {
    /// Runs on the calling thread, which must not be one of an async runtime.
    pub fn decide(&self, _call: &Call, _view: &View) -> Result<Answer, Fault> {
        unimplemented!()
    }
    /// Runs on the runtime's own threads. Dropping the future abandons the answer; the call still ends by
    /// its deadline.
    pub async fn decide_on_pool(&self, _call: Call, _view: View) -> Result<Answer, Fault> {
        unimplemented!()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Wait { ask_again_ms: Option<u64> },
    Partial { l0_threshold: u8, level_ratio: f32, table_bytes: u64 },
    Merge { from: u8, to: u8 },
    Move { from: u8, to: u8 },
    Major { table_bytes: u64 },
}

/// Views that every strategy must cope with; rehearsals use them.
pub fn canned_views() -> Vec<(&'static str, View)> {
    unimplemented!()
}
