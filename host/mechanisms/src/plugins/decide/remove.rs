//! Versions go: marked first, so that nobody binds them any more, then taken out with all that names them.
//!
//! A version that a volume is bound to, is about to have or has its data in is not removed, nor is one that
//! comes with the program. A removal of many versions takes several changes; a start that finds marked rows
//! finishes it. A digest is reported as gone only when no row names it any more: only then may its file be
//! removed.

use mortise_plugin_runtime::World;

use super::super::choose::{Chosen, pick};
use super::super::stage::{Event, Stage};
use super::after;
use super::bind::named;
use crate::catalog::{Change, HistoryRow, Key, Model, Origin, PluginRow, ROWS_AT_ONCE, Target};
use crate::{Error, Result};

/// Marks versions of a plugin that nobody uses as removed; returns whether some are left for the next change.
pub(crate) fn mark_removed(
    model: &Model,
    name: &str,
    version: Option<&str>,
    shipped_digests: &[String],
    serving: &dyn Fn(&str) -> Vec<String>,
) -> Result<(Change, bool)> {
    let victims: Vec<Chosen> = match version {
        Some(version) => vec![pick(model, name, Some(version))?],
        None => {
            pick(model, name, None)?;
            let all = model.versions(name);
            all.map(|(v, row)| Chosen { name: name.into(), version: v.into(), row: row.clone() }).collect()
        }
    };
    for victim in &victims {
        check_removable(model, victim, shipped_digests, serving)?;
    }
    let mut change = Change::default();
    // Someone may be binding one of them right now.
    change.require_bindings(model).require_volumes(model);
    let mut victims = victims.iter();
    for victim in victims.by_ref().take(ROWS_AT_ONCE / 2) {
        let Chosen { name, version, row } = victim;
        let stage = after(row.stage, Event::Remove)?;
        change.put(model, Key::plugin(name, version), &PluginRow { stage, ..row.clone() })?;
        let audit = HistoryRow::admin("plugin-remove", "asked for");
        change.audit(named(audit, victim).moved(Some(row.stage), stage));
    }
    Ok((change, victims.next().is_some()))
}

/// What a change took out.
#[derive(Debug)]
pub(crate) struct Cleared {
    /// Digests that no row names any more.
    pub digests: Vec<String>,
    /// Whether there is more to take out than fits into one change.
    pub more: bool,
}

/// Takes the rows that are marked as removed out of the catalog, with the quarantines of what no other row
/// names. Quarantines go first, so that a row is there as long as there is something to do about it.
pub(crate) fn clear_removed(model: &Model) -> Result<(Change, Cleared)> {
    let marked = model.plugins.iter().filter(|(_, row)| row.stage == Stage::Removed);
    let mut marked: Vec<_> = marked.collect();
    let orphaned = |digest: &str| {
        marked.iter().any(|(_, row)| row.digest == digest)
            && !model.plugins.values().any(|row| row.digest == digest && row.stage != Stage::Removed)
    };
    let quarantines = model.quarantines.keys().filter(|(_, _, digest)| orphaned(digest));
    let quarantines: Vec<_> = quarantines.collect();
    let mut change = Change::default();
    let now = &quarantines[..quarantines.len().min(ROWS_AT_ONCE)];
    for (volume, world, digest) in now {
        change.delete(model, Key::quarantine(volume, world, digest));
    }
    let (room, asked) = (ROWS_AT_ONCE - now.len(), marked.len());
    marked.truncate(if now.len() < quarantines.len() { 0 } else { room });
    for ((name, version), _) in &marked {
        change.delete(model, Key::plugin(name, version));
    }
    let gone = |address: &(String, String)| marked.iter().any(|(victim, _)| *victim == address);
    let left = |digest: &str| {
        model.plugins.iter().any(|(address, row)| row.digest == digest && !gone(address))
            || model.arrivals.contains_key(digest)
    };
    let mut digests: Vec<String> = marked.iter().map(|(_, row)| row.digest.clone()).collect();
    digests.sort_unstable();
    digests.dedup();
    digests.retain(|digest| !left(digest));
    Ok((change, Cleared { digests, more: marked.len() < asked }))
}

fn check_removable(
    model: &Model,
    victim: &Chosen,
    shipped_digests: &[String],
    serving: &dyn Fn(&str) -> Vec<String>,
) -> Result<()> {
    let Chosen { name, version, row } = victim;
    if shipped_digests.contains(&row.digest) && row.origin == Origin::Shipped {
        return Err(Error::PluginShipped { name: name.clone(), version: version.clone() });
    }
    check_unused(model, victim, serving)
}

/// Whether no volume needs a version; `serving` tells those that it serves now.
pub(super) fn check_unused(
    model: &Model,
    victim: &Chosen,
    serving: &dyn Fn(&str) -> Vec<String>,
) -> Result<()> {
    let Chosen { name, version, row } = victim;
    let mut volumes = users(model, victim);
    volumes.extend(serving(&row.digest));
    volumes.sort_unstable();
    volumes.dedup();
    if volumes.is_empty() {
        return Ok(());
    }
    let volumes = volumes.join(", ");
    Err(Error::PluginInUse { name: name.clone(), version: version.clone(), volumes })
}

/// Names of the volumes that could not do without a version: bound to it, about to be, or written in it.
fn users(model: &Model, victim: &Chosen) -> Vec<String> {
    let names = |target: &Target| match target {
        Target::Plugin { plugin, version, .. } => *plugin == victim.name && *version == victim.version,
        Target::Default | Target::Native => false,
    };
    let bound = model.bindings.iter().filter(|(_, binding)| {
        let mut waiting = binding.candidate.iter().chain(&binding.shadow);
        names(&binding.current) || waiting.any(|candidate| names(&candidate.target))
    });
    let written = model.written_in(&victim.row.digest).map(str::to_owned);
    // A volume whose row cannot be read may be in any format.
    let format = victim.row.world == World::Format.as_str();
    let unreadable = model.unreadable.keys().filter_map(|key| match key {
        Key::Volume(name) if format => Some(format!("{name} (its row in the catalog cannot be read)")),
        _ => None,
    });
    bound.map(|((volume, _), _)| volume.clone()).chain(written).chain(unreadable).collect()
}
