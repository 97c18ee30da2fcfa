//! What the log reports about itself.

use std::time::Duration;

use metrics::{Gauge, Histogram};

/// Handles of the log's metrics, made once.
pub(super) struct LogMetrics {
    flush_seconds: Histogram,
    batch_entries: Histogram,
    batch_bytes: Histogram,
    queue_depth: Gauge,
}

impl LogMetrics {
    pub(super) fn new() -> Self {
        Self {
            flush_seconds: metrics::histogram!("mortise_log_flush_seconds"),
            batch_entries: metrics::histogram!("mortise_log_batch_entries"),
            batch_bytes: metrics::histogram!("mortise_log_batch_bytes"),
            queue_depth: metrics::gauge!("mortise_log_queue_depth"),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a metric")]
    pub(super) fn flushed(&self, took: Duration, entries: usize, bytes: usize) {
        self.flush_seconds.record(took);
        self.batch_entries.record(entries as f64);
        self.batch_bytes.record(bytes as f64);
    }

    #[expect(clippy::cast_precision_loss, reason = "a metric")]
    pub(super) fn queue_depth(&self, requests: usize) {
        self.queue_depth.set(requests as f64);
    }
}
