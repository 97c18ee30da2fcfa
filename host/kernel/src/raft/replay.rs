//! Applies the log to a store that does not serve, and exchanges it for the one that does.
//!
//! Only entries that the serving store has applied are replayed: those are committed and stay as they are.
//! Replaying gives no answers; whoever waited for an entry got its answer from the store that served.

use std::sync::Arc;
use std::time::Duration;

use openraft::EntryPayload;
use tokio::time::Instant;

use super::applier::{Applier, stored_bytes};
use super::machine::Machine;
use super::storage::LogStorage;
use super::types::Entry;
use crate::store::Served;
use crate::{Error, Result, kv};

/// Bytes of entries that are read from the log at a time.
const PORTION_BYTES: usize = 1024 * 1024;

/// How much may be applied while apply is held.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most entries.
    pub entries: u64,
    /// Most bytes of entries.
    pub bytes: u64,
    /// Most that they may weigh together (see [`crate::store::Store::entry_weight`]).
    pub weight: u64,
}

/// Why apply was not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// More is left than may be applied, in number or bytes.
    Many,
    /// An entry is left that is too much by itself: it is large, it moves much, or the codec runs for it.
    Heavy,
}

/// A store that was not exchanged: it follows on.
#[derive(Debug)]
pub struct Postponed {
    /// The store that follows.
    pub replay: Replay,
    /// Why.
    pub excess: Excess,
}

/// What happened while apply was held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// Entries applied.
    pub entries: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// For how long.
    pub held: Duration,
}

/// A store that follows the log behind the one that serves.
pub struct Replay {
    machine: Arc<Machine>,
    storage: LogStorage,
    store: Arc<Served>,
    applier: Applier,
    /// Whether ranges of keys mean here what they meant to the store that served them.
    same_order: bool,
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").field("applied", &self.store.applied().index).finish_non_exhaustive()
    }
}

impl Replay {
    pub(super) fn new(machine: Arc<Machine>, storage: LogStorage, store: Arc<Served>) -> Result<Self> {
        let applier = Applier::new(&store)?;
        let same_order = machine.orders_like(store.coder());
        Ok(Self { machine, storage, store, applier, same_order })
    }

    /// The store that follows.
    #[must_use]
    pub fn store(&self) -> &Arc<Served> {
        &self.store
    }

    /// Whether ranges of keys mean here what they mean to the store that serves.
    #[must_use]
    pub fn keeps_order(&self) -> bool {
        self.same_order
    }

    /// Index that the serving store has applied.
    #[must_use]
    pub fn target(&self) -> u64 {
        self.machine.applied_index()
    }

    /// Entries that the serving store has applied and this one has not.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.target().saturating_sub(self.store.applied().index)
    }

    /// Applies a portion of the entries up to `target`, and returns how many and of how many bytes.
    /// Blocking. `each` is called after every entry and may end the replay.
    ///
    /// # Errors
    /// Entries are missing or cannot be read; the store failed; [`Error::FailedPrecondition`] for an entry
    /// that means something else in the order of this store's format; or what `each` answers. Nothing of the
    /// entry under way was applied then.
    pub fn step(&mut self, target: u64, mut each: impl FnMut() -> Result<()>) -> Result<(u64, u64)> {
        let applied = self.store.applied().index;
        let target = target.min(self.target());
        if applied >= target {
            return Ok((0, 0));
        }
        let entries = self.storage.read(applied + 1..target + 1, PORTION_BYTES)?;
        if entries.first().map(|entry| entry.log_id.index) != Some(applied + 1) {
            return Err(Error::Internal(format!(
                "the log was expected to hold entry {} for another store, its first one is {:?}",
                applied + 1,
                entries.first().map(|entry| entry.log_id.index)
            )));
        }
        let (mut count, mut bytes) = (0, 0);
        for entry in entries {
            self.check_order(&entry)?;
            self.applier.apply(&self.store, &entry)?;
            count += 1;
            bytes += stored_bytes(&entry) as u64;
            each()?;
        }
        Ok((count, bytes))
    }

    /// Refuses an entry that would do here something else than it did where it was acknowledged.
    fn check_order(&self, entry: &Entry) -> Result<()> {
        match &entry.payload {
            EntryPayload::Normal(batch)
                if !self.same_order && batch.commands().iter().any(kv::depends_on_order) =>
            {
                Err(Error::FailedPrecondition(format!(
                    "entry {} of the log deletes or compares a range of keys, which holds other keys in the \
                     order of format {}; nothing was changed: repeat this when no such request comes meanwhile, \
                     or, on a way back, which meets it each time, convert in the other direction instead",
                    entry.log_id.index,
                    self.store.coder().format()
                )))
            }
            _ => Ok(()),
        }
    }

    /// Holds apply, applies what is left, calls `flip` and lets this store serve; [`Postponed`], and nothing
    /// changed, when more was left than `limits` allow. What is left was applied by the store that serves, so
    /// that its weight is known and nothing has to be tried.
    ///
    /// `flip` makes the exchange visible on disk. Once it has succeeded, nothing can fail any more.
    ///
    /// # Errors
    /// Applying or `flip` failed; the other store serves on.
    pub async fn exchange(
        self,
        limits: Limits,
        flip: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Result<Result<(Exchange, Arc<Served>), Postponed>> {
        let turn = self.machine.take_turn().await;
        let started = Instant::now();
        let done = tokio::task::spawn_blocking(move || {
            let mut this = self;
            let mut exchange = match this.apply_rest(limits, &turn)? {
                Ok(exchange) => exchange,
                Err(excess) => return Ok(Err(Postponed { replay: this, excess })),
            };
            flip()?;
            let previous = this.machine.exchange(Arc::clone(&this.store));
            drop(turn);
            exchange.held = started.elapsed();
            Ok(Ok((exchange, previous)))
        });
        done.await.unwrap_or_else(|error| Err(Error::Internal(format!("a switch ended early: {error}"))))
    }

    /// Applies what is left, if the limits allow it. The caller holds apply, which is `serving`.
    fn apply_rest(&mut self, limits: Limits, serving: &Applier) -> Result<Result<Exchange, Excess>> {
        let (applied, target) = (self.store.applied().index, self.target());
        let mut exchange = Exchange { entries: self.lag(), ..Exchange::default() };
        if exchange.entries > limits.entries {
            return Ok(Err(Excess::Many));
        }
        let weight = serving.weight_behind(applied, target);
        if weight.is_none_or(|weight| weight > limits.weight) {
            return Ok(Err(Excess::Heavy));
        }
        let rest = self.storage.read(applied + 1..target + 1, usize::MAX)?;
        exchange.bytes = rest.iter().map(|entry| stored_bytes(entry) as u64).sum();
        if rest.iter().any(|entry| stored_bytes(entry) as u64 > limits.bytes || self.decodes_for(entry)) {
            return Ok(Err(Excess::Heavy));
        }
        if exchange.bytes > limits.bytes {
            return Ok(Err(Excess::Many));
        }
        while self.step(u64::MAX, || Ok(()))?.0 > 0 {}
        Ok(Ok(exchange))
    }

    /// Whether applying an entry may take a codec that decodes values of other keys, as many as there are.
    fn decodes_for(&self, entry: &Entry) -> bool {
        match &entry.payload {
            EntryPayload::Normal(batch) => {
                !self.store.coder().is_natural() && batch.commands().iter().any(kv::orders_values)
            }
            _ => false,
        }
    }
}
