//! The store's handle: opening it and writing to it; reading is in [`super::reading`].
//!
//! Writes go through one lock, one entry of the raft log at a time, into the active memtable; the raft log is
//! their write-ahead log. The state row ([`State`]) travels in the same memtable as the data, and memtables
//! are sealed between two entries only: whatever is in tables is therefore the state at exactly one
//! position, [`Store::flushed`], and after a restart the log is replayed from there.
//!
//! Reads take no lock that a writer holds: they load a published view (see [`super::view`]) and are right for
//! as long as they run. Maintenance (flush, compaction steps) is in [`super::maintenance`].
//!
//! Everything below this face is in stored form, keys and values as the volume's format encodes them (see
//! [`crate::format`]); requests are brought into it and answers out of it here.
//!
//! The store must not know raft, volumes or plugins.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::draft::Draft;
use super::leftovers;
use super::maintenance::{self, Sealed, SealedTally};
use super::records::State;
use super::source::Staged;
use super::tree::{Change, Tree};
use super::view::{Gate, ReadView};
use super::weight;
use super::{Applied, Step, StepOutcome, StoreConfig, StoreCounters, TreeShape, columns, scrub};
use super::{Flushed, ScrubProgress};
use crate::format::{self, Answer, Coder, Meter, Prepared};
use crate::kv::Command;
use crate::{Error, Result};

/// One volume's multi-version store. All calls block; share it as `Arc<Store>`.
pub struct Store {
    pub(super) tree: Tree,
    /// The same for apply and for reads of one key, which happen on threads that many wait for.
    pub(super) unscanned: Tree,
    pub(super) coder: Coder,
    pub(super) gate: Gate,
    pub(super) writer: Mutex<Writer>,
    /// What the writer has sealed, for those who must not wait for it: an entry's codec may take long.
    pub(super) sealed: SealedTally,
    /// One flush at a time.
    pub(super) flush_turn: Mutex<()>,
    /// One compaction step at a time. Taken before `flush_turn` by those who need both.
    pub(super) step_turn: Mutex<()>,
    pub(super) positions: RwLock<Positions>,
    /// Ids of tables that failed maintenance may have left.
    pub(super) leftovers: Mutex<Vec<Range<u64>>>,
    pub(super) tallies: Tallies,
    memtable_limit: u64,
    /// Size of the active memtable.
    pub(super) memtable_bytes: AtomicU64,
    /// Weight of the last entry.
    entry_weight: AtomicU64,
}

/// What only the holder of the write lock may change.
pub(super) struct Writer {
    pub(super) state: State,
    /// Sealed memtables that are not flushed yet, oldest first.
    pub(super) sealed: VecDeque<Sealed>,
    /// Rows of the revisions column up to here are gone.
    pub(super) scrubbed: i64,
}

/// Positions that are asked for without the write lock.
pub(super) struct Positions {
    pub(super) applied: Applied,
    pub(super) flushed: Applied,
}

