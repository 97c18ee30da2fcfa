//! Attempts that came to nothing, as the history tells of them.
//!
//! A row says who asked for what, and why it was refused or failed. Whatever names a client sends are kept
//! only where they could be names, because the catalog's rows must not hold whatever anybody sends; a name
//! that the catalog does not have marks the row as one about a stranger, of which fewer are kept.
//!
//! Nothing is written here. An attempt is refused in the same words whether its row can be written or not.

use mortise_kernel::ErrorKind;
use mortise_plugin_runtime::{is_version, name_problem};

use super::super::choose::pick;
use super::bind::Place;
use crate::catalog::{HistoryRow, Model, Target, label_problem};
use crate::cause::Cause;
use crate::{Error, NATIVE_STRATEGY};

/// A change of a plugin, or of what a volume does with one, that an administrator asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'a> {
    /// What the history calls it.
    pub action: &'static str,
    /// The plugin that was named; else the one that serves the volume is meant.
    pub plugin: Option<&'a str>,
    pub version: Option<&'a str>,
    pub volume: Option<&'a str>,
    pub config: Option<&'a str>,
    pub cause: &'a Cause,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(action: &'static str, cause: &'a Cause) -> Self {
        Self { action, plugin: None, version: None, volume: None, config: None, cause }
    }

    pub(crate) fn plugin(self, name: &'a str, version: Option<&'a str>) -> Self {
        Self { plugin: Some(name), version, ..self }
    }

    pub(crate) fn volume(self, name: &'a str) -> Self {
        Self { volume: Some(name), ..self }
    }

    pub(crate) fn config(self, config: Option<&'a str>) -> Self {
        Self { config, ..self }
    }
}

/// The audit row of an attempt that was refused. What the catalog does not have is told in the error's words
/// and, where it is a name that somebody could have, by that name.
pub(crate) fn refused(
    model: &Model,
    place: Option<Place<'_>>,
    attempt: &Attempt<'_>,
    error: &Error,
) -> HistoryRow {
    let mut row = HistoryRow::admin(attempt.action, "asked for").caused_by(attempt.cause);
    row.volume = attempt.volume.filter(|name| label_problem(name).is_none()).map(Into::into);
    row = match attempt.plugin {
        Some(name) => of_named(model, row, name, attempt.version),
        None => of_serving(model, row, place),
    };
    if let Some(config) = attempt.config {
        row = row.config(config);
    }
    let stranger = match &row.plugin {
        Some(name) => name != NATIVE_STRATEGY && model.versions(name).next().is_none(),
        None => true,
    };
    row.refused(stranger, in_words(error))
}

fn of_named(model: &Model, mut row: HistoryRow, name: &str, version: Option<&str>) -> HistoryRow {
    if let Ok(chosen) = pick(model, name, version) {
        return row.plugin(&chosen.name, &chosen.version, &chosen.row.digest);
    }
    row.plugin = Some(name).filter(|name| name_problem(name).is_none()).map(Into::into);
    row.plugin_version = version.filter(|version| is_version(version)).map(Into::into);
    row
}

/// Of what serves a volume, as far as the catalog tells.
fn of_serving(model: &Model, mut row: HistoryRow, place: Option<Place<'_>>) -> HistoryRow {
    let Some(place) = place.filter(|place| model.volumes.contains_key(place.volume)) else { return row };
    let target = place.row(model).map_or(Target::Default, |binding| binding.current.clone());
    match place.plugin(model, &target) {
        Some(chosen) => row.plugin(&chosen.name, &chosen.version, &chosen.row.digest),
        None => {
            row.plugin = Some(NATIVE_STRATEGY.into());
            row
        }
    }
}

/// An error as an outcome: refused because of what was asked, or failed for another reason.
pub(crate) fn in_words(error: &Error) -> String {
    match error.kind() {
        ErrorKind::InvalidArgument | ErrorKind::NotFound | ErrorKind::FailedPrecondition => {
            format!("refused: {error}")
        }
        _ => format!("failed: {error}"),
    }
}
