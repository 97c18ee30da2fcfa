//! A format is put into quarantine by an operator, for all volumes at once, and released again.
//!
//! The row stands under a name that no volume can have. It is refused for a strategy, which another one can
//! replace, and for a format that the data of any volume is in: that volume could not be opened again.
//! Barring twice changes nothing, and leaves no second row in the history.

use mortise_plugin_runtime::World;

use super::super::choose::Chosen;
use super::super::stage_error::StageError;
use super::remove::check_unused;
use crate::catalog::{Change, HistoryRow, Key, Model, QuarantineRow, ROW_VERSION};
use crate::{Error, Result};

/// What stands in the place of a volume's name in the row of a format's quarantine. No volume is called so.
const EVERY_VOLUME: &str = "*";

fn key(chosen: &Chosen) -> Key {
    Key::quarantine(EVERY_VOLUME, World::Format.as_str(), &chosen.row.digest)
}

fn is_barred(model: &Model, chosen: &Chosen) -> bool {
    model.is_quarantined(EVERY_VOLUME, World::Format.as_str(), &chosen.row.digest)
}

fn check_format(chosen: &Chosen) -> Result<()> {
    let Chosen { name, version, row } = chosen;
    if row.world == World::Format.as_str() {
        return Ok(());
    }
    Err(Error::WrongWorld {
        name: name.clone(),
        version: version.clone(),
        expected: World::Format.as_str().into(),
        found: row.world.clone(),
        cure: "another strategy takes its place with `mortise plugin use`",
    })
}

/// Puts a format into quarantine for every volume.
///
/// # Errors
/// It is no format, or the data of a volume is in it: that volume would be lost to its users.
pub(crate) fn bar(model: &Model, chosen: &Chosen, reason: &str, unix_ms: u64) -> Result<(Change, ())> {
    check_format(chosen)?;
    check_unused(model, chosen, &|_| Vec::new())?;
    let mut change = Change::default();
    if is_barred(model, chosen) {
        return Ok((change, ()));
    }
    let Chosen { name, version, row } = chosen;
    change.require(model, Key::plugin(name, version));
    let quarantine = QuarantineRow {
        version: ROW_VERSION,
        plugin: name.clone(),
        plugin_version: version.clone(),
        since_unix_ms: unix_ms,
        reason: reason.into(),
    };
    change.put(model, key(chosen), &quarantine)?;
    let outcome = "no volume gets it";
    let audit = HistoryRow::admin("plugin-quarantine", "asked for").plugin(name, version, &row.digest);
    change.audit(audit.outcome(outcome));
    Ok((change, ()))
}

/// Ends the quarantine of a format.
///
/// # Errors
/// It is no format, or not in quarantine.
pub(crate) fn release(model: &Model, chosen: &Chosen) -> Result<(Change, ())> {
    check_format(chosen)?;
    let Chosen { name, version, row } = chosen;
    if !is_barred(model, chosen) {
        let (name, version) = (name.clone(), version.clone());
        return Err(StageError::NotInQuarantine { name, version }.into());
    }
    let mut change = Change::default();
    change.delete(model, key(chosen));
    change.audit(HistoryRow::admin("plugin-release", "asked for").plugin(name, version, &row.digest));
    Ok((change, ()))
}
