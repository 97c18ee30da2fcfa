//! What can be said about plugins: the catalog's rows joined with what runs.
//!
//! The rows say what should be, the slots of the attached volumes what is; where they differ, both are told,
//! with the reason. The two are read one after the other without a lock, so a swap in between can show either
//! side of it. Faults and usage are of this process and begin with it. The native strategy is told like a
//! plugin, as far as that makes sense.
//!
//! Nothing here changes anything or asks a plugin.

use semver::Version;

use super::act::{Lifecycle, WORLD, is_native};
use super::choose::{self, Chosen};
use super::format_limits;
use super::standing::summed_up;
use crate::catalog::{ConfigSeen, HistoryRow, Model, Origin, Target};
use crate::system::{
    BindingInfo, CandidateInfo, ConfigInfo, HistoryInfo, PluginDetail, PluginInfo, QuarantineInfo,
};
use crate::{Error, NATIVE_STRATEGY, Result};

impl Lifecycle {
    /// Every version of every plugin, by name, newest first.
    pub(crate) fn list(&self) -> Vec<PluginInfo> {
        let model = self.catalog.model();
        model.plugin_names().into_iter().flat_map(|name| self.versions(&model, name)).collect()
    }

    /// Every version of a plugin, newest first.
    pub(crate) fn versions(&self, model: &Model, name: &str) -> Vec<PluginInfo> {
        let mut versions: Vec<_> = model.versions(name).collect();
        versions.sort_by_key(|(version, row)| {
            let said = row.build_of.as_deref().unwrap_or(version);
            (std::cmp::Reverse(Version::parse(said).ok()), row.build_of.is_some())
        });
        let info = |(version, row): (&str, &crate::catalog::PluginRow)| {
            self.info(model, &Chosen { name: name.into(), version: version.into(), row: row.clone() })
        };
        versions.into_iter().map(info).collect()
    }

    /// One version of a plugin.
    pub(crate) fn info(&self, model: &Model, chosen: &Chosen) -> PluginInfo {
        let Chosen { name, version, row } = chosen;
        let in_quarantine = model.quarantines.keys().filter(|(_, _, digest)| *digest == row.digest);
        let standings = self.standings(model, chosen);
        PluginInfo {
            name: name.clone(),
            version: version.clone(),
            digest: row.digest.clone(),
            world: row.world.clone(),
            wit_version: row.wit_version.clone(),
            bytes: row.size,
            added_unix_ms: row.added_unix_ms,
            origin: match row.origin {
                Origin::Shipped => "shipped".into(),
                Origin::Added => "added".into(),
            },
            summary: match &row.build_of {
                Some(said) => {
                    format!("An earlier build of {said}, kept for what is written in it. {}", row.summary)
                }
                None => row.summary.clone(),
            },
            limits: Some(format_limits::effective(row)),
            stage: summed_up(&standings, row.stage),
            standings,
            signature: Some(row.signature.clone()),
            grants: row.grants.iter().copied().collect(),
            wants: row.wants.iter().copied().collect(),
            usage: self.known(&row.digest).map(|component| component.usage()),
            serves: self.serving_as(name, version),
            quarantined: in_quarantine.map(|(volume, _, _)| volume.clone()).collect(),
        }
    }

    /// The strategy that is part of the daemon, told like a plugin.
    fn native(&self) -> PluginInfo {
        PluginInfo {
            name: NATIVE_STRATEGY.into(),
            version: String::new(),
            digest: String::new(),
            world: WORLD.to_string(),
            wit_version: String::new(),
            bytes: 0,
            added_unix_ms: 0,
            origin: "built-in".into(),
            summary: "Leveled compaction, part of the daemon; serves where no plugin can.".into(),
            limits: None,
            stage: String::new(),
            standings: Vec::new(),
            signature: None,
            grants: Vec::new(),
            wants: Vec::new(),
            usage: None,
            serves: self.serving_as(NATIVE_STRATEGY, ""),
            quarantined: Vec::new(),
        }
    }

    fn serving_as(&self, name: &str, version: &str) -> Vec<String> {
        let all = self.attached.load();
        let serves = all.iter().filter(|(_, attached)| {
            let active = attached.slot.load();
            active.info.plugin == name && active.info.version == version
        });
        serves.map(|(volume, _)| volume.clone()).collect()
    }

