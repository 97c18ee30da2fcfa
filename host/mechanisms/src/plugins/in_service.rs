//! Which format serves which volume, for the metrics: since when, and how often another one took over.
//!
//! Strategies tell that of themselves, where they are exchanged. A format comes with the data: it serves from
//! the opening of its volume, or from the end of the job that brought the volume into it. Nothing is decided
//! here.

use std::collections::BTreeMap;

use mortise_kernel::format::FormatId;
use mortise_plugin_runtime::World;
use parking_lot::Mutex;

use super::act::Lifecycle;
use super::choose::bearer;
use crate::telemetry::TenureMetrics;

/// The formats of the volumes that are open, by the volumes' names.
#[derive(Default)]
pub(super) struct FormatsInService(Mutex<BTreeMap<String, ServedFormat>>);

struct ServedFormat {
    format: FormatId,
    /// None where the format is no plugin.
    metrics: Option<TenureMetrics>,
}

impl Lifecycle {
    /// Takes note of the format that the data of an open volume is in.
    pub(crate) fn format_serves(&self, volume: &str, format: &FormatId) {
        let unix_ms = self.clock.unix_millis();
        let mut all = self.formats.0.lock();
        let last = all.remove(volume);
        if last.as_ref().is_some_and(|last| last.format == *format) {
            all.extend(last.map(|last| (volume.to_owned(), last)));
            return;
        }
        if let Some(metrics) = last.as_ref().and_then(|last| last.metrics.as_ref()) {
            metrics.ends();
        }
        let metrics = self.tenure(volume, format);
        match (&last, &metrics) {
            (Some(_), Some(metrics)) => metrics.takes_over(unix_ms),
            (None, Some(metrics)) => metrics.begins(unix_ms),
            (_, None) => {}
        }
        all.insert(volume.to_owned(), ServedFormat { format: format.clone(), metrics });
    }

    /// Takes note that a volume is closed.
    pub(crate) fn format_is_gone(&self, volume: &str) {
        if let Some(ServedFormat { metrics: Some(metrics), .. }) = self.formats.0.lock().remove(volume) {
            metrics.ends();
        }
    }

    fn tenure(&self, volume: &str, format: &FormatId) -> Option<TenureMetrics> {
        let chosen = bearer(&self.catalog.model(), format, |_| false)?;
        Some(TenureMetrics::new(volume, World::Format, &chosen.name, &chosen.version))
    }
}
