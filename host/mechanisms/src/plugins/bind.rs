//! Volumes change their strategy: `plugin use`, `plugin rollback`.

use super::act::{Attached, Lifecycle, WORLD, candidate, is_native};
use super::choose::{self, Chosen};
use super::decide;
use super::rehearse::rehearse;
use crate::catalog::{BindingRow, HistoryRow, Target};
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
    ) -> Result<Activation> {
        let config = decide::config_text(config)?;
        let attached = self.attached(volume)?;
        let _order = attached.changing.lock().await;
        if is_native(name) {
            return self.switch(&attached, Target::Native, Candidate::native(None), 0).await;
        }
        let chosen = choose::pick(&self.catalog.model(), name, version)?;
        let target = chosen.target(&config);
        let rehearsed = match self.rehearse(&attached, &chosen, &config).await {
            Ok(rehearsed) => rehearsed,
            Err(error) => {
                let row = HistoryRow::admin("plugin-use", "asked for").volume(volume);
                let row = row.plugin(&chosen.name, &chosen.version, &chosen.row.digest);
                self.audit_refusal(row, &error).await;
                return Err(error);
            }
        };
        let (next, views) = rehearsed;
        self.switch(&attached, target, next, views).await
    }

    async fn rehearse(
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
    ) -> Result<Activation> {
        let volume = attached.slot.volume().to_owned();
        let active = attached.slot.load();
        let row = self.binding(&volume);
        let bound = row.is_some_and(|row| row.current == target);
        if bound && active.info == next.info && active.problem.is_none() {
            let serving = active.info.clone();
            let replaced = serving.clone();
            return Ok(Activation { volume, serving, replaced, rehearsed_views, changed: false });
        }
        let unix_ms = self.clock.unix_millis();
        self.catalog.commit(|model| decide::bind(model, &volume, WORLD.as_str(), &target, unix_ms)).await?;
        if let Target::Plugin { digest, .. } = &target {
            self.unsaved.lock().remove(&(volume.clone(), digest.clone()));
        }
        Ok(self.exchange(attached, next, rehearsed_views))
    }

    /// Takes a volume back to its earlier binding, and returns when that serves. An earlier version that was
    /// removed or quarantined since is passed over.
    pub(crate) async fn roll_back(&self, volume: &str) -> Result<Activation> {
        let attached = self.attached(volume)?;
        let _order = attached.changing.lock().await;
        let default = self.default_strategy.as_str();
        let unix_ms = self.clock.unix_millis();
        let decide = |model: &_| decide::roll_back(model, volume, WORLD.as_str(), default, unix_ms);
        // The way back is tried before it is taken, so that a damaged file is an error and not a fallback.
        let model = self.catalog.model();
        let (_, planned) = decide(&model)?;
        let next = match choose::resolve(&model, &planned, default)? {
            None => Candidate::native(None),
            Some((chosen, config)) => candidate(&chosen, &config, self.strategy(&chosen).await?, None),
        };
        let target = self.catalog.commit(decide).await?;
        let next = if target == planned { next } else { self.best(volume).await };
        Ok(self.exchange(&attached, next, 0))
    }

    fn exchange(&self, attached: &Attached, next: Candidate, rehearsed_views: usize) -> Activation {
        let serving = next.info.clone();
        let volume = attached.slot.volume().to_owned();
        let replaced = attached.slot.replace(next, self.clock.unix_millis()).info.clone();
        tracing::info!(
            volume,
            plugin = serving.plugin,
            version = serving.version,
            replaced = replaced.plugin,
            replaced_version = replaced.version,
            "another compaction strategy serves"
        );
        Activation { volume, serving, replaced, rehearsed_views, changed: true }
    }

    /// The binding of a volume, when it has one of its own.
    pub(crate) fn binding(&self, volume: &str) -> Option<BindingRow> {
        let model = self.catalog.model();
        model.bindings.get(&(volume.to_owned(), WORLD.as_str().to_owned())).cloned()
    }
}
