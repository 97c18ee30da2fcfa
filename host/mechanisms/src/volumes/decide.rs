//! What becomes of each volume: functions of the catalog and of what lies on the disk.
//!
//! The rows are written before the files are made, and removed after the files are gone, so the states that a
//! crash can leave are few: a row in `creating` with or without files, a row in `deleting` with or
//! without files. Everything else is an outside intervention: a directory that no row names is never opened
//! and never deleted, and its id is not handed out.

use std::collections::BTreeSet;

use mortise_kernel::format::FormatId;
use mortise_kernel::node::VolumeId;

use crate::catalog::{
    Change, HistoryRow, Key, Model, NextVolumeId, ROW_VERSION, ROWS_AT_ONCE, VolumeRow, VolumeState,
    label_problem,
};
use crate::plugins::{about_format, leave};
use crate::rebuild::{WantedFormat, wanted_format};
use crate::{Error, Result};

/// Name of the volume that holds the catalog.
pub(crate) const SYSTEM: &str = "system";
/// Name of the volume served when a client names none.
pub(crate) const DEFAULT: &str = "default";
/// What the history calls a creation.
pub(super) const CREATION: &str = "volume-create";
/// What the history calls a deletion.
pub(super) const DELETION: &str = "volume-delete";
const FROM_THE_START: &str = "exists from the start";
/// The first id that is handed out.
const FIRST_FREE_ID: u64 = VolumeId::DEFAULT.0 + 1;
/// Ids from here on were never handed out: a directory named like that does not use up the ids below it.
const FIRST_ABSURD_ID: u64 = 1 << 62;

/// How to come by the system volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SystemVolumeStart {
    /// It is there.
    Open,
    /// Nothing is there: this is a new node.
    Create,
    /// Its directory is all there is; if its creation was interrupted, it may be made anew.
    OpenOrCreate,
}

/// Decides how to come by the system volume.
pub(crate) fn system_start(on_disk: &BTreeSet<u64>) -> Result<SystemVolumeStart> {
    let system = on_disk.contains(&VolumeId::SYSTEM.0);
    match (system, on_disk.len()) {
        (true, 1) => Ok(SystemVolumeStart::OpenOrCreate),
        (true, _) => Ok(SystemVolumeStart::Open),
        (false, 0) => Ok(SystemVolumeStart::Create),
        (false, _) => Err(Error::CatalogMissing(format!(
            "expected the system volume (id {}), which holds the catalog, but found only volumes {}; \
             restore its directory from a copy, or move the others away to start anew",
            VolumeId::SYSTEM,
            numbers(on_disk)
        ))),
    }
}

fn numbers(ids: &BTreeSet<u64>) -> String {
    ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

/// Makes sure that `system` and `default` have rows, and that ids can be handed out.
pub(crate) fn found(model: &Model, on_disk: &BTreeSet<u64>, unix_ms: u64) -> Result<(Change, ())> {
    let others: BTreeSet<u64> = on_disk.iter().copied().filter(|id| *id != VolumeId::SYSTEM.0).collect();
    if model.is_empty() && !others.is_empty() {
        return Err(Error::CatalogMissing(format!(
            "the system volume holds no catalog, but volumes {} are on the disk; \
             restore the system volume's directory from a copy, or move the others away to start anew",
            numbers(&others)
        )));
    }
    let mut change = Change::default();
    if model.mod_revision(&Key::NextVolumeId) == 0 {
        let rows = model.volumes.values().map(|row| row.id);
        let next = free_id(FIRST_FREE_ID, &rows.chain(on_disk.iter().copied()).collect());
        change.put(model, Key::NextVolumeId, &NextVolumeId { version: ROW_VERSION, next })?;
    }
    for (name, id) in [(SYSTEM, VolumeId::SYSTEM.0), (DEFAULT, VolumeId::DEFAULT.0)] {
        let key = Key::Volume(name.into());
        if model.mod_revision(&key) == 0 {
            // The system volume is open already; a `default` whose row went missing is opened, not remade.
            let state = if on_disk.contains(&id) || name == SYSTEM {
                VolumeState::Ready
            } else {
                VolumeState::Creating
            };
            change.put(model, key, &new_row(id, state, &FormatId::natural(), unix_ms))?;
            if state == VolumeState::Ready {
                change.audit(HistoryRow::node(CREATION, FROM_THE_START).volume(name));
            }
        }
    }
    Ok((change, ()))
}

/// The first id from `next` on above every id that is taken, so that neither a directory that the catalog
/// cannot explain nor one that it handed out before it was replaced by an older copy is ever taken for new.
fn free_id(next: u64, taken: &BTreeSet<u64>) -> u64 {
    let highest = taken.range(..FIRST_ABSURD_ID).next_back();
    highest.map_or(next, |highest| next.max(highest + 1))
}

fn new_row(id: u64, state: VolumeState, format: &FormatId, created_unix_ms: u64) -> VolumeRow {
    VolumeRow {
        version: ROW_VERSION,
        id,
        created_unix_ms,
        format: format.name.clone(),
        codec: (!format.is_natural()).then(|| format.clone()),
        converting: None,
        kept: None,
        state,
    }
}

/// What to do with the volumes when the node starts. The system volume is not among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StartPlan {
    /// Rows in `creating`: complete the creation.
    pub complete: Vec<(String, u64, FormatId)>,
    /// Rows in `ready`: open.
    pub open: Vec<(String, u64)>,
    /// Rows in `deleting`: finish the deletion.
    pub remove: Vec<(String, u64)>,
    /// On the disk, and no row names them: leave alone, and say so.
    pub strangers: Vec<u64>,
}

