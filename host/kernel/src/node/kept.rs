//! The previous generation, kept for a while so that its volume can go back to it.
//!
//! Going back must lose nothing that was acknowledged since. So a kept generation is never served as it is:
//! it catches up with the log from where it stands, like any generation that was just copied. For that the
//! log is held at its position. The hold ends, and the generation goes, when its time is over, when the log
//! held for it has grown by [`LOG_BYTES`], or when free disk space runs short; what was written before is
//! then still undone by a rebuild in the other direction.
//!
//! The *note* of what is kept is the file `KEPT` in the directory of the generation that serves. It is
//! written, durably, before `CURRENT` names that generation, so that one renaming decides what serves and
//! what is kept beside it: a crash finds the one before with its note, or the next one with its own. A note
//! in a generation that does not serve means nothing. The position in a note may lie behind what the tables
//! of the kept generation hold, never before: the log is held there from before the note is written.

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
use crate::seams::fault::{Point, pass};
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

/// Reads the note of a volume whose current generation is known; `None`, with a warning where one is due,
/// when there is nothing to go back to.
pub(super) fn find(volume: &Directory, current: u64) -> Result<Option<Record>> {
    let serving = generation::directory(volume, current)?;
    let Some(bytes) = serving.read(KEPT)? else { return Ok(None) };
    let path = serving.path_of(KEPT);
    match serde_json::from_slice::<Record>(&bytes) {
        Ok(record) if record.generation != current && generation::exists(volume, record.generation) => {
            Ok(Some(record))
        }
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
    hold: LogHold,
    /// Bytes logged by the volume before it was kept.
    logged: u64,
}

/// What is kept as soon as another generation serves, as its note says.
enum Next {
    /// Nothing.
    Nothing,
    /// What is kept already.
    Same,
    /// The generation that serves until then.
    Other(Keeping),
}

#[derive(Default)]
struct State {
    keeping: Option<Keeping>,
    /// What is kept as soon as another generation serves that is about to.
    next: Option<Next>,
    /// Whether what is kept is about to serve; then it must not go.
    returning: bool,
}

/// What a volume keeps.
pub(super) struct Kept {
    home: Arc<Home>,
    group: Arc<Group>,
    clock: SharedClock,
    state: Mutex<State>,
    /// Taken, before the state, by whoever changes notes.
    notes: Mutex<()>,
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
        let keeping = found
            .as_ref()
            .and_then(|record| hold(record).map(|hold| Keeping { record: record.clone(), hold, logged: 0 }));
        if let (Some(record), None) = (&found, &keeping) {
            tracing::warn!(generation = record.generation, "the log that a kept generation needs is gone");
            home.retire(record.generation);
        }
        let state = Mutex::new(State { keeping, ..State::default() });
        Arc::new(Self { home, group, clock, state, notes: Mutex::default(), changed: Notify::new() })
    }

    /// What is kept.
    pub(super) fn describe(&self) -> Option<KeptGeneration> {
        let state = self.state.lock();
        let record = &state.keeping.as_ref()?.record;
        let format = generation::named(self.home.directory(), record.generation).ok()?.format;
        let until_unix_millis = record.until_unix_millis;
        Some(KeptGeneration { generation: record.generation, format, until_unix_millis })
    }

    /// Number of the generation that is kept.
    pub(super) fn number(&self) -> Option<u64> {
        self.state.lock().keeping.as_ref().map(|keeping| keeping.record.generation)
    }

    /// Number of the generation that is kept. It does not go until [`Self::relent`] or [`Self::take_effect`]
    /// is called.
    pub(super) fn lend(&self) -> Option<u64> {
        let mut state = self.state.lock();
        state.returning = state.keeping.is_some();
        state.keeping.as_ref().map(|keeping| keeping.record.generation)
    }

    /// Writes down, durably, what is kept as soon as the generation `next` serves: the one that serves now,
    /// for `time`, or what is kept already if the order of keys is the `same_order` then. Otherwise that must
    /// go: what is logged from now on may name ranges in an order that nothing would tell of once the volume
    /// has yet another one. Nothing goes until [`Self::relent`] or [`Self::take_effect`].
    pub(super) fn intend(&self, next: u64, time: Option<Duration>, same_order: bool) -> Result<()> {
        let order = self.notes.lock();
        let (record, then) = match time {
            Some(time) => {
                let hold = self.group.hold();
                let record = self.record(self.home.current(), hold.position(), time);
                (Some(record.clone()), Next::Other(Keeping { record, hold, logged: 0 }))
            }
            None => {
                let state = self.state.lock();
                let record = state.keeping.as_ref().map(|keeping| keeping.record.clone());
                let record = record.filter(|record| same_order && record.generation != next);
                let then = if record.is_some() { Next::Same } else { Next::Nothing };
                (record, then)
            }
        };
        // From here on nothing goes, and before the note may name it.
        self.state.lock().next = Some(then);
        let noted = match &record {
            Some(record) => self.note(next, record),
            None => self.forget_note(next),
        };
        drop(order);
        noted?;
        pass(Point::RebuildKeepNoted)
    }

    fn record(&self, generation: u64, position: Applied, time: Duration) -> Record {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Record {
            generation,
            index: position.index,
            opaque: position.opaque.to_vec(),
            until_unix_millis: self.clock.unix_millis().saturating_add(millis),
        }
    }

    fn note(&self, beside: u64, record: &Record) -> Result<()> {
        let text = serde_json::to_string(record).map_err(|error| Error::Internal(error.to_string()))?;
        let generation = generation::directory(self.home.directory(), beside)?;
        generation.replace(KEPT, format!("{text}\n").as_bytes())
    }

    fn forget_note(&self, beside: u64) -> Result<()> {
        let generation = generation::directory(self.home.directory(), beside)?;
        if generation.has(KEPT) { generation.remove_file(KEPT) } else { Ok(()) }
    }

    /// The exchange that was intended does not come about. Its note means nothing where it is.
    pub(super) fn relent(&self) {
        let mut state = self.state.lock();
        state.next = None;
        state.returning = false;
        drop(state);
        self.changed.notify_one();
    }

    /// The generation whose note was written serves, durably. What was kept before goes, unless it is kept
    /// on or serves. Whether the generation that served before is kept from now on; `logged` are the bytes
    /// that the volume has logged so far.
    pub(super) fn take_effect(&self, logged: u64) -> bool {
        let mut state = self.state.lock();
        state.returning = false;
        let (before, kept) = match state.next.take().unwrap_or(Next::Same) {
            Next::Same => (None, false),
            Next::Nothing => (state.keeping.take(), false),
            Next::Other(keeping) => (state.keeping.replace(Keeping { logged, ..keeping }), true),
        };
        drop(state);
        // Going back keeps in its turn what served before, while what was kept serves.
        if let Some(before) = before
            && before.record.generation != self.home.current()
        {
            self.home.retire(before.record.generation);
        }
        self.changed.notify_one();
        kept
    }

    /// The tables of what is kept hold a later position than its note says: less of the log is needed.
    pub(super) fn advance(&self, position: Applied) -> Result<()> {
        let order = self.notes.lock();
        let record = self.state.lock().keeping.as_ref().map(|keeping| keeping.record.clone());
        let Some(record) = record else { return Ok(()) };
        let (index, opaque) = (position.index, position.opaque.to_vec());
        let record = Record { index, opaque, ..record };
        self.note(self.home.current(), &record)?;
        if let Some(keeping) = &mut self.state.lock().keeping {
            keeping.record = record;
            keeping.hold.advance(position);
        }
        drop(order);
        pass(Point::RebuildKeptAdvanced)
    }

    /// Lets what is kept go, unless an exchange is about to decide about it.
    pub(super) fn discard(&self, why: &str) -> Result<()> {
        let order = self.notes.lock();
        let mut state = self.state.lock();
        if state.next.is_some() || state.returning {
            return Ok(());
        }
        let Some(keeping) = state.keeping.take() else { return Ok(()) };
        drop(state);
        let generation = keeping.record.generation;
        tracing::info!(generation, why, "a generation is kept no longer");
        // Without its note the generation is a leftover, whatever happens next.
        let removed = self.forget_note(self.home.current());
        drop(order);
        self.home.retire(generation);
        removed
    }

    /// Why what is kept has to go, if it has to.
    fn due(&self, logged: u64, short_of_disk: bool) -> Option<&'static str> {
        let state = self.state.lock();
        if state.next.is_some() || state.returning {
            return None;
        }
        let keeping = state.keeping.as_ref()?;
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
        let until = self.state.lock().keeping.as_ref().map(|keeping| keeping.record.until_unix_millis);
        let left = until.map(|until| until.saturating_sub(self.clock.unix_millis()));
        left.map_or(LOOK_EVERY, |left| Duration::from_millis(left).min(LOOK_EVERY))
    }
}
