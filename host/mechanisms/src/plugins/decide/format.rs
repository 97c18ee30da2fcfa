//! What the history of a format's plugin says of volumes: that data is in the format from now on, or no more.
//!
//! A format has no stage on a volume. It is in use there while the volume's row names its component.

use mortise_kernel::format::FormatId;

use super::super::choose::bearer;
use super::bind::named;
use crate::catalog::{HistoryRow, Model};

/// The row as one about the plugin of a format, with its settings; `None` for a format without a component.
/// When its component is not in the catalog, the plugin goes by the format's name.
pub(crate) fn about_format(model: &Model, row: HistoryRow, format: &FormatId) -> Option<HistoryRow> {
    let digest = format.digest.as_deref()?;
    let row = match bearer(model, format, |_| false) {
        Some(chosen) => named(row, &chosen),
        None => row.plugin(&format.name, &format.version, digest),
    };
    Some(row.config(&format.config))
}