/// Decides what to do with the volumes when the node starts.
///
/// A directory without a row is left alone, even when its id was handed out once: no crash leaves that
/// behind, since files go before their row. The catalog may be older than the disk, and the directory may be
/// all that is left.
pub(crate) fn start_plan(model: &Model, on_disk: &BTreeSet<u64>) -> StartPlan {
    let mut plan = StartPlan::default();
    for (name, row) in &model.volumes {
        if row.id == VolumeId::SYSTEM.0 {
            continue;
        }
        let entry = (name.clone(), row.id);
        match row.state {
            VolumeState::Creating => plan.complete.push((name.clone(), row.id, row.format_id())),
            VolumeState::Ready => plan.open.push(entry),
            VolumeState::Deleting => plan.remove.push(entry),
        }
    }
    let named: BTreeSet<u64> = model.volumes.values().map(|row| row.id).collect();
    plan.strangers.extend(on_disk.difference(&named));
    plan
}

/// Reserves a name and an id that nothing on the disk has, for a volume in a format that is named.
pub(crate) fn reserve(
    model: &Model,
    name: &str,
    format: &WantedFormat,
    on_disk: &BTreeSet<u64>,
    unix_ms: u64,
) -> Result<(Change, VolumeRow)> {
    if let Some(why) = label_problem(name) {
        return Err(Error::VolumeName { name: name.into(), why });
    }
    let key = Key::Volume(name.into());
    if let Some(detail) = model.unreadable.get(&key) {
        return Err(Error::CatalogRow { key: key.to_string(), detail: detail.clone() });
    }
    match model.volumes.get(name).map(|row| row.state) {
        None => {}
        Some(VolumeState::Ready) => return Err(Error::VolumeExists(name.into())),
        Some(VolumeState::Creating) => {
            let cure = "if that was interrupted, delete it or restart the node";
            return Err(Error::VolumeInTransition { name: name.into(), doing: "created", cure });
        }
        Some(VolumeState::Deleting) => {
            let cure = "if that was interrupted, delete it again";
            return Err(Error::VolumeInTransition { name: name.into(), doing: "deleted", cure });
        }
    }
    let Some(next) = model.next_volume_id else {
        let detail = model.unreadable.get(&Key::NextVolumeId).cloned();
        let detail = detail.unwrap_or_else(|| "it is missing".into());
        return Err(Error::CatalogRow { key: Key::NextVolumeId.to_string(), detail });
    };
    let next = free_id(next, on_disk);
    let format = wanted_format(model, format)?;
    let row = new_row(next, VolumeState::Creating, &format.id, unix_ms);
    let mut change = Change::default();
    if let Some(plugin) = format.plugin {
        change.require(model, plugin);
    }
    change.put(model, Key::NextVolumeId, &NextVolumeId { version: ROW_VERSION, next: next + 1 })?;
    change.put(model, key, &row)?;
    let audit = HistoryRow::admin(CREATION, "asked for").volume(name);
    let of_plugin = about_format(model, audit.clone().outcome("in use"), &format.id);
    change.audit(of_plugin.unwrap_or(audit));
    Ok((change, row))
}

