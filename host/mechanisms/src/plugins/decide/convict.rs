//! A version that faulted too often is put aside for one volume; one that faulted while it was watched is
//! taken back.
//!
//! The two differ in what they bar. A quarantine is about the component and holds for every configuration of
//! it on that volume. Taking a version back is about one binding: the same component may serve with another
//! configuration.
//!
//! A verdict may be written late, after a full disk, and then meets a catalog that has moved on. So each asks
//! what is bound by now: only the version that was judged is replaced, and when it is gone there is nothing
//! to do.

use super::super::choose::resolve;
use super::super::stage::Event;
use super::after;
use super::bind::{Place, stage_on};
use super::retreat::{Barred, GONE, can_return, earlier, retreat, returned, withdraw};
use crate::Result;
use crate::catalog::{BindingRow, Change, HistoryRow, Key, Model, QuarantineRow, ROW_VERSION, Target};

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Penalty {
    /// It is put aside, with every configuration, until somebody names it expressly.
    Quarantine,
    /// What served before does again.
    TakeBack,
}

/// A version that has to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Convict {
    pub sentence: Penalty,
    pub plugin: String,
    pub version: String,
    pub digest: String,
    pub config: String,
    pub reason: String,
    pub since_unix_ms: u64,
}

impl Convict {
    fn target(&self) -> Target {
        Target::Plugin {
            plugin: self.plugin.clone(),
            version: self.version.clone(),
            digest: self.digest.clone(),
            config: self.config.clone(),
        }
    }

    /// Whether `target`, which stands for a component of this digest, must not serve.
    pub(crate) fn bars(&self, target: &Target, digest: &str) -> bool {
        match self.sentence {
            Penalty::Quarantine => self.digest == digest,
            Penalty::TakeBack => self.target() == *target,
        }
    }
}

/// Takes a binding back from a version that faulted while it was watched, to the latest earlier target that
/// can serve, else to the native strategy. When something else is bound by now, because the verdict could
/// not be written at once, no rollback leads to the version any more.
pub(crate) fn take_back(
    model: &Model,
    place: Place<'_>,
    convict: &Convict,
    barred: Barred<'_>,
) -> Result<(Change, ())> {
    let bound = place.row(model).filter(|_| model.volumes.contains_key(place.volume));
    let Some(row) = bound else { return Ok((Change::default(), ())) };
    let audit = HistoryRow::node("plugin-rollback", format!("in its watch period: {}", convict.reason));
    if row.current != convict.target() {
        let late = withdraw(model, place, row, &convict.target(), audit, convict.since_unix_ms)?;
        return Ok((late, ()));
    }
    let target = earlier(model, place, row, barred).cloned().unwrap_or(Target::Native);
    Ok((retreat(model, place, row, &target, audit, convict.since_unix_ms)?, ()))
}

/// Puts a version into quarantine for a volume. When it is what the volume is bound to, the binding goes back
/// to the latest earlier target that can serve, else to the native strategy.
pub(crate) fn quarantine(
    model: &Model,
    place: Place<'_>,
    convict: &Convict,
    barred: Barred<'_>,
    serving: &str,
) -> Result<(Change, ())> {
    let mut change = Change::default();
    let Place { volume, world, default_strategy, .. } = place;
    let gone = !model.volumes.contains_key(volume)
        || !model.versions(&convict.plugin).any(|(_, row)| row.digest == convict.digest);
    if model.is_quarantined(volume, world, &convict.digest) || gone {
        return Ok((change, ()));
    }
    change.require(model, Key::Volume(volume.into()));
    let row = QuarantineRow {
        version: ROW_VERSION,
        plugin: convict.plugin.clone(),
        plugin_version: convict.version.clone(),
        since_unix_ms: convict.since_unix_ms,
        reason: convict.reason.clone(),
    };
    change.put(model, Key::quarantine(volume, world, &convict.digest), &row)?;
    let convicted = |target: &Target| match resolve(model, target, default_strategy) {
        Ok(Some((chosen, _))) => {
            let digest = &chosen.row.digest;
            *digest == convict.digest || model.is_quarantined(volume, world, digest)
        }
        Ok(None) => false,
        Err(_) => true,
    };
    // What serves for want of a binding is active, too.
    let binding = place.row(model);
    let current = binding.map_or(Target::Default, |row| row.current.clone());
    let as_bound = if convicted(&current) { current.clone() } else { convict.target() };
    let from = stage_on(model, place, &as_bound);
    let audit = HistoryRow::node("quarantine", &convict.reason)
        .volume(volume)
        .plugin(&convict.plugin, &convict.version, &convict.digest)
        .moved(Some(from), after(from, Event::Quarantine)?)
        .outcome(format!("{serving} serves"));
    if let Some(binding) = binding {
        let candidate = binding.candidate.clone().filter(|candidate| !convicted(&candidate.target));
        let mut row = BindingRow { candidate, ..binding.clone() };
        if convicted(&current) {
            let passed_over =
                |target: &&Target| convicted(target) || !can_return(model, place, binding, target, barred);
            let mut left = binding.previous.iter().skip_while(passed_over).cloned();
            row.current = left.next().unwrap_or(Target::Native);
            row.previous = left.collect();
            row.since_unix_ms = convict.since_unix_ms;
            row.watch_until_unix_ms = 0;
            let back = HistoryRow::node("plugin-return", GONE);
            returned(model, place, &row.current, back, &mut change)?;
        }
        if row != *binding {
            change.put(model, Key::binding(volume, world), &row)?;
        }
    }
    change.audit(audit);
    Ok((change, ()))
}
