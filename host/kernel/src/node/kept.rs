//! The previous generation, kept for a while so that its volume can go back to it.
//!
//! Going back must lose nothing that was acknowledged since. So a kept generation is never served as it is:
//! it catches up with the log from where it stands, like any generation that was just copied. For that the
//! log is held at its position. The hold ends, and the generation goes, when its time is over, when the log
//! held for it has grown by [`LOG_BYTES`], or when free disk space runs short; what was written before is
//! then still undone by a rebuild in the other direction.
//!
//! The file `KEPT` in the volume's directory names the generation, its position and its time. It is written
//! after the switch, so a crash right at the switch may cost the previous generation, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use super::directory::Directory;
use super::generation;
use super::home::Home;
use super::types::KeptGeneration;
use crate::raft::{Group, LogHold};
use crate::seams::SharedClock;
use crate::store::Applied;
use crate::{Error, Result};

pub(super) const KEPT: &str = "KEPT";
/// Most bytes of log entries held for a kept generation while the volume is open.
const LOG_BYTES: u64 = 1024 * 1024 * 1024;
/// Longest wait between two looks at the clock, which may have been set.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) generation: u64,
    /// Position in the log that its tables hold.
    index: u64,
    /// What raft keeps with that.
    opaque: Vec<u8>,
    until_unix_millis: u64,
}

impl Record {
    fn position(&self) -> Applied {
        Applied { index: self.index, opaque: self.opaque.clone().into() }
    }
}

/// Reads the record of a volume whose current generation is known; `None`, with a warning where one is due,
/// when there is nothing to go back to.
pub(super) fn find(volume: &Directory, current: u64) -> Result<Option<Record>> {
    let Some(bytes) = volume.read(KEPT)? else { return Ok(None) };
    let path = volume.path_of(KEPT);
    match serde_json::from_slice::<Record>(&bytes) {
        Ok(record) if record.generation == current => Ok(None),
        Ok(record) if generation::exists(volume, record.generation) => Ok(Some(record)),
        Ok(record) => {
            tracing::warn!(path = %path.display(), generation = record.generation, "what it names is gone");
            Ok(None)
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "it cannot be read; nothing is kept");
            Ok(None)
        }
    }
}

/// A kept generation with the log that it needs.
struct Keeping {
    record: Record,
    /// Released with it.
    _hold: LogHold,
    /// Bytes logged by the volume before it was kept.
    logged: u64,
}

/// What a volume keeps.
pub(super) struct Kept {
    home: Arc<Home>,
    group: Arc<Group>,
    clock: SharedClock,
    keeping: Mutex<Option<Keeping>>,
    changed: Notify,
}

impl Kept {
    /// Takes up what the volume's directory says is kept, and holds the log for it before any is purged.
    pub(super) fn recover(
        home: Arc<Home>,
        group: Arc<Group>,
        clock: SharedClock,
        found: Option<Record>,
    ) -> Arc<Self> {
        let hold = |record: &Record| group.hold_at(record.position());
        let keeping = found.as_ref().and_then(|record| {
            hold(record).map(|hold| Keeping { record: record.clone(), _hold: hold, logged: 0 })
        });
        if let (Some(record), None) = (&found, &keeping) {
            tracing::warn!(generation = record.generation, "the log that a kept generation needs is gone");
            home.retire(record.generation);
        }
        let (keeping, changed) = (Mutex::new(keeping), Notify::new());
        Arc::new(Self { home, group, clock, keeping, changed })
    }

    /// What is kept.
    pub(super) fn describe(&self) -> Option<KeptGeneration> {
        let keeping = self.keeping.lock();
        let record = &keeping.as_ref()?.record;
        let format = generation::named(self.home.directory(), record.generation).ok()?.format;
        let until_unix_millis = record.until_unix_millis;
        Some(KeptGeneration { generation: record.generation, format, until_unix_millis })
    }

    /// Number of the generation that is kept.
    pub(super) fn number(&self) -> Option<u64> {
        self.keeping.lock().as_ref().map(|keeping| keeping.record.generation)
    }

    /// Keeps a generation whose tables hold `position`, instead of the one kept before. `logged` are the
    /// bytes that the volume has logged so far.
    pub(super) fn keep(&self, number: u64, position: Applied, time: Duration, logged: u64) -> Result<()> {
        let gone = || Error::Internal("the log behind the previous generation is purged already".into());
        let hold = self.group.hold_at(position.clone()).ok_or_else(gone)?;
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let record = Record {
            generation: number,
            index: position.index,
            opaque: position.opaque.to_vec(),
            until_unix_millis: self.clock.unix_millis().saturating_add(millis),
        };
        let text = serde_json::to_string(&record).map_err(|error| Error::Internal(error.to_string()))?;
        self.home.directory().replace(KEPT, format!("{text}\n").as_bytes())?;
        let before = self.keeping.lock().replace(Keeping { record, _hold: hold, logged });
        // Going back keeps in its turn what served before, while what was kept serves.
        if let Some(before) = before
            && before.record.generation != self.home.current()
        {
            self.home.retire(before.record.generation);
        }
        self.changed.notify_one();
        Ok(())
    }

    /// Forgets what is kept, because it serves again.
    pub(super) fn forget(&self) -> Result<()> {
        if self.keeping.lock().take().is_some() {
            self.home.directory().remove_file(KEPT)?;
        }
        Ok(())
    }

    /// Lets what is kept go.
    pub(super) fn discard(&self, why: &str) -> Result<()> {
        let Some(keeping) = self.keeping.lock().take() else { return Ok(()) };
        let generation = keeping.record.generation;
        tracing::info!(generation, why, "a generation is kept no longer");
        // Without the file the generation is a leftover, whatever happens next.
        let removed = self.home.directory().remove_file(KEPT);
        self.home.retire(generation);
        removed
    }

    /// Why what is kept has to go, if it has to.
    fn due(&self, logged: u64, short_of_disk: bool) -> Option<&'static str> {
        let keeping = self.keeping.lock();
        let keeping = keeping.as_ref()?;
        if self.clock.unix_millis() >= keeping.record.until_unix_millis {
            return Some("its time is over");
        }
        if logged.saturating_sub(keeping.logged) > LOG_BYTES {
            return Some("the log held for it has grown too long");
        }
        short_of_disk.then_some("free disk space is short")
    }

    /// Lets what is kept go when it is time, until it is aborted. `state` answers the bytes logged so far
    /// and whether disk space is short; `changes` changes with every flush.
    pub(super) async fn keep_in_bounds(
        self: Arc<Self>,
        state: impl Fn() -> (u64, bool) + Send,
        mut changes: watch::Receiver<u64>,
    ) {
        loop {
            let (logged, short_of_disk) = state();
            if let Some(why) = self.due(logged, short_of_disk) {
                let this = Arc::clone(&self);
                let discarded = tokio::task::spawn_blocking(move || this.discard(why)).await;
                if let Ok(Err(error)) = discarded {
                    tracing::warn!(%error, "what was kept is removed at the next opening");
                }
                self.group.purge_flushed().await;
            }
            tokio::select! {
                () = self.changed.notified() => {}
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(self.look_after()) => {}
            }
        }
    }

    /// When to look at the clock again.
    fn look_after(&self) -> Duration {
        let until = self.keeping.lock().as_ref().map(|keeping| keeping.record.until_unix_millis);
        let left = until.map(|until| until.saturating_sub(self.clock.unix_millis()));
        left.map_or(LOOK_EVERY, |left| Duration::from_millis(left).min(LOOK_EVERY))
    }
}
