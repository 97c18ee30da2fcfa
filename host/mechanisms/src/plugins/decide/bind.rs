//! A volume gets another strategy: proposed after its rehearsal, then activated.
//!
//! Between the two writes of a use the binding carries a *candidate*. A start that finds one in the stage
//! `rehearsed` takes it out again: whoever asked for it was not answered.

use std::time::Duration;

use super::super::choose::{Chosen, pick, resolve};
use super::super::stage::{Event, Stage};
use super::super::stage_error::StageError;
use super::after;
use crate::catalog::{
    BindingRow, CandidateRow, Change, HistoryRow, Key, Model, ROW_VERSION, ROWS_AT_ONCE, Target, VolumeState,
};
use crate::{Error, Result};

/// Earlier bindings that a volume remembers.
const REMEMBERED_BINDINGS: usize = 16;

/// Largest configuration, in bytes. A binding's row holds its own, up to sixteen earlier ones, up to eight
/// that were taken back, and a candidate's.
const MAX_CONFIG_BYTES: usize = 16 * 1024;

/// A binding's address, and what serves it unless its row says otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub volume: &'a str,
    /// The volume's id, where this one is meant and not another that got its name since.
    pub volume_id: Option<u64>,
    pub world: &'a str,
    pub default_strategy: &'a str,
}

/// How a version comes to serve.
#[derive(Clone, Debug)]
pub(crate) struct Start<'a> {
    pub target: &'a Target,
    /// What the history calls it.
    pub action: &'static str,
    /// Why it may.
    pub reason: String,
    pub unix_ms: u64,
    /// How long its first fault takes it back.
    pub watch: Duration,
}

impl Start<'_> {
    /// Until when its first fault takes it back; 0 for what is not watched.
    pub(crate) fn watched_until_unix_ms(&self) -> u64 {
        let watch = u64::try_from(self.watch.as_millis()).unwrap_or(u64::MAX);
        let watched = watch > 0 && matches!(self.target, Target::Plugin { .. });
        if watched { self.unix_ms.saturating_add(watch) } else { 0 }
    }
}

impl Place<'_> {
    pub(super) fn key(&self) -> Key {
        Key::binding(self.volume, self.world)
    }

    pub(super) fn row<'m>(&self, model: &'m Model) -> Option<&'m BindingRow> {
        let row = model.bindings.get(&(self.volume.into(), self.world.into()));
        row.filter(|row| self.volume_id.is_none_or(|id| row.volume_id == id))
    }

    /// The plugin version that a target stands for here, when there is one.
    pub(super) fn plugin(&self, model: &Model, target: &Target) -> Option<Chosen> {
        resolve(model, target, self.default_strategy).ok().flatten().map(|(chosen, _)| chosen)
    }

    /// The binding's row, or the one that it would have.
    pub(super) fn row_or_default(&self, model: &Model, volume_id: u64, unix_ms: u64) -> BindingRow {
        self.row(model).cloned().unwrap_or_else(|| BindingRow {
            version: ROW_VERSION,
            volume_id,
            current: Target::Default,
            since_unix_ms: unix_ms,
            previous: Vec::new(),
            candidate: None,
            taken_back: Vec::new(),
            shadow: None,
            watch_until_unix_ms: 0,
        })
    }
}

/// The configuration text to bind with; it must be a JSON object, for that is what every plugin is promised.
pub(crate) fn config_text(config: Option<String>) -> Result<String> {
    let text = config.filter(|text| !text.trim().is_empty()).unwrap_or_else(|| "{}".into());
    if text.len() > MAX_CONFIG_BYTES {
        return Err(Error::ConfigTooLarge { found: text.len(), limit: MAX_CONFIG_BYTES });
    }
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(serde_json::Value::Object(_)) => Ok(text),
        Ok(other) => Err(Error::ConfigSyntax(format!("it is {other}"))),
        Err(error) => Err(Error::ConfigSyntax(error.to_string())),
    }
}

