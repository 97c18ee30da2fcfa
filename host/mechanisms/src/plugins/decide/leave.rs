//! A volume goes, and with it what its plugins did there.

use super::super::stage::{Event, Stage};
use super::after;
use super::bind::{Place, named};
use crate::Result;
use crate::catalog::{Change, HistoryRow, Model};

/// Takes out the bindings of a volume that is deleted, and ends in the history what served it, was about to,
/// and shadowed there.
pub(crate) fn leave(
    model: &Model,
    volume: &str,
    default_strategy: &str,
    audit: &HistoryRow,
) -> Result<Change> {
    let mut change = Change::default();
    for ((_, world), row) in model.bindings.iter().filter(|((of, _), _)| of == volume) {
        let place = Place { volume, volume_id: None, world, default_strategy };
        let serves = (&row.current, Stage::Active, Event::Detach);
        let waiting = row.candidate.iter().chain(&row.shadow);
        let waiting = waiting.map(|candidate| (&candidate.target, candidate.stage, Event::Abandon));
        for (target, from, event) in std::iter::once(serves).chain(waiting) {
            if let Some(chosen) = place.plugin(model, target) {
                let audit = named(audit.clone().volume(volume), &chosen);
                let audit = audit.moved(Some(from), after(from, event)?);
                change.audit(audit.outcome("the volume was deleted"));
            }
        }
        change.delete(model, place.key());
    }
    Ok(change)
}
