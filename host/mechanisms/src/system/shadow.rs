//! Shadows: a candidate beside what serves, what it has shown, and its promotion.
//!
//! That a version shadows a volume is in the catalog and holds after a restart; what it has shown is in
//! memory and begins anew with the node, and when something else serves. Changes run in tasks of their own,
//! so a caller who goes away leaves nothing half-done. Nothing that a shadow answers reaches the tree, and
//! what serves is never judged by it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Activation, StrategyInfo, System, detached};
use crate::{Cause, Result};

/// A candidate that is asked beside the strategy in service, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowInfo {
    /// Name of the volume.
    pub volume: String,
    /// The candidate.
    pub candidate: StrategyInfo,
    /// What it is compared with; what serves, as long as nothing was compared.
    pub against: StrategyInfo,
    /// Since when it shadows, Unix milliseconds; restarts of the node do not end it.
    pub since_unix_ms: u64,
    /// Since when the report counts: since the node started, or since something else serves.
    pub counting_since_unix_ms: u64,
    /// What both said.
    pub report: ShadowReport,
}

/// What a shadow said beside the strategy in service. It is kept in memory only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShadowReport {
    /// Views that both were asked about.
    pub calls: u64,
    /// Views on which both wanted the same step, or none.
    pub agreements: u64,
    /// Views on which they did not.
    pub differences: u64,
    /// Views on which the strategy in service gave no answer to compare with.
    pub unmatched: u64,
    /// Views that the shadow was not asked about, because its call before had not ended, it rested from that,
    /// or its thread was taken.
    pub skipped: u64,
    /// Its faults by kind.
    pub faults: BTreeMap<String, u64>,
    /// The last of them; empty when there was none.
    pub last_fault: String,
    /// The latest differences, newest first.
    pub examples: Vec<ShadowExample>,
    /// How long the strategy in service took on these views.
    pub active: CallTimes,
    /// How long the shadow took.
    pub candidate: CallTimes,
}

impl ShadowReport {
    /// Faults of all kinds together.
    #[must_use]
    pub fn faulted(&self) -> u64 {
        self.faults.values().sum()
    }
}

/// A view on which the two differed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowExample {
    /// When, Unix milliseconds.
    pub unix_ms: u64,
    /// The tree.
    pub shape: String,
    /// What the strategy in service wanted, and why.
    pub active: String,
    /// What the shadow wanted.
    pub candidate: String,
}

/// Durations of calls in microseconds, waiting for a thread included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallTimes {
    /// Half of the calls did not take longer.
    pub p50_us: u64,
    /// 99 of 100 calls did not take longer.
    pub p99_us: u64,
    /// The longest call.
    pub longest_us: u64,
}

impl System {
    /// Runs a version of a plugin (the newest when none is given) beside what serves a volume, after a
    /// rehearsal, and acts on nothing that it says. It takes the place of the shadow that is there, and
    /// goes on after a restart.
    ///
    /// # Errors
    /// As [`System::plugin_use`]; [`Error::PluginStage`](crate::Error::PluginStage) when it serves already.
    pub async fn plugin_shadow(
        &self,
        name: &str,
        version: Option<&str>,
        volume: &str,
        config_json: Option<String>,
        cause: Cause,
    ) -> Result<ShadowInfo> {
        let lifecycle = Arc::clone(&self.lifecycle);
        let (name, version, volume) = (name.to_owned(), version.map(str::to_owned), volume.to_owned());
        detached(
            async move { lifecycle.shadow(&name, version.as_deref(), &volume, config_json, &cause).await },
        )
        .await
    }

    /// Ends the shadow of a volume; returns what it has shown. When a name is given, it must be its name.
    ///
    /// # Errors
    /// [`Error::PluginStage`](crate::Error::PluginStage) when there is no such shadow, and those of the
    /// catalog.
    pub async fn plugin_shadow_stop(
        &self,
        name: Option<&str>,
        volume: &str,
        cause: Cause,
    ) -> Result<ShadowInfo> {
        let lifecycle = Arc::clone(&self.lifecycle);
        let (name, volume) = (name.map(str::to_owned), volume.to_owned());
        detached(async move { lifecycle.stop_shadow(name.as_deref(), &volume, &cause).await }).await
    }

    /// What the shadow of a volume has shown; `None` when it has none.
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`](crate::Error::NoSuchVolume).
    pub fn plugin_shadow_show(&self, volume: &str) -> Result<Option<ShadowInfo>> {
        self.lifecycle.shadow_info(volume)
    }

    /// Puts the shadow of a volume, which must have this name, into service; returns when it serves. The
    /// watch period begins.
    ///
    /// # Errors
    /// [`Error::PluginStage`](crate::Error::PluginStage) when no plugin of this name shadows there, and
    /// those of the catalog.
    pub async fn plugin_promote(&self, name: &str, volume: &str, cause: Cause) -> Result<Activation> {
        let lifecycle = Arc::clone(&self.lifecycle);
        let (name, volume) = (name.to_owned(), volume.to_owned());
        detached(async move { lifecycle.promote(&name, &volume, &cause).await }).await
    }
}
