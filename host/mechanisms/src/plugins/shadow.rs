//! Candidates run beside what serves, and are promoted: `plugin shadow`, `plugin promote`.
//!
//! The catalog says which candidate shadows a volume; what it has shown is in memory. A promotion needs no
//! rehearsal: the candidate has passed one, and has been asked about every view since.

use std::sync::Arc;

use super::act::{Lifecycle, candidate, is_native};
use super::attached::Attached;
use super::choose;
use super::decide::{self, Attempt, Start};
use super::stage_error::StageError;
use crate::catalog::{CandidateRow, Change, HistoryRow, Target};
use crate::cause::Cause;
use crate::compaction::{Candidate, Shadow};
use crate::system::{Activation, ShadowInfo, ShadowReport};
use crate::{Error, Result};

/// The end of a shadow, for as long as it is not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EndedShadow {
    target: Target,
    reason: String,
    /// What it had shown.
    outcome: String,
}

impl Lifecycle {
    /// Rehearses a version and runs it beside what serves a volume.
    pub(crate) async fn shadow(
        &self,
        name: &str,
        version: Option<&str>,
        volume: &str,
        config: Option<String>,
        cause: &Cause,
    ) -> Result<ShadowInfo> {
        let attempt = Attempt::new("plugin-shadow", cause).plugin(name, version).volume(volume);
        self.told(
            attempt.config(config.as_deref()),
            self.try_shadow(name, version, volume, config.clone(), cause),
        )
        .await
    }

    async fn try_shadow(
        &self,
        name: &str,
        version: Option<&str>,
        volume: &str,
        config: Option<String>,
        cause: &Cause,
    ) -> Result<ShadowInfo> {
        let config = decide::config_text(config)?;
        let attached = self.attached(volume)?;
        let _order = attached.changing.lock().await;
        if is_native(name) {
            return Err(StageError::NativeIsNoCandidate.into());
        }
        let chosen = choose::pick(&self.catalog.model(), name, version)?;
        let target = chosen.target(&config);
        let (place, unix_ms) = (self.place_of(&attached), self.clock.unix_millis());
        let decide = |model: &_| decide::shadow(model, place, &target, unix_ms);
        decide(&self.catalog.model())?;
        let (next, _) = self.rehearse(&attached, &chosen, &config).await?;
        // That an earlier one ended, and could not be written, must not be written of this one.
        let ended = self.ended_shadows.lock().remove(volume);
        let written = self.catalog.commit_for(cause, decide).await;
        // An answer that was lost on the way may still have been a good one: the rows tell.
        if let Err(error) = written
            && self.shadowing(volume).is_none_or(|row| row.target != target || ended.is_some())
        {
            self.ended_shadows.lock().extend(ended.map(|ended| (volume.to_owned(), ended)));
            return Err(error);
        }
        attached.slot.cast(Shadow::new(volume, next, unix_ms));
        let (plugin, version) = (&chosen.name, &chosen.version);
        tracing::info!(volume, plugin, version, "the plugin shadows what serves");
        self.shadow_info(volume)?.ok_or_else(|| none_shadows(volume))
    }

    /// Ends the shadow of a volume because an administrator wants it.
    pub(crate) async fn stop_shadow(
        &self,
        name: Option<&str>,
        volume: &str,
        cause: &Cause,
    ) -> Result<ShadowInfo> {
        let attempt = Attempt { plugin: name, ..Attempt::new("plugin-shadow-end", cause).volume(volume) };
        self.told(attempt, self.try_stop_shadow(name, volume, cause)).await
    }

    async fn try_stop_shadow(&self, name: Option<&str>, volume: &str, cause: &Cause) -> Result<ShadowInfo> {
        let attached = self.attached(volume)?;
        let _order = attached.changing.lock().await;
        let row = self.shadowing(volume).ok_or_else(|| none_shadows(volume))?;
        // One that ended already, and whose end could not be written, has shown nothing that is left.
        let info = self.shadow_info(volume)?.unwrap_or_else(|| self.ended_info(&attached, &row));
        if let Some(name) = name {
            is_called(&info, name)?;
        }
        let target = row.target;
        let audit = HistoryRow::admin("plugin-shadow-end", "asked for").outcome(summary(&info.report));
        let place = self.place_of(&attached);
        let decide = |model: &_| decide::end_shadow(model, place, &target, audit.clone());
        if let Err(error) = self.catalog.commit_for(cause, decide).await
            && self.shadowing(volume).is_some()
        {
            return Err(error);
        }
        attached.slot.end_shadow();
        self.ended_shadows.lock().remove(volume);
        Ok(info)
    }

    fn ended_info(&self, attached: &Attached, row: &CandidateRow) -> ShadowInfo {
        ShadowInfo {
            volume: attached.slot.volume().into(),
            candidate: self.describe(&row.target),
            against: attached.slot.load().info.clone(),
            since_unix_ms: row.since_unix_ms,
            counting_since_unix_ms: row.since_unix_ms,
            report: ShadowReport::default(),
        }
    }

    /// Puts the shadow of a volume into service.
    pub(crate) async fn promote(&self, name: &str, volume: &str, cause: &Cause) -> Result<Activation> {
        let attempt = Attempt::new("plugin-promote", cause).plugin(name, None).volume(volume);
        self.told(attempt, self.try_promote(name, volume, cause)).await
    }

