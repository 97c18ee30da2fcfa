//! How much of what a volume's strategy is asked is kept.

use super::bind::{Place, ready_volume};
use crate::Result;
use crate::catalog::{Change, HistoryRow, Key, Model, ROW_VERSION, RecordingRow};
use crate::recording::Bounds;
use crate::system::StrategyInfo;

/// Keeps so much from now on. The history names the strategy that `serves` then.
pub(crate) fn record(
    model: &Model,
    place: Place<'_>,
    bounds: Bounds,
    serves: &StrategyInfo,
) -> Result<(Change, ())> {
    ready_volume(model, place)?;
    let Bounds { calls, bytes } = bounds;
    let row = RecordingRow { version: ROW_VERSION, calls, bytes };
    let mut change = Change::default();
    if model.recordings.get(&(place.volume.into(), place.world.into())) == Some(&row) {
        return Ok((change, ()));
    }
    change.require(model, Key::Volume(place.volume.into()));
    change.put(model, Key::recording(place.volume, place.world), &row)?;
    let outcome = match calls {
        0 => "no calls are kept".to_owned(),
        _ => format!("the last {calls} calls are kept, in at most {bytes} bytes"),
    };
    let audit = HistoryRow::admin("plugin-record", "asked for").volume(place.volume);
    let audit = audit.plugin(&serves.plugin, &serves.version, &serves.digest);
    change.audit(audit.outcome(outcome));
    Ok((change, ()))
}
