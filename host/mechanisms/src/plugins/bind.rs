//! Volumes change their strategy: `plugin use`, `plugin rollback`.
//!
//! On one volume such changes are made one after the other. A candidate is rehearsed and written into the
//! catalog before it serves, and the exchange in memory comes last, so that what the catalog names as active
//! is served after a crash at any point. The answer comes when the new strategy serves. When it could not be
//! written, the old one still serves; a write whose answer was lost is looked up in the rows.
//!
//! Naming a version expressly ends what is held against it and was not written yet. A rollback rehearses
//! nothing, because the version that it returns to has served before; it must only load.

use super::act::{Lifecycle, WORLD, candidate, is_native};
use super::attached::Attached;
use super::choose::{self, Chosen};
use super::decide::{self, Attempt, Convict, Start};
use super::rehearse::rehearse;
use crate::catalog::{BindingRow, Target};
use crate::cause::Cause;
use crate::compaction::Candidate;
use crate::system::Activation;
use crate::{Error, Result};

impl Lifecycle {
    /// Binds a volume to a plugin (or the native strategy) after a rehearsal, and returns when it serves.
    pub(crate) async fn bind(
        &self,
        name: &str,
        version: Option<&str>,
        volume: &str,
        config: Option<String>,
        cause: &Cause,
    ) -> Result<Activation> {
        let attempt = Attempt::new("plugin-use", cause).plugin(name, version).volume(volume);
        let use_it = async {
            let config = decide::config_text(config.clone())?;
            let attached = self.attached(volume)?;
            let _order = attached.changing.lock().await;
            if is_native(name) {
                return self.switch(&attached, Target::Native, Candidate::native(None), 0, cause).await;
            }
            let chosen = choose::pick(&self.catalog.model(), name, version)?;
            let target = chosen.target(&config);
            let (next, views) = self.rehearse(&attached, &chosen, &config).await?;
            self.switch(&attached, target, next, views, cause).await
        };
        self.told(attempt.config(config.as_deref()), use_it).await
    }

    pub(super) async fn rehearse(
        &self,
        attached: &Attached,
        chosen: &Chosen,
        config: &str,
    ) -> Result<(Candidate, usize)> {
        let strategy = self.strategy(chosen).await?;
        let live = attached.observer.observe().view();
        let views = rehearse(strategy.as_ref(), config, self.clock.unix_millis(), Some(live)).await;
        let views = views.map_err(|failure| Error::Rehearsal {
            plugin: chosen.name.clone(),
            version: chosen.version.clone(),
            view: failure.view,
            detail: failure.detail,
        })?;
        Ok((candidate(chosen, config, strategy, None), views))
    }

    /// Writes the binding, then exchanges the strategy. Whoever holds `attached.changing` calls this.
    async fn switch(
        &self,
        attached: &Attached,
        target: Target,
        next: Candidate,
        rehearsed_views: usize,
        cause: &Cause,
    ) -> Result<Activation> {
        let volume = attached.slot.volume().to_owned();
        // Verdicts that wait for the disk come first, or what they are about would count as superseded.
        self.save(&volume).await;
        let active = attached.slot.load();
        let bound = self.is_bound(attached, &target);
        if bound && active.info == next.info && active.problem.is_none() {
            let serving = active.info.clone();
            let replaced = serving.clone();
            return Ok(Activation { volume, serving, replaced, rehearsed_views, changed: false });
        }
        let (place, unix_ms) = (self.place_of(attached), self.clock.unix_millis());
        let plugin = matches!(target, Target::Plugin { .. });
        let reason = if plugin { "rehearsal passed" } else { "asked for" }.to_owned();
        let start = Start { target: &target, action: "plugin-use", reason, unix_ms, watch: self.watch };
        let proposed = !bound && plugin;
        let watched_until_unix_ms = start.watched_until_unix_ms();
        attached.slot.propose(Candidate { watched_until_unix_ms, ..next });
        // A verdict that could not be written must not be written over what is bound now.
        let pardoned = self.pardon(&volume, &target);
        let mut written = Ok(());
        if proposed {
            let decide = |model: &_| decide::propose(model, place, &target, unix_ms);
            written = self.catalog.commit_for(cause, decide).await;
        }
        if written.is_ok() {
            written = self.catalog.commit_for(cause, |model| decide::activate(model, place, &start)).await;
        }
        // An answer that was lost on the way may still have been a good one: the rows tell.
        let lost = || !bound && self.is_bound(attached, &target);
        if let Err(error) = written
            && !lost()
        {
            attached.slot.withdraw();
            self.hold(&volume, pardoned);
            let undo =
                self.catalog.commit(|model| decide::abandon(model, place, &target, &error.to_string()));
            if let Err(undo) = undo.await {
                tracing::warn!(%undo, volume, "the candidate stays in the catalog until the next use or start");
            }
            self.drop_stale_shadow(attached);
            return Err(error);
        }
        self.exchange(attached, rehearsed_views)
    }

