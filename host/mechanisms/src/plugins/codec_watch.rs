//! Faults of codecs in service: counted and told, and never punished by the node itself.
//!
//! A strategy that faults too often is put aside, because another one can do its work. Nobody can do a
//! codec's: without it a volume's bytes mean nothing, and to put it aside would take the whole volume from
//! its users for a fault that may concern one record of it. Nor would it protect anything: every answer of a
//! codec is verified, so a wrong one costs requests and damages no data. Each fault is therefore an error to
//! its request and nothing else; a codec that has faulted [`SUSPECT_FAULTS`] times within [`SUSPECT_MS`] is
//! *suspect*, and the volumes' status, the log and the history say so. What follows is for an operator to
//! decide: convert the volumes, and put the version into quarantine, so that no volume gets it again.
//!
//! A refusal of a record is no fault, nor is a busy runtime, nor a request whose own time was over.

use std::collections::VecDeque;
use std::sync::Arc;

use mortise_kernel::seams::SharedClock;
use mortise_plugin_runtime::SharedLimits;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::act::audit;
use super::choose::Chosen;
use super::faults::RememberedFaults;
use crate::catalog::{Catalog, HistoryRow};
use crate::system::FaultInfo;

/// Faults within [`SUSPECT_MS`] from which on a codec is suspect.
const SUSPECT_FAULTS: usize = 3;

/// One hour, in milliseconds: a codec that does not fault for so long is above suspicion again.
const SUSPECT_MS: u64 = 60 * 60 * 1000;

/// Watches over one component, whatever the volumes and settings that it serves.
pub(crate) struct CodecWatch {
    chosen: Chosen,
    /// What its calls run under.
    limits: SharedLimits,
    clock: SharedClock,
    catalog: Arc<Catalog>,
    remembered: Arc<RememberedFaults>,
    seen: Mutex<Seen>,
}

/// What was seen of a codec.
#[derive(Default)]
struct Seen {
    /// Times of the latest faults, Unix milliseconds; never more than make it suspect.
    times: VecDeque<u64>,
    /// What the last one was.
    last: String,
    /// Whether the present suspicion was told.
    told: bool,
}

impl Seen {
    fn is_suspect(&self, now: u64) -> bool {
        let first = self.times.front().filter(|_| self.times.len() == SUSPECT_FAULTS);
        first.is_some_and(|first| now.saturating_sub(*first) < SUSPECT_MS)
    }
}

impl CodecWatch {
    pub(super) fn new(
        chosen: Chosen,
        limits: SharedLimits,
        clock: SharedClock,
        catalog: Arc<Catalog>,
        remembered: Arc<RememberedFaults>,
    ) -> Self {
        Self { chosen, limits, clock, catalog, remembered, seen: Mutex::default() }
    }

    /// The version that it watches over.
    pub(super) fn chosen(&self) -> &Chosen {
        &self.chosen
    }

    /// The limits of all calls of the component.
    pub(super) fn limits(&self) -> &SharedLimits {
        &self.limits
    }

    /// A call ended in a fault, or an answer was found to be wrong. Called on the way of a request: whatever
    /// takes time goes to a task of its own.
    pub(crate) fn fault(&self, kind: &str, detail: &str) {
        let now = self.clock.unix_millis();
        self.remembered.push(FaultInfo {
            unix_ms: now,
            volume: self.volumes(),
            plugin: self.chosen.name.clone(),
            version: self.chosen.version.clone(),
            kind: kind.into(),
            detail: detail.into(),
        });
        let mut seen = self.seen.lock();
        if seen.times.len() == SUSPECT_FAULTS {
            seen.times.pop_front();
        }
        seen.times.push_back(now);
        seen.last = format!("{kind}: {detail}");
        let suspect = seen.is_suspect(now);
        // A suspicion that ended is told again when it returns.
        let told = std::mem::replace(&mut seen.told, suspect);
        let news = suspect && !told;
        drop(seen);
        if let (true, Some(suspicion)) = (news, self.suspicion()) {
            self.tell(suspicion);
        }
    }

    /// What there is to say against the codec, if it is suspect now.
    pub(crate) fn suspicion(&self) -> Option<String> {
        let seen = self.seen.lock();
        seen.is_suspect(self.clock.unix_millis()).then(|| {
            let Chosen { name, version, .. } = &self.chosen;
            format!(
                "its format's plugin {name} {version} has faulted {SUSPECT_FAULTS} times or more within an \
                 hour, the last time with {}; requests that need those calls fail, and no data is damaged: see \
                 `mortise plugin show {name}`, and convert the volume to another format if it lasts",
                seen.last
            )
        })
    }

    fn tell(&self, suspicion: String) {
        let Chosen { name, version, row } = &self.chosen;
        tracing::error!(
            plugin = name,
            version,
            digest = row.digest,
            reason = suspicion,
            "a codec is suspect"
        );
        let row = HistoryRow::node("format-faults", suspicion)
            .plugin(name, version, &row.digest)
            .outcome("it goes on to serve");
        let catalog = Arc::clone(&self.catalog);
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { audit(&catalog, row).await });
        }
    }

    /// Names of the volumes whose data is in its format, or may be.
    fn volumes(&self) -> String {
        let model = self.catalog.model();
        model.written_in(&self.chosen.row.digest).collect::<Vec<_>>().join(", ")
    }
}
