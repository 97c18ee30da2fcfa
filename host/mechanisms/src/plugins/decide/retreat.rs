//! A volume gets an earlier strategy back: an administrator rolls it back, or the host takes back what
//! faulted.
//!
//! What is returned to is the latest earlier target that can serve: not in quarantine, not taken back before,
//! and still in the catalog. The targets in between are forgotten, and what served until now is remembered as
//! taken back, so that repeated rollbacks lead further back and never to and fro. A target has its
//! configuration with it.
//!
//! Where nothing earlier can serve, a rollback is an error; the host, which must act, falls back to the
//! native strategy.

use super::super::choose::resolve;
use super::super::stage::{Event, Stage};
use super::after;
use super::bind::{Place, named, ready_volume, shadow_no_more, shown, stage_on, with_config};
use crate::catalog::{BindingRow, Change, HistoryRow, Key, Model, TakenBackRow, Target};
use crate::{Error, Result};

/// Versions that were taken back, that a volume remembers.
const REMEMBERED_TAKEN_BACK: usize = 8;

/// Why an earlier version serves again.
pub(super) const GONE: &str = "what took its place is gone";

/// Tells targets, with their digests, that must not serve though the catalog does not show it yet.
pub(crate) type Barred<'a> = &'a dyn Fn(&Target, &str) -> bool;

/// Takes a volume back to its latest earlier binding that can serve. What served until now is not returned to
/// by a later rollback.
pub(crate) fn roll_back(
    model: &Model,
    place: Place<'_>,
    barred: Barred<'_>,
    unix_ms: u64,
) -> Result<(Change, Target)> {
    ready_volume(model, place)?;
    let nothing = || Error::NothingToRollBack(place.volume.into());
    let row = place.row(model).ok_or_else(nothing)?;
    let target = earlier(model, place, row, barred).ok_or_else(nothing)?;
    let audit = HistoryRow::admin("plugin-rollback", "asked for");
    Ok((retreat(model, place, row, target, audit, unix_ms)?, target.clone()))
}

/// The latest earlier target that can serve.
pub(super) fn earlier<'m>(
    model: &Model,
    place: Place<'_>,
    row: &'m BindingRow,
    barred: Barred<'_>,
) -> Option<&'m Target> {
    let usable = |target: &&Target| **target != row.current && can_return(model, place, row, target, barred);
    row.previous.iter().find(usable)
}

/// Whether an earlier target of a binding may serve again: it is still there, and nothing is held against it.
pub(super) fn can_return(
    model: &Model,
    place: Place<'_>,
    row: &BindingRow,
    target: &Target,
    barred: Barred<'_>,
) -> bool {
    if row.taken_back.iter().any(|taken| taken.target == *target) {
        return false;
    }
    match resolve(model, target, place.default_strategy) {
        Ok(None) => true,
        Ok(Some((chosen, _))) => {
            let digest = &chosen.row.digest;
            !model.is_quarantined(place.volume, place.world, digest) && !barred(target, digest)
        }
        Err(_) => false,
    }
}

/// Takes a binding back from its current target to an earlier one.
pub(super) fn retreat(
    model: &Model,
    place: Place<'_>,
    row: &BindingRow,
    target: &Target,
    audit: HistoryRow,
    unix_ms: u64,
) -> Result<Change> {
    let mut change = Change::default();
    change.require(model, Key::Volume(place.volume.into()));
    let mut taken_back = row.taken_back.clone();
    let audit_of_return = HistoryRow { reason: GONE.into(), ..audit.clone() };
    if let Some(left) = place.plugin(model, &row.current) {
        let to = after(Stage::Active, Event::RollBack)?;
        let audit = named(audit.volume(place.volume), &left).moved(Some(Stage::Active), to);
        if let Target::Plugin { .. } = row.current {
            take_down(&mut taken_back, &row.current, unix_ms, &audit.reason);
        }
        change.audit(audit.outcome(format!("{} serves again", shown(target))));
    }
    returned(model, place, target, audit_of_return, &mut change)?;
    let rest = row.previous.iter().skip_while(|earlier| *earlier != target).skip(1).cloned().collect();
    let mut row = BindingRow {
        current: target.clone(),
        since_unix_ms: unix_ms,
        previous: rest,
        taken_back,
        watch_until_unix_ms: 0,
        ..row.clone()
    };
    shadow_no_more(&mut row, target);
    change.put(model, place.key(), &row)?;
    Ok(change)
}

/// Takes a version that serves no more out of the way back, late. Nothing happens when it is not on it.
pub(super) fn withdraw(
    model: &Model,
    place: Place<'_>,
    row: &BindingRow,
    target: &Target,
    audit: HistoryRow,
    unix_ms: u64,
) -> Result<Change> {
    let mut change = Change::default();
    let Some(left) = place.plugin(model, target).filter(|_| row.previous.contains(target)) else {
        return Ok(change);
    };
    change.require(model, Key::Volume(place.volume.into()));
    let mut row = row.clone();
    row.previous.retain(|earlier| earlier != target);
    let outcome = format!("no rollback leads to it; {} serves", shown(&row.current));
    take_down(&mut row.taken_back, target, unix_ms, &audit.reason);
    change.put(model, place.key(), &row)?;
    let to = after(Stage::Superseded, Event::RollBack)?;
    let audit = named(audit.volume(place.volume), &left).moved(Some(Stage::Superseded), to);
    change.audit(audit.outcome(outcome));
    Ok(change)
}

/// Remembers that a target was taken back.
fn take_down(taken_back: &mut Vec<TakenBackRow>, target: &Target, since_unix_ms: u64, reason: &str) {
    taken_back.insert(0, TakenBackRow { target: target.clone(), since_unix_ms, reason: reason.into() });
    taken_back.truncate(REMEMBERED_TAKEN_BACK);
}

/// Notes that an earlier target serves again, on behalf of whoever took away what had its place.
pub(super) fn returned(
    model: &Model,
    place: Place<'_>,
    target: &Target,
    audit: HistoryRow,
    change: &mut Change,
) -> Result<()> {
    let Some(chosen) = place.plugin(model, target) else { return Ok(()) };
    change.require(model, Key::plugin(&chosen.name, &chosen.version));
    let (from, event) = match stage_on(model, place, target) {
        Stage::Shadowing => (Stage::Shadowing, Event::Activate),
        _ => (Stage::Superseded, Event::Return),
    };
    let audit = with_config(named(audit.volume(place.volume), &chosen), target);
    change.audit(audit.moved(Some(from), after(from, event)?).outcome("serves again"));
    Ok(())
}