    async fn try_promote(&self, name: &str, volume: &str, cause: &Cause) -> Result<Activation> {
        let attached = self.attached(volume)?;
        let _order = attached.changing.lock().await;
        self.save(volume).await;
        let info = self.shadow_info(volume)?.ok_or_else(|| none_shadows(volume))?;
        is_called(&info, name)?;
        let (Some(shadow), Some(row)) = (attached.slot.shadow(), self.shadowing(volume)) else {
            return Err(none_shadows(volume));
        };
        let start = Start {
            target: &row.target,
            action: "plugin-promote",
            reason: format!("shadowed: {}", summary(&info.report)),
            unix_ms: self.clock.unix_millis(),
            watch: self.watch,
        };
        let place = self.place_of(&attached);
        let pardoned = self.pardon(volume, &row.target);
        let written = self.catalog.commit_for(cause, |model| decide::activate(model, place, &start)).await;
        // An answer that was lost on the way may still have been a good one: the rows tell.
        if let Err(error) = written
            && !self.is_bound(&attached, &row.target)
        {
            self.hold(volume, pardoned);
            return Err(error);
        }
        let watched_until_unix_ms = start.watched_until_unix_ms();
        attached.slot.propose(Candidate { watched_until_unix_ms, ..shadow.candidate.clone() });
        self.exchange(&attached, 0)
    }

    /// Runs the shadow that the catalog names, at a start or with other limits. One that cannot run is ended.
    pub(super) async fn resume_shadow(&self, attached: &Attached) {
        let volume = attached.slot.volume();
        let Some(row) = self.shadowing(volume) else { return };
        match self.ready_shadow(&row.target).await {
            Ok(next) => attached.slot.cast(Shadow::new(volume, next, self.clock.unix_millis())),
            Err(error) => {
                tracing::warn!(volume, %error, "the shadow cannot run any more");
                attached.slot.end_shadow();
                let (reason, outcome) = (error.to_string(), "it cannot run".to_owned());
                self.end_shadow_of(volume, EndedShadow { target: row.target, reason, outcome }).await;
            }
        }
    }

    async fn ready_shadow(&self, target: &Target) -> Result<Candidate> {
        let chosen = decide::exact(&self.catalog.model(), target)?;
        let Target::Plugin { config, .. } = target else {
            return Err(Error::Internal("a shadow is no plugin".into()));
        };
        Ok(candidate(&chosen, config, self.strategy(&chosen).await?, None))
    }

    /// Ends a shadow that faulted too often, unless another has taken its place.
    pub(super) async fn fail_shadow(&self, volume: &str, shadow: &Arc<Shadow>, reason: String) {
        let Ok(attached) = self.attached(volume) else { return };
        let _order = attached.changing.lock().await;
        if !attached.slot.shadow().is_some_and(|now| Arc::ptr_eq(&now, shadow)) {
            return;
        }
        attached.slot.end_shadow();
        let (plugin, version) = (&shadow.candidate.info.plugin, &shadow.candidate.info.version);
        tracing::warn!(volume, plugin, version, reason, "the shadow is ended; what serves is not touched");
        if let Some(row) = self.shadowing(volume) {
            let outcome = summary(&shadow.standing().report);
            self.end_shadow_of(volume, EndedShadow { target: row.target, reason, outcome }).await;
        }
    }

    async fn end_shadow_of(&self, volume: &str, ended: EndedShadow) {
        self.ended_shadows.lock().insert(volume.into(), ended);
        self.save_shadow(volume).await;
    }

    /// Writes that the shadow of a volume ended, when the catalog does not show it yet.
    pub(super) async fn save_shadow(&self, volume: &str) {
        let Some(ended) = self.ended_shadows.lock().get(volume).cloned() else { return };
        let still = || self.ended_shadows.lock().get(volume) == Some(&ended);
        let written = self.catalog.commit(|model| {
            // Whoever cast it anew, or stopped it, has cleared that.
            if !still() {
                return Ok((Change::default(), ()));
            }
            let audit = HistoryRow::node("plugin-shadow-end", &ended.reason).outcome(&ended.outcome);
            decide::end_shadow(model, self.place(volume), &ended.target, audit)
        });
        match written.await {
            Ok(()) if still() => drop(self.ended_shadows.lock().remove(volume)),
            Ok(()) => {}
            Err(error) => tracing::warn!(volume, %error, "the shadow has ended, which is not written yet"),
        }
    }

    /// The row of the shadow of a volume.
    pub(super) fn shadowing(&self, volume: &str) -> Option<CandidateRow> {
        self.binding(volume)?.shadow
    }

    /// What the shadow of a volume has shown.
    pub(crate) fn shadow_info(&self, volume: &str) -> Result<Option<ShadowInfo>> {
        let attached = self.attached(volume)?;
        let (Some(shadow), Some(row)) = (attached.slot.shadow(), self.shadowing(volume)) else {
            return Ok(None);
        };
        let standing = shadow.standing();
        Ok(Some(ShadowInfo {
            volume: volume.into(),
            candidate: shadow.candidate.info.clone(),
            against: standing.against.unwrap_or_else(|| attached.slot.load().info.clone()),
            since_unix_ms: row.since_unix_ms,
            counting_since_unix_ms: standing.counting_since_unix_ms,
            report: standing.report,
        }))
    }
}

fn none_shadows(volume: &str) -> Error {
    StageError::NothingShadows(volume.to_owned()).into()
}

fn is_called(info: &ShadowInfo, name: &str) -> Result<()> {
    if info.candidate.plugin == name {
        return Ok(());
    }
    let ShadowInfo { volume, candidate, .. } = info.clone();
    let (plugin, version) = (candidate.plugin, candidate.version);
    Err(StageError::AnotherShadows { volume, wanted: name.to_owned(), plugin, version }.into())
}

/// A report in one line, for the history.
fn summary(report: &ShadowReport) -> String {
    let ShadowReport { calls, agreements, differences, skipped, .. } = report;
    let faults = report.faulted();
    format!("{calls} views, {agreements} agreed, {differences} differed, {faults} faults, {skipped} skipped")
}