    /// Everything about one plugin.
    pub(crate) fn show(&self, name: &str) -> Result<PluginDetail> {
        let model = self.catalog.model();
        let versions = if is_native(name) {
            vec![self.native()]
        } else {
            choose::pick(&model, name, None)?;
            self.versions(&model, name)
        };
        let volumes: Vec<String> = self.attached.load().keys().cloned().collect();
        let bindings = volumes.iter().filter_map(|volume| self.binding_info(volume).ok());
        let concerned = |info: &BindingInfo| {
            let waits = info.candidate.as_ref().is_some_and(|candidate| candidate.strategy.plugin == name);
            info.bound.plugin == name || info.serving.plugin == name || waits
        };
        let quarantines = model.quarantines.iter().filter(|(_, row)| row.plugin == name);
        let history = model.history.values().rev().filter(|row| row.plugin.as_deref() == Some(name));
        Ok(PluginDetail {
            name: name.into(),
            versions,
            bindings: bindings.filter(concerned).collect(),
            quarantines: quarantines
                .map(|((volume, _, digest), row)| QuarantineInfo {
                    volume: volume.clone(),
                    version: row.plugin_version.clone(),
                    digest: digest.clone(),
                    since_unix_ms: row.since_unix_ms,
                    reason: row.reason.clone(),
                })
                .collect(),
            faults: self.faults.of(name),
            history: history.map(|row| history_info(row)).collect(),
        })
    }

    /// The audit rows about a plugin, or about all, newest first.
    pub(crate) fn history(&self, name: Option<&str>) -> Result<Vec<HistoryInfo>> {
        let model = self.catalog.model();
        let concerns = |row: &HistoryRow| match name {
            Some(name) => row.plugin.as_deref() == Some(name),
            // A component that was refused before it said who it is has a digest and no name.
            None => row.plugin.is_some() || row.digest.is_some() || row.refused,
        };
        let rows = model.history.values().rev().filter(|row| concerns(row));
        let rows: Vec<_> = rows.map(|row| history_info(row)).collect();
        match name {
            // One that was removed has a history and no row.
            Some(name) if rows.is_empty() && !is_native(name) => {
                choose::pick(&model, name, None).map(|_| rows)
            }
            _ => Ok(rows),
        }
    }

    /// Which strategy a volume should have and has.
    pub(crate) fn binding_info(&self, volume: &str) -> Result<BindingInfo> {
        let attached = self.attached(volume)?;
        let (active, now) = (attached.slot.load(), self.clock.unix_millis());
        let row = self.binding(volume);
        let bound = row.as_ref().map_or(Target::Default, |row| row.current.clone());
        let explicit = !matches!(bound, Target::Default);
        let candidate = row.as_ref().and_then(|row| row.candidate.clone().or_else(|| row.shadow.clone()));
        let candidate = candidate.map(|candidate| CandidateInfo {
            strategy: self.describe(&candidate.target),
            stage: candidate.stage.to_string(),
            since_unix_ms: candidate.since_unix_ms,
        });
        let previous = row.map(|row| row.previous).unwrap_or_default();
        let recorder = attached.slot.recorder();
        let latest = recorder.latest();
        Ok(BindingInfo {
            volume: volume.into(),
            world: WORLD.to_string(),
            serving: active.info.clone(),
            bound: self.describe(&bound),
            problem: active.problem.clone(),
            since_unix_ms: active.since_unix_ms,
            explicit,
            watched_until_unix_ms: active.is_watched(now).then_some(active.watched_until_unix_ms),
            candidate,
            previous: previous.iter().map(|target| self.describe(target)).collect(),
            answer: latest.answer,
            step: latest.step,
            recording: recorder.info(),
        })
    }

    /// A version by name, as it is shown.
    pub(crate) fn info_of(&self, chosen: &Chosen) -> Result<PluginInfo> {
        let model = self.catalog.model();
        let infos = self.versions(&model, &chosen.name);
        infos.into_iter().find(|info| info.version == chosen.version).ok_or_else(|| Error::NoSuchPlugin {
            name: chosen.name.clone(),
            version: Some(chosen.version.clone()),
            known: "it was removed at the same moment".into(),
        })
    }
}

fn history_info(row: &HistoryRow) -> HistoryInfo {
    HistoryInfo {
        unix_ms: row.unix_ms,
        actor: row.actor.clone(),
        operator: row.operator.clone(),
        peer: row.peer.clone(),
        action: row.action.clone(),
        volume: row.volume.clone(),
        plugin: row.plugin.clone(),
        version: row.plugin_version.clone(),
        digest: row.digest.clone(),
        from: row.from.clone(),
        to: row.to.clone(),
        reason: row.reason.clone(),
        operator_reason: row.operator_reason.clone(),
        grants: row.grants.clone(),
        signature: row.signature.clone(),
        key_id: row.key_id.clone(),
        config: row.config.clone().map(|seen| {
            let ConfigSeen { bytes, json, sha256 } = seen;
            ConfigInfo { bytes, json, sha256 }
        }),
        outcome: row.outcome.clone(),
        refused: row.refused,
    }
}
