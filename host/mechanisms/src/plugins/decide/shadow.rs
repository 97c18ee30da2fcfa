//! A version shadows a binding, and stops doing so.
//!
//! The shadow has a field of its own beside the candidate's: a program from before shadows ignores it, and a
//! use of another version that comes and fails leaves it alone.

use super::super::stage::{Event, Stage};
use super::super::stage_error::StageError;
use super::after;
use super::bind::{Place, exact, named, put_unless_empty, ready_volume, shown, stage_on, with_config};
use crate::Result;
use crate::catalog::{BindingRow, CandidateRow, Change, HistoryRow, Key, Model, Target};

/// Makes a version that passed its rehearsal the shadow of a binding, in place of the one that is there. A
/// quarantine that it may be in stays until it is promoted.
pub(crate) fn shadow(model: &Model, place: Place<'_>, target: &Target, unix_ms: u64) -> Result<(Change, ())> {
    let volume_id = ready_volume(model, place)?;
    let mut change = Change::default();
    change.require(model, Key::Volume(place.volume.into()));
    let chosen = exact(model, target)?;
    change.require(model, Key::plugin(&chosen.name, &chosen.version));
    let mut row = place.row_or_default(model, volume_id, unix_ms);
    if serves(model, place, &row.current, target) {
        let (volume, target) = (place.volume.to_owned(), shown(target));
        return Err(StageError::ServesAlready { volume, target }.into());
    }
    let from = match stage_on(model, place, target) {
        // Another configuration of what serves for want of a binding.
        Stage::Active => chosen.row.stage,
        from => from,
    };
    let rehearsed = after(from, Event::Rehearse)?;
    let stage = after(rehearsed, Event::Shadow)?;
    if let Some(other) = row.shadow.take().filter(|other| other.target != *target) {
        let reason = format!("{} shadows in its place", shown(target));
        change.audit(ended(model, place, &other, HistoryRow::admin("plugin-shadow-end", reason))?);
    }
    row.shadow = Some(CandidateRow { target: target.clone(), stage, since_unix_ms: unix_ms });
    change.put(model, place.key(), &row)?;
    let audit = |action: &str, reason: &str| {
        with_config(named(HistoryRow::admin(action, reason), &chosen), target).volume(place.volume)
    };
    change.audit(audit("plugin-rehearse", "asked for").moved(Some(from), rehearsed));
    change.audit(audit("plugin-shadow", "rehearsal passed").moved(Some(rehearsed), stage));
    Ok((change, ()))
}

/// Takes a binding's shadow out again; nothing happens when it has another one or none.
pub(crate) fn end_shadow(
    model: &Model,
    place: Place<'_>,
    target: &Target,
    audit: HistoryRow,
) -> Result<(Change, ())> {
    let mut change = Change::default();
    let Some(row) = place.row(model) else { return Ok((change, ())) };
    let Some(shadow) = row.shadow.as_ref().filter(|shadow| shadow.target == *target) else {
        return Ok((change, ()));
    };
    change.audit(ended(model, place, shadow, audit)?);
    put_unless_empty(&mut change, model, place, BindingRow { shadow: None, ..row.clone() })?;
    Ok((change, ()))
}

/// The audit row of a shadow that ends. What is in quarantine beside stays there.
fn ended(model: &Model, place: Place<'_>, shadow: &CandidateRow, audit: HistoryRow) -> Result<HistoryRow> {
    let audit = audit.volume(place.volume);
    let Target::Plugin { plugin, version, digest, .. } = &shadow.target else { return Ok(audit) };
    let quarantined = model.is_quarantined(place.volume, place.world, digest);
    let event = if quarantined { Event::Quarantine } else { Event::Abandon };
    Ok(audit.plugin(plugin, version, digest).moved(Some(shadow.stage), after(shadow.stage, event)?))
}

/// Whether what a binding names is just this, configuration included.
fn serves(model: &Model, place: Place<'_>, current: &Target, target: &Target) -> bool {
    let named = match current {
        Target::Default => place.plugin(model, current).map(|chosen| chosen.target("{}")),
        named => Some(named.clone()),
    };
    named.as_ref() == Some(target)
}