/// How far a plugin version has come on a binding. Another configuration of what is active there counts as
/// another version.
pub(crate) fn stage_on(model: &Model, place: Place<'_>, target: &Target) -> Stage {
    let Some(chosen) = place.plugin(model, target) else { return Stage::Removed };
    let shadow = place.row(model).and_then(|row| row.shadow.as_ref());
    if let Some(shadow) = shadow.filter(|shadow| shadow.target == *target) {
        return shadow.stage;
    }
    if model.is_quarantined(place.volume, place.world, &chosen.row.digest) {
        return Stage::Quarantined;
    }
    let Some(row) = place.row(model) else {
        let default = place.plugin(model, &Target::Default);
        let serves = *target == Target::Default || default.is_some_and(|default| default == chosen);
        return if serves { Stage::Active } else { chosen.row.stage };
    };
    let candidate = row.candidate.as_ref().filter(|candidate| candidate.target == *target);
    if row.current == *target {
        Stage::Active
    } else if let Some(candidate) = candidate {
        candidate.stage
    } else if row.taken_back.iter().any(|taken| taken.target == *target) {
        Stage::RolledBack
    } else if row.previous.contains(target) {
        Stage::Superseded
    } else {
        chosen.row.stage
    }
}

/// Makes a version that passed its rehearsal the candidate of a binding. Clears the quarantine that it may be
/// in: naming it expressly gives it another chance.
pub(crate) fn propose(
    model: &Model,
    place: Place<'_>,
    target: &Target,
    unix_ms: u64,
) -> Result<(Change, ())> {
    let volume_id = ready_volume(model, place)?;
    let mut change = Change::default();
    change.require(model, Key::Volume(place.volume.into()));
    let chosen = exact(model, target)?;
    change.require(model, Key::plugin(&chosen.name, &chosen.version));
    let from = match stage_on(model, place, target) {
        // What serves for want of a binding is bound expressly.
        Stage::Active => chosen.row.stage,
        from => from,
    };
    let stage = after(from, Event::Rehearse)?;
    let mut row = place.row_or_default(model, volume_id, unix_ms);
    row.candidate = Some(CandidateRow { target: target.clone(), stage, since_unix_ms: unix_ms });
    shadow_no_more(&mut row, target);
    change.put(model, place.key(), &row)?;
    change.delete(model, Key::quarantine(place.volume, place.world, &chosen.row.digest));
    let audit = HistoryRow::admin("plugin-rehearse", "asked for").volume(place.volume);
    change.audit(with_config(named(audit, &chosen), target).moved(Some(from), stage));
    Ok((change, ()))
}

/// Takes a binding's candidate out again; nothing happens when it has another one or none.
pub(crate) fn abandon(
    model: &Model,
    place: Place<'_>,
    target: &Target,
    reason: &str,
) -> Result<(Change, ())> {
    let mut change = Change::default();
    let Some(row) = place.row(model) else { return Ok((change, ())) };
    let Some(candidate) = row.candidate.as_ref().filter(|candidate| candidate.target == *target) else {
        return Ok((change, ()));
    };
    let to = after(candidate.stage, Event::Abandon)?;
    put_unless_empty(&mut change, model, place, BindingRow { candidate: None, ..row.clone() })?;
    if let Some(chosen) = place.plugin(model, target) {
        let audit = HistoryRow::node("plugin-use", reason).volume(place.volume);
        let audit = named(audit, &chosen).moved(Some(candidate.stage), to);
        change.audit(audit.outcome("undone; the volume keeps its strategy"));
    }
    Ok((change, ()))
}

/// Writes a binding, or deletes it when it says nothing that holds without it.
pub(super) fn put_unless_empty(
    change: &mut Change,
    model: &Model,
    place: Place<'_>,
    row: BindingRow,
) -> Result<()> {
    let BindingRow { current, previous, candidate, taken_back, shadow, .. } = &row;
    let waits = candidate.is_some() || shadow.is_some();
    if *current == Target::Default && previous.is_empty() && taken_back.is_empty() && !waits {
        change.delete(model, place.key());
    } else {
        change.put(model, place.key(), &row)?;
    }
    Ok(())
}

/// A version that serves, or is about to, is no shadow of itself.
pub(super) fn shadow_no_more(row: &mut BindingRow, target: &Target) {
    if row.shadow.as_ref().is_some_and(|shadow| shadow.target == *target) {
        row.shadow = None;
    }
}

