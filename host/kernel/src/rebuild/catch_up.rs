//! The second phase: the entries of the log that came since the copy, round after round.
//!
//! Each round goes up to where the serving store stood when the round began. Rounds get shorter as long as
//! the new store is faster than the writers, which it is by nature: it waits for no disk. Should writers be
//! faster nevertheless, they are slowed a degree at a time until it gains on them.
//!
//! An entry that moves much is never left to the switch. Where one follows the other, there is always one
//! left, unless writers pause for as long as catching up with one takes: so for these the degrees go
//! further, up to a pause of some seconds. It ends with the switch.

use std::sync::Arc;

use tokio::sync::watch;

use super::site::Site;
use super::{Cancel, Progress, SWITCH_ENTRIES};
use crate::Result;
use crate::raft::{Excess, LogHold, Replay};
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
/// Most degrees while entries are left that a switch may not apply. The heaviest that is let in moves some
/// hundred MiB, which takes a few seconds.
const MOST_DEGREES_FOR_HEAVY: u8 = 14;

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
                self.slow_down(after, Excess::Many);
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
    pub(super) fn switch_refused(&mut self, lag: u64, excess: Excess) {
        tracing::info!(volume = self.site.label(), lag, ?excess, "a switch is put off for another round");
        if self.slowdown.gained_little(lag, lag) {
            self.slow_down(lag, excess);
        }
    }

    fn slow_down(&mut self, lag: u64, excess: Excess) {
        let degree = self.slowdown.more(excess);
        tracing::warn!(
            volume = self.site.label(),
            lag,
            degree,
            ?excess,
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

    /// One degree more, where there is one; never less.
    fn more(&mut self, excess: Excess) -> u8 {
        let most = match excess {
            Excess::Many => MOST_DEGREES,
            Excess::Heavy => MOST_DEGREES_FOR_HEAVY,
        };
        self.vain = 0;
        if self.degree < most {
            self.degree += 1;
        }
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
        assert_eq!(slowdown.more(Excess::Many), 1);
        assert!(!slowdown.gained_little(100, 100));
        for _ in 0..20 {
            slowdown.more(Excess::Many);
        }
        assert_eq!(slowdown.degree, MOST_DEGREES);
    }

    #[test]
    fn heavy_entries_slow_writers_further_and_nothing_takes_that_back() {
        let mut slowdown = Slowdown::default();
        for degree in 1..=MOST_DEGREES_FOR_HEAVY {
            assert_eq!(slowdown.more(Excess::Heavy), degree);
        }
        assert_eq!(slowdown.more(Excess::Heavy), MOST_DEGREES_FOR_HEAVY);
        assert_eq!(slowdown.more(Excess::Many), MOST_DEGREES_FOR_HEAVY);
    }
}
