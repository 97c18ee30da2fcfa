//! Which components are being verified, and for how many at once.
//!
//! The same bytes can be uploaded twice at the same time, and have one arrival in the catalog and one file.
//! Whoever is refused may take both along only when nobody else relies on them. Arrivals that a stop left
//! behind are none of this module's business: the next start undoes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Counts by digest. None is 0.
type Counts = Mutex<BTreeMap<String, usize>>;

/// The components that are being verified.
#[derive(Clone, Debug, Default)]
pub(super) struct Arriving(Arc<Counts>);

/// One upload that is being verified, until it is dropped.
#[derive(Debug)]
pub(super) struct Arrived {
    counts: Arc<Counts>,
    digest: String,
}

impl Arriving {
    /// One more upload of these bytes.
    pub(super) fn another(&self, digest: &str) -> Arrived {
        *self.0.lock().entry(digest.into()).or_default() += 1;
        Arrived { counts: Arc::clone(&self.0), digest: digest.into() }
    }

    /// Whether these bytes are being verified for somebody.
    pub(super) fn has(&self, digest: &str) -> bool {
        self.0.lock().contains_key(digest)
    }
}

impl Drop for Arrived {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.digest);
            }
        }
    }
}