/// Takes out the candidates whose activation was interrupted; returns whether some are left for the next
/// change.
pub(crate) fn interrupted_candidates(model: &Model, default_strategy: &str) -> Result<(Change, bool)> {
    let waiting = |row: &BindingRow| {
        let candidate = row.candidate.as_ref().filter(|candidate| candidate.stage == Stage::Rehearsed);
        candidate.map(|candidate| candidate.target.clone())
    };
    let all = model.bindings.iter();
    let mut interrupted = all.filter_map(|(address, row)| Some((address, waiting(row)?)));
    let mut change = Change::default();
    for ((volume, world), target) in interrupted.by_ref().take(ROWS_AT_ONCE / 2) {
        let place = Place { volume, volume_id: None, world, default_strategy };
        let reason = "the node stopped before the version served";
        change.join(abandon(model, place, &target, reason)?.0);
    }
    Ok((change, interrupted.next().is_some()))
}

/// Binds a volume to a target: its candidate, its shadow, what it is bound to already, or the native
/// strategy.
pub(crate) fn activate(model: &Model, place: Place<'_>, start: &Start<'_>) -> Result<(Change, ())> {
    let Start { target, action, unix_ms, .. } = *start;
    let volume_id = ready_volume(model, place)?;
    let mut change = Change::default();
    change.require(model, Key::Volume(place.volume.into()));
    let mut audit = HistoryRow::admin(action, &start.reason).volume(place.volume);
    if let Target::Plugin { .. } = target {
        let chosen = exact(model, target)?;
        change.require(model, Key::plugin(&chosen.name, &chosen.version));
        change.delete(model, Key::quarantine(place.volume, place.world, &chosen.row.digest));
        let from = stage_on(model, place, target);
        audit = with_config(named(audit, &chosen), target);
        audit = audit.moved(Some(from), after(from, Event::Activate)?);
    } else {
        audit.plugin = Some(crate::NATIVE_STRATEGY.into());
    }
    let mut row = place.row_or_default(model, volume_id, unix_ms);
    // Bound anew, as after a quarantine: the way back leads where it led.
    if row.current != *target {
        if let Some(replaced) = place.plugin(model, &row.current) {
            let by = format!("{} took its place", shown(target));
            let left = HistoryRow::admin("plugin-supersede", by).volume(place.volume);
            let to = after(Stage::Active, Event::Supersede)?;
            change.audit(named(left, &replaced).moved(Some(Stage::Active), to));
        }
        row.previous.insert(0, std::mem::replace(&mut row.current, target.clone()));
        row.previous.dedup();
        row.previous.truncate(REMEMBERED_BINDINGS);
    }
    row.taken_back.retain(|taken| taken.target != *target);
    shadow_no_more(&mut row, target);
    row.candidate = None;
    row.watch_until_unix_ms = start.watched_until_unix_ms();
    row.since_unix_ms = unix_ms;
    change.put(model, place.key(), &row)?;
    change.audit(audit);
    Ok((change, ()))
}

/// The version that a target names, when it is still the same component.
pub(crate) fn exact(model: &Model, target: &Target) -> Result<Chosen> {
    let Target::Plugin { plugin, version, digest, .. } = target else {
        return Err(Error::Internal(format!("{} is no plugin version", shown(target))));
    };
    let chosen = pick(model, plugin, Some(version))?;
    if chosen.row.digest == *digest {
        return Ok(chosen);
    }
    Err(Error::PluginConflict {
        name: plugin.clone(),
        version: version.clone(),
        existing: chosen.row.digest,
        found: digest.clone(),
    })
}

/// The id of the volume, which is served.
pub(super) fn ready_volume(model: &Model, place: Place<'_>) -> Result<u64> {
    let volume = || place.volume.to_owned();
    match model.volumes.get(place.volume) {
        Some(row) if row.state != VolumeState::Ready => Err(Error::NoSuchVolume(volume())),
        Some(row) if place.volume_id.is_none_or(|id| row.id == id) => Ok(row.id),
        Some(_) => Err(StageError::VolumeReplaced(volume()).into()),
        None => Err(Error::NoSuchVolume(volume())),
    }
}

pub(super) fn named(row: HistoryRow, chosen: &Chosen) -> HistoryRow {
    row.plugin(&chosen.name, &chosen.version, &chosen.row.digest)
}

/// States the settings that a target is asked with.
pub(super) fn with_config(row: HistoryRow, target: &Target) -> HistoryRow {
    match target {
        Target::Plugin { config, .. } => row.config(config),
        Target::Default => row.config("{}"),
        Target::Native => row,
    }
}

pub(super) fn shown(target: &Target) -> String {
    match target {
        Target::Default => "the node's default strategy".into(),
        Target::Native => "the native strategy".into(),
        Target::Plugin { plugin, version, .. } => format!("{plugin} {version}"),
    }
}