/// Declares a volume ready, whose files are complete.
pub(crate) fn ready(model: &Model, name: &str, id: u64) -> Result<(Change, ())> {
    let mut change = Change::default();
    let row = row_of(model, name, id)?;
    if row.state != VolumeState::Ready {
        let row = VolumeRow { state: VolumeState::Ready, ..row.clone() };
        change.put(model, Key::Volume(name.into()), &row)?;
        // Whoever asked for another one stands in the row that was written when it was reserved.
        if name == DEFAULT {
            change.audit(HistoryRow::node(CREATION, FROM_THE_START).volume(name));
        }
    }
    Ok((change, ()))
}

/// Declares that a volume is being deleted: from here on it is never served again, neither does a plugin
/// serve it, and its formats are not in use there. Returns its id.
pub(crate) fn doom(model: &Model, name: &str, default_strategy: &str) -> Result<(Change, u64)> {
    for protected in [SYSTEM, DEFAULT] {
        if name == protected {
            return Err(Error::VolumeProtected(protected));
        }
    }
    let key = Key::Volume(name.into());
    if let Some(detail) = model.unreadable.get(&key) {
        return Err(Error::CatalogRow { key: key.to_string(), detail: detail.clone() });
    }
    let row = model.volumes.get(name).ok_or_else(|| Error::NoSuchVolume(name.into()))?;
    let audit = HistoryRow::admin(DELETION, "asked for");
    let mut change = leave(model, name, default_strategy, &audit)?;
    if row.state != VolumeState::Deleting {
        change.put(model, key, &VolumeRow { state: VolumeState::Deleting, ..row.clone() })?;
        end_formats(&mut change, model, row, &audit.volume(name).outcome("the volume was deleted"));
    }
    Ok((change, row.id))
}

/// Finds out whether a deletion was declared whose answer was lost. If it was not, the row is written anew,
/// so that it cannot be declared any more: whoever decides by the row as it was before is refused.
pub(crate) fn ascertain(model: &Model, name: &str, id: u64) -> Result<(Change, bool)> {
    let row = row_of(model, name, id)?;
    let declared = row.state == VolumeState::Deleting;
    let mut change = Change::default();
    if !declared {
        change.put(model, Key::Volume(name.into()), row)?;
    }
    Ok((change, declared))
}

/// Removes the rows of a volume whose files are gone, its own last; returns whether some are left for the
/// next change.
pub(crate) fn bury(
    model: &Model,
    name: &str,
    id: u64,
    default_strategy: &str,
    audit: &HistoryRow,
) -> Result<(Change, bool)> {
    let row = row_of(model, name, id)?;
    let mut change = Change::default();
    let mut quarantines = model.quarantines.keys().filter(|(volume, _, _)| volume == name);
    for (volume, world, digest) in quarantines.by_ref().take(ROWS_AT_ONCE / 2) {
        change.delete(model, Key::quarantine(volume, world, digest));
    }
    if quarantines.next().is_some() {
        return Ok((change, true));
    }
    change.delete(model, Key::Volume(name.into()));
    // A program from before left the bindings until here.
    change.join(leave(model, name, default_strategy, audit)?);
    for (volume, world) in model.recordings.keys().filter(|(volume, _)| volume == name) {
        change.delete(model, Key::recording(volume, world));
    }
    // One that is deleted has told its formats so already.
    if row.state == VolumeState::Creating {
        end_formats(&mut change, model, row, &audit.clone().volume(name));
    }
    change.audit(audit.clone().volume(name));
    Ok((change, false))
}

/// Tells the plugins of a volume's formats that they are not in use there any more.
fn end_formats(change: &mut Change, model: &Model, row: &VolumeRow, audit: &HistoryRow) {
    let formats = row.encoded_in().into_iter();
    change.audit_all(formats.filter_map(|(_, format)| about_format(model, audit.clone(), format)));
}

fn row_of<'a>(model: &'a Model, name: &str, id: u64) -> Result<&'a VolumeRow> {
    let row = model.volumes.get(name).filter(|row| row.id == id);
    row.ok_or_else(|| Error::NoSuchVolume(name.into()))
}
