//! A volume gets another strategy: proposed after its rehearsal, then activated; or it gets an earlier one
//! back.
//!
//! Between the two writes the binding carries a *candidate*. A start that finds one in the stage `rehearsed`
//! takes it out again: whoever asked for it was not answered.

use super::super::choose::{Chosen, pick, resolve};
use super::super::stage::{Event, Stage};
use super::after;
use crate::catalog::{
    BindingRow, CandidateRow, Change, HistoryRow, Key, Model, ROW_VERSION, ROWS_AT_ONCE, TakenBackRow,
    Target, VolumeState,
};
use crate::{Error, Result};

/// Earlier bindings that a volume remembers.
const REMEMBERED_BINDINGS: usize = 16;

/// Versions that were taken back, that a volume remembers.
const REMEMBERED_TAKEN_BACK: usize = 8;

/// Largest configuration, in bytes. A binding's row holds its own, up to sixteen earlier ones, up to eight
/// that were taken back, and a candidate's.
const MAX_CONFIG_BYTES: usize = 16 * 1024;

/// A binding's address, and what serves it unless its row says otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub volume: &'a str,
    pub world: &'a str,
    pub default_strategy: &'a str,
}

impl Place<'_> {
    fn key(&self) -> Key {
        Key::binding(self.volume, self.world)
    }

    pub(super) fn row<'m>(&self, model: &'m Model) -> Option<&'m BindingRow> {
        model.bindings.get(&(self.volume.into(), self.world.into()))
    }

    /// The plugin version that a target stands for here, when there is one.
    pub(super) fn plugin(&self, model: &Model, target: &Target) -> Option<Chosen> {
        resolve(model, target, self.default_strategy).ok().flatten().map(|(chosen, _)| chosen)
    }

    /// The binding's row, or the one that it would have.
    fn row_or_default(&self, model: &Model, volume_id: u64, unix_ms: u64) -> BindingRow {
        self.row(model).cloned().unwrap_or_else(|| BindingRow {
            version: ROW_VERSION,
            volume_id,
            current: Target::Default,
            since_unix_ms: unix_ms,
            previous: Vec::new(),
            candidate: None,
            taken_back: Vec::new(),
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
    let volume_id = ready_volume(model, place.volume)?;
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
    change.put(model, place.key(), &row)?;
    change.delete(model, Key::quarantine(place.volume, place.world, &chosen.row.digest));
    let audit = HistoryRow::admin("plugin-rehearse", "asked for").volume(place.volume);
    change.audit(named(audit, &chosen).moved(Some(from), stage));
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
    let row = BindingRow { candidate: None, ..row.clone() };
    if row.current == Target::Default && row.previous.is_empty() && row.taken_back.is_empty() {
        change.delete(model, place.key());
    } else {
        change.put(model, place.key(), &row)?;
    }
    if let Some(chosen) = place.plugin(model, target) {
        let audit = HistoryRow::node("plugin-use", reason).volume(place.volume);
        let audit = named(audit, &chosen).moved(Some(candidate.stage), to);
        change.audit(audit.outcome("undone; the volume keeps its strategy"));
    }
    Ok((change, ()))
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
        let place = Place { volume, world, default_strategy };
        let reason = "the node stopped before the version served";
        change.join(abandon(model, place, &target, reason)?.0);
    }
    Ok((change, interrupted.next().is_some()))
}

/// Binds a volume to `target`: its candidate, what it is bound to already, or the native strategy.
pub(crate) fn activate(
    model: &Model,
    place: Place<'_>,
    target: &Target,
    unix_ms: u64,
) -> Result<(Change, ())> {
    let volume_id = ready_volume(model, place.volume)?;
    let mut change = Change::default();
    change.require(model, Key::Volume(place.volume.into()));
    let mut audit = HistoryRow::admin("plugin-use", "asked for").volume(place.volume);
    if let Target::Plugin { .. } = target {
        let chosen = exact(model, target)?;
        change.require(model, Key::plugin(&chosen.name, &chosen.version));
        change.delete(model, Key::quarantine(place.volume, place.world, &chosen.row.digest));
        let from = stage_on(model, place, target);
        audit = named(audit, &chosen).moved(Some(from), after(from, Event::Activate)?);
        audit.reason = "rehearsal passed".into();
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
    row.candidate = None;
    row.since_unix_ms = unix_ms;
    change.put(model, place.key(), &row)?;
    change.audit(audit);
    Ok((change, ()))
}

/// Takes a volume back to its latest earlier binding that can serve. What served until now is not returned to
/// by a later rollback.
pub(crate) fn roll_back(
    model: &Model,
    place: Place<'_>,
    reason: &str,
    unix_ms: u64,
) -> Result<(Change, Target)> {
    ready_volume(model, place.volume)?;
    let nothing = || Error::NothingToRollBack(place.volume.into());
    let row = place.row(model).ok_or_else(nothing)?;
    let usable = |target: &&Target| {
        let taken_back = row.taken_back.iter().any(|taken| taken.target == **target);
        let quarantined =
            |chosen: &Chosen| model.is_quarantined(place.volume, place.world, &chosen.row.digest);
        let resolved = resolve(model, target, place.default_strategy);
        **target != row.current
            && !taken_back
            && resolved.is_ok_and(|found| found.is_none_or(|(chosen, _)| !quarantined(&chosen)))
    };
    let target = row.previous.iter().find(usable).ok_or_else(nothing)?;
    let mut change = Change::default();
    change.require(model, Key::Volume(place.volume.into()));
    let mut taken_back = row.taken_back.clone();
    if let Some(left) = place.plugin(model, &row.current) {
        let to = after(Stage::Active, Event::RollBack)?;
        let audit = HistoryRow::admin("plugin-rollback", reason).volume(place.volume);
        let audit = named(audit, &left).moved(Some(Stage::Active), to);
        change.audit(audit.outcome(format!("{} serves again", shown(target))));
        if let Target::Plugin { .. } = row.current {
            let (target, reason) = (row.current.clone(), reason.to_owned());
            taken_back.insert(0, TakenBackRow { target, since_unix_ms: unix_ms, reason });
            taken_back.truncate(REMEMBERED_TAKEN_BACK);
        }
    }
    returned(model, place, target, "plugin-rollback", &mut change)?;
    let rest = row.previous.iter().skip_while(|earlier| *earlier != target).skip(1).cloned().collect();
    let row = BindingRow {
        current: target.clone(),
        since_unix_ms: unix_ms,
        previous: rest,
        candidate: row.candidate.clone(),
        taken_back,
        ..*row
    };
    change.put(model, place.key(), &row)?;
    Ok((change, target.clone()))
}

/// Notes that an earlier target serves again.
pub(super) fn returned(
    model: &Model,
    place: Place<'_>,
    target: &Target,
    action: &str,
    change: &mut Change,
) -> Result<()> {
    let Some(chosen) = place.plugin(model, target) else { return Ok(()) };
    change.require(model, Key::plugin(&chosen.name, &chosen.version));
    let to = after(Stage::Superseded, Event::Return)?;
    let audit = HistoryRow::node(action, "what took its place is gone").volume(place.volume);
    change.audit(named(audit, &chosen).moved(Some(Stage::Superseded), to).outcome("serves again"));
    Ok(())
}

/// The version that a target names, when it is still the same component.
fn exact(model: &Model, target: &Target) -> Result<Chosen> {
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

pub(super) fn ready_volume(model: &Model, volume: &str) -> Result<u64> {
    match model.volumes.get(volume) {
        Some(row) if row.state == VolumeState::Ready => Ok(row.id),
        _ => Err(Error::NoSuchVolume(volume.into())),
    }
}

pub(super) fn named(row: HistoryRow, chosen: &Chosen) -> HistoryRow {
    row.plugin(&chosen.name, &chosen.version, &chosen.row.digest)
}

fn shown(target: &Target) -> String {
    match target {
        Target::Default => "the node's default strategy".into(),
        Target::Native => "the native strategy".into(),
        Target::Plugin { plugin, version, .. } => format!("{plugin} {version}"),
    }
}
