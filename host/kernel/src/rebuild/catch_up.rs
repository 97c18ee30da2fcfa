//! The second phase: the entries of the log that came since the copy, round after round.
//!
//! Each round goes up to where the serving store stood when the round began. Rounds get shorter as long as
//! the new store is faster than the writers, which it is by nature: it waits for no disk. Should writers be
//! faster nevertheless, they are slowed a degree at a time until it gains on them.

use std::sync::Arc;

use tokio::sync::watch;

use super::site::Site;
use super::{Cancel, Progress, SWITCH_ENTRIES};
use crate::Result;
use crate::raft::{LogHold, Replay};
use crate::seams::fault::{Point, pass};
use crate::store::{Step, Store};

/// Size of the new store's memtable from which it is flushed meanwhile.
const MEMTABLE_BYTES: u64 = 8 * 1024 * 1024;
/// Runs in level 0 of the new store from which they are merged meanwhile.
const MERGE_RUNS: usize = 8;
const TABLE_BYTES: u64 = 64 * 1024 * 1024;
/// Rounds in a row that gained too little before writers are slowed by a degree.
const PATIENCE: u32 = 2;
/// Most degrees.
const MOST_DEGREES: u8 = 7;

/// The second phase.
pub(super) struct CatchUp {
    pub(super) site: Arc<dyn Site>,
    pub(super) cancel: Cancel,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) slowdown: Slowdown,
}

impl CatchUp {
    /// Applies entries, round after round, until few are left.
    pub(super) fn run(&mut self, replay: &mut Replay, hold: &LogHold) -> Result<()> {
        loop {
            self.cancel.check()?;
            let before = replay.lag();
            self.round(replay, hold)?;
            let after = replay.lag();
            self.report(after, 1);
            if after <= SWITCH_ENTRIES {
                return Ok(());
            }
            if self.slowdown.gained_little(before, after) {
                self.slow_down(after);
            }
        }
    }

    /// Flushes the new store, so that a restart after the switch has little to replay.
    pub(super) fn flush(&self, replay: &Replay, hold: &LogHold) -> Result<()> {
        self.site.check_room(replay.store().memtable_bytes())?;
        flush(replay.store())?;
        hold.advance(replay.store().flushed());
        Ok(())
    }

    fn round(&mut self, replay: &mut Replay, hold: &LogHold) -> Result<()> {
        let target = replay.target();
        loop {
            let cancel = &self.cancel;
            let (entries, _) = replay.step(target, || {
                pass(Point::RebuildCatchUpMiddle)?;
                cancel.check()
            })?;
            if entries == 0 {
                return Ok(());
            }
            self.progress.send_modify(|progress| progress.entries += entries);
            self.report(replay.lag(), 0);
            if replay.store().memtable_bytes() >= MEMTABLE_BYTES {
                self.flush(replay, hold)?;
            }
        }
    }

    fn report(&self, lag: u64, rounds: u32) {
        let slows_writers = self.slowdown.degree > 0;
        self.progress.send_modify(|progress| {
            progress.lag_entries = lag;
            progress.rounds += rounds;
            progress.slows_writers = slows_writers;
            progress.remaining = None;
        });
    }

    /// More was left than fits into a switch, although little was left a moment before.
    pub(super) fn switch_refused(&mut self, lag: u64) {
        if self.slowdown.gained_little(lag, lag) {
            self.slow_down(lag);
        }
    }

    fn slow_down(&mut self, lag: u64) {
        let degree = self.slowdown.more();
        tracing::warn!(
            volume = self.site.label(),
            lag,
            degree,
            "writers outrun the rebuild and are slowed until it has caught up"
        );
        metrics::counter!("mortise_rebuild_slowdowns_total", "volume" => self.site.label().to_owned())
            .increment(1);
        self.site.slow_writers(degree);
    }
}

fn flush(store: &Store) -> Result<()> {
    store.seal()?;
    store.flush()?;
    if store.l0_runs() >= MERGE_RUNS {
        let l0_threshold = MERGE_RUNS as u8 / 2;
        store.run_step(&Step::Partial { l0_threshold, level_ratio: 8.0, table_bytes: TABLE_BYTES })?;
    }
    Ok(())
}

/// Decides when writers are slowed, and how much.
#[derive(Debug, Default)]
pub(super) struct Slowdown {
    /// Rounds in a row that gained too little.
    vain: u32,
    /// How much writers are slowed; 0 not at all.
    degree: u8,
}

impl Slowdown {
    /// Whether yet another round that left `after` of `before` entries is one too many. A round has to halve
    /// what is left.
    fn gained_little(&mut self, before: u64, after: u64) -> bool {
        self.vain = if after > before / 2 { self.vain + 1 } else { 0 };
        self.vain >= PATIENCE
    }

    /// One degree more.
    fn more(&mut self) -> u8 {
        self.vain = 0;
        self.degree = (self.degree + 1).min(MOST_DEGREES);
        self.degree
    }

    /// Whether writers were slowed.
    pub(super) fn was_used(&self) -> bool {
        self.degree > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_that_halve_the_rest_slow_nobody() {
        let mut slowdown = Slowdown::default();
        for before in [1000, 500, 250, 125] {
            assert!(!slowdown.gained_little(before, before / 2));
        }
        assert!(!slowdown.was_used());
    }

    #[test]
    fn rounds_in_vain_slow_writers_more_and_more_and_a_good_one_forgives() {
        let mut slowdown = Slowdown::default();
        assert!(!slowdown.gained_little(100, 90));
        assert!(!slowdown.gained_little(90, 10));
        assert!(!slowdown.gained_little(100, 100));
        assert!(slowdown.gained_little(100, 100));
        assert_eq!(slowdown.more(), 1);
        assert!(!slowdown.gained_little(100, 100));
        for _ in 0..20 {
            slowdown.more();
        }
        assert_eq!(slowdown.degree, MOST_DEGREES);
    }
}