    /// Forgets what is held against a version and not written yet, because it was named expressly; answers
    /// it.
    pub(super) fn pardon(&self, volume: &str, target: &Target) -> Option<Convict> {
        let Target::Plugin { digest, .. } = target else { return None };
        self.unsaved.lock().remove(&(volume.to_owned(), digest.clone()))
    }

    /// Takes a pardon back: the version was not bound after all.
    pub(super) fn hold(&self, volume: &str, convict: Option<Convict>) {
        if let Some(convict) = convict {
            self.unsaved.lock().insert((volume.to_owned(), convict.digest.clone()), convict);
        }
    }

    /// Takes a volume back to its earlier binding, and returns when that serves. An earlier version that was
    /// removed or quarantined since is passed over.
    pub(crate) async fn roll_back(&self, volume: &str, cause: &Cause) -> Result<Activation> {
        let attempt = Attempt::new("plugin-rollback", cause).volume(volume);
        self.told(attempt, self.try_roll_back(volume, cause)).await
    }

    async fn try_roll_back(&self, volume: &str, cause: &Cause) -> Result<Activation> {
        let attached = self.attached(volume)?;
        let _order = attached.changing.lock().await;
        // Verdicts that wait for the disk come first. Those that still wait hold, too.
        self.save(volume).await;
        let barred = |target: &Target, digest: &str| self.is_barred(volume, target, digest);
        let default = self.default_strategy.as_str();
        let (place, unix_ms) = (self.place_of(&attached), self.clock.unix_millis());
        let decide = |model: &_| decide::roll_back(model, place, &barred, unix_ms);
        // The way back is tried before it is taken, so that a damaged file is an error and not a fallback.
        let model = self.catalog.model();
        let (_, planned) = decide(&model)?;
        let next = match choose::resolve(&model, &planned, default)? {
            None => Candidate::native(None),
            Some((chosen, config)) => candidate(&chosen, &config, self.strategy(&chosen).await?, None),
        };
        let before = self.binding(volume);
        let target = match self.catalog.commit_for(cause, decide).await {
            Ok(target) => target,
            // An answer that was lost on the way may still have been a good one: the rows tell.
            Err(error) => match self.binding(volume) {
                Some(row) if Some(&row) != before.as_ref() => row.current,
                _ => return Err(error),
            },
        };
        let next = if target == planned { next } else { self.best_and_told(volume).await };
        attached.slot.propose(next);
        self.exchange(&attached, 0)
    }

    /// Puts the slot's candidate into service.
    pub(super) fn exchange(&self, attached: &Attached, rehearsed_views: usize) -> Result<Activation> {
        let volume = attached.slot.volume().to_owned();
        let Some(replaced) = attached.slot.promote(self.clock.unix_millis()) else {
            return Err(Error::Internal(format!("volume {volume:?} has no candidate")));
        };
        let (serving, replaced) = (attached.slot.load().info.clone(), replaced.info.clone());
        self.drop_stale_shadow(attached);
        tracing::info!(
            volume,
            plugin = serving.plugin,
            version = serving.version,
            replaced = replaced.plugin,
            replaced_version = replaced.version,
            "another compaction strategy serves"
        );
        Ok(Activation { volume, serving, replaced, rehearsed_views, changed: true })
    }

    /// Ends the slot's shadow when the catalog does not name it any more.
    fn drop_stale_shadow(&self, attached: &Attached) {
        let Some(shadow) = attached.slot.shadow() else { return };
        let row = self.shadowing(attached.slot.volume());
        if row.is_none_or(|row| self.describe(&row.target) != shadow.candidate.info) {
            attached.slot.end_shadow();
        }
    }

    /// Whether this very volume is bound to a target.
    pub(super) fn is_bound(&self, attached: &Attached, target: &Target) -> bool {
        let row = self.binding(attached.slot.volume());
        row.is_some_and(|row| row.volume_id == attached.volume_id && row.current == *target)
    }

    /// The binding of a volume, when it has one of its own.
    pub(crate) fn binding(&self, volume: &str) -> Option<BindingRow> {
        let model = self.catalog.model();
        model.bindings.get(&(volume.to_owned(), WORLD.as_str().to_owned())).cloned()
    }
}