/// [`StoreCounters`] while they count.
#[derive(Default)]
pub(super) struct Tallies {
    commands: AtomicU64,
    written_bytes: AtomicU64,
    pub(super) flushed_bytes: AtomicU64,
    pub(super) compaction_in_bytes: AtomicU64,
    pub(super) compaction_out_bytes: AtomicU64,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.tree.path()).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in the configured directory, or creates it there.
    ///
    /// # Errors
    /// [`Error::Corrupt`], naming the file, when the directory holds a tree that is damaged; [`Error::Io`].
    pub fn open(config: StoreConfig) -> Result<Self> {
        let tree = Tree::open(&config)?;
        let seqno = tree.next_seqno();
        let source_row = tree.get(columns::STATE, seqno)?;
        let state = match source_row {
            Some(row) => State::decode(&row).ok_or_else(|| tree.undecodable(columns::STATE))?,
            None if maintenance::is_empty(&tree) => State::default(),
            None => {
                let detail = "expected a row with the applied position, found tables without one".to_owned();
                return Err(Error::Corrupt { path: tree.path(), detail });
            }
        };
        let view = ReadView { seqno, revision: state.revision, compacted: state.compacted };
        let applied = state.applied.clone();
        Ok(Self {
            unscanned: tree.impatient(),
            tree,
            coder: config.coder,
            gate: Gate::new(view),
            writer: Mutex::new(Writer { state, sealed: VecDeque::new(), scrubbed: 0 }),
            sealed: SealedTally::default(),
            flush_turn: Mutex::new(()),
            step_turn: Mutex::new(()),
            positions: RwLock::new(Positions { flushed: applied.clone(), applied }),
            leftovers: Mutex::new(Vec::new()),
            tallies: Tallies::default(),
            memtable_limit: config.memtable_bytes,
            memtable_bytes: AtomicU64::new(0),
            entry_weight: AtomicU64::new(0),
        })
    }

    /// Position of the last entry that was applied.
    #[must_use]
    pub fn applied(&self) -> Applied {
        self.positions.read().applied.clone()
    }

    /// Position whose state is in tables; a restart replays the log behind it.
    #[must_use]
    pub fn flushed(&self) -> Applied {
        self.positions.read().flushed.clone()
    }

    /// Applies one entry of the log. Its commands take effect in order, each seeing the ones before it, and
    /// become visible together, with the position. A command that is refused has an error in its place and
    /// changes nothing.
    ///
    /// # Errors
    /// The storage or the codec failed, or the codec refuses a key or value; then nothing of the entry was
    /// applied and it may be tried again.
    pub fn apply(&self, position: Applied, commands: &[Command]) -> Result<Vec<Result<Answer>>> {
        self.apply_prepared(position, commands, &[])
    }

    /// As [`Self::apply`], with what the codec made of the commands before, each in its command's place. The
    /// codec runs only on what that lacks.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn apply_prepared(
        &self,
        position: Applied,
        commands: &[Command],
        prepared: &[Option<Prepared>],
    ) -> Result<Vec<Result<Answer>>> {
        let stored = format::stored_commands(&self.coder, commands, prepared, Meter::Apply)?;
        let foreseen = |nth: usize| prepared.get(nth)?.as_ref()?.decoded_for(&self.coder);
        let mut writer = self.writer.lock();
        let mut draft = Draft::new(&self.unscanned, &self.coder, writer.state.clone());
        let answers = stored.iter().enumerate().map(|(nth, command)| draft.run(command, foreseen(nth)));
        let answers = answers.collect::<Result<Vec<_>>>()?;
        let (staged, mut state) = draft.finish();
        state.applied = position;
        let changes = staged.len();
        let written = self.commit(&mut writer, staged, state);
        self.entry_weight.store(weight::of_entry(changes, written), Ordering::Relaxed);
        self.tallies.commands.fetch_add(commands.len() as u64, Ordering::Relaxed);
        drop(writer);
        Ok(answers.into_iter().map(|answer| answer.map(|it| Answer::new(it, &self.coder))).collect())
    }

    /// What the last entry with commands weighed: bytes that it wrote into the memtable, and what their rows
    /// take beside. The caller keeps others from applying one meanwhile.
    #[must_use]
    pub fn entry_weight(&self) -> u64 {
        self.entry_weight.load(Ordering::Relaxed)
    }

    /// The format of keys and values.
    #[must_use]
    pub fn coder(&self) -> &Coder {
        &self.coder
    }

    /// Notes the position of an entry that holds no command.
    ///
    /// # Errors
    /// None at present.
    pub fn set_position(&self, position: Applied) -> Result<()> {
        let mut writer = self.writer.lock();
        let state = State { applied: position, ..writer.state.clone() };
        self.commit(&mut writer, Staged::new(), state);
        Ok(())
    }

    /// Inserts changes together with the state row, and lets readers see them. Returns the bytes written.
    pub(super) fn commit(&self, writer: &mut Writer, staged: Staged, state: State) -> u64 {
        let row = (bytes::Bytes::from_static(columns::STATE), Change::Put(state.encode()));
        let (written, size) = self.tree.insert(staged.into_iter().chain([row]));
        self.tallies.written_bytes.fetch_add(written, Ordering::Relaxed);
        self.memtable_bytes.store(size, Ordering::Relaxed);
        self.positions.write().applied = state.applied.clone();
        writer.state = state;
        self.publish(writer);
        written
    }

    /// Publishes everything written so far. The write lock is held, so nothing is half written.
    pub(super) fn publish(&self, writer: &Writer) {
        let (revision, compacted) = (writer.state.revision, writer.state.compacted);
        self.gate.publish(ReadView { seqno: self.tree.next_seqno(), revision, compacted });
    }

    /// The damaged file that errors of [`Self::apply`] or of reads of one key led to, as an error: those
    /// do not search for it. Reads all tables, if there is a reason to, once in some minutes at most.
    #[must_use]
    pub fn find_damage(&self) -> Option<Error> {
        self.tree.find_damage()
    }

    /// Current revision; 1 for an empty store.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.gate.view().revision
    }

    /// Oldest readable revision; 0 when nothing was compacted.
    #[must_use]
    pub fn compact_revision(&self) -> i64 {
        self.gate.view().compacted.max(0)
    }

    /// Whether the active memtable has reached the configured size.
    #[must_use]
    pub fn memtable_full(&self) -> bool {
        self.memtable_bytes.load(Ordering::Relaxed) >= self.memtable_limit
    }

    /// Seals the active memtable; `false` when it is empty. Waits for an entry that is being applied.
    ///
    /// # Errors
    /// None at present.
    pub fn seal(&self) -> Result<bool> {
        Ok(maintenance::seal(self))
    }

    /// Sealed memtables that wait for their flush.
    #[must_use]
    pub fn sealed_memtables(&self) -> usize {
        self.sealed.count()
    }

    /// Runs in level 0.
    #[must_use]
    pub fn l0_runs(&self) -> usize {
        maintenance::l0_runs(&self.tree)
    }

    /// Flushes the sealed memtables to a new run of level 0; `None` when there are none.
    ///
    /// # Errors
    /// [`Error::NoSpace`] or [`Error::Io`]; then the memtables stay and the flush may be tried again.
    /// [`Error::Busy`] when level 0 holds as many runs as the tree can count.
    pub fn flush(&self) -> Result<Option<Flushed>> {
        leftovers::guard(self, || maintenance::flush(self))
    }

    /// One small step of logical compaction: removes what up to `max_revisions` revisions below the compacted
    /// one superseded. Safe to stop and repeat at any point.
    ///
    /// # Errors
    /// The storage failed; nothing of the step was done.
    pub fn scrub(&self, max_revisions: usize) -> Result<ScrubProgress> {
        scrub::step(self, max_revisions)
    }

    /// The tree's present shape.
    #[must_use]
    pub fn shape(&self) -> TreeShape {
        maintenance::shape(self)
    }

    /// Judges a compaction step against the present shape and runs it.
    ///
    /// # Errors
    /// [`Error::IllegalStep`]; [`Error::NoSpace`], [`Error::Io`] and [`Error::Corrupt`], after which the tree
    /// is as before.
    pub fn run_step(&self, step: &Step) -> Result<StepOutcome> {
        leftovers::guard(self, || maintenance::run_step(self, step))
    }

    /// Counts since the store was opened.
    #[must_use]
    pub fn counters(&self) -> StoreCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreCounters {
            commands: read(&self.tallies.commands),
            written_bytes: read(&self.tallies.written_bytes),
            flushed_bytes: read(&self.tallies.flushed_bytes),
            compaction_in_bytes: read(&self.tallies.compaction_in_bytes),
            compaction_out_bytes: read(&self.tallies.compaction_out_bytes),
        }
    }

    /// Seals and flushes everything, so that the next open has nothing to replay.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub fn close(&self) -> Result<()> {
        self.seal()?;
        self.flush()?;
        Ok(())
    }
}
