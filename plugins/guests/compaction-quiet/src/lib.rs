//! Levelled compaction that yields to writers.
//!
//! While clients write fast, a compaction competes with them for the disk. This strategy does what
//! `compaction-leveled` would do, but puts it off while the write rate is high, until waiting costs too much:
//! level 0 has so many runs that reads suffer or that the host would step in, a level has outgrown its target
//! so far that merging into it is dear, too much space is taken by superseded data, or the disk is filling
//! up, where compaction gives space back.

use mortise_guest::Call;
use mortise_guest::compaction::{CompactionStrategy, Decision, Knobs, Step, View};

/// The knobs of this strategy.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Bytes per second written by clients above which compaction is put off.
    pub busy_write_rate: u64,
    /// Runs in level 0 that end the patience; at least `l0_threshold`.
    pub max_l0_runs: u8,
    /// Bytes above the last level, in hundredths of that level, that end the patience.
    pub max_space_percent: u64,
    /// Size of a level, in hundredths of its target, that ends the patience: an overgrown level makes every
    /// merge into it dear.
    pub max_level_percent: u64,
    /// Free bytes on disk below which compaction is not put off.
    pub min_free_disk: u64,
    /// Milliseconds after which a postponed step is considered again.
    pub ask_again_ms: u64,
    /// Runs in level 0 that make a compaction due; 1 to 255.
    pub l0_threshold: u8,
    /// Size ratio between neighbouring levels; 2 to 100.
    pub level_ratio: f32,
    /// Size that tables should have, in bytes; 64 KiB to 1 GiB.
    pub table_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            busy_write_rate: 8 << 20,
            max_l0_runs: 16,
            max_space_percent: 100,
            max_level_percent: 200,
            min_free_disk: 2 << 30,
            ask_again_ms: 1_000,
            l0_threshold: 4,
            level_ratio: 10.0,
            table_bytes: 64 << 20,
        }
    }
}

impl Config {
    fn knobs(&self) -> Result<Knobs, String> {
        let Self { l0_threshold, level_ratio, table_bytes, max_l0_runs, .. } = *self;
        let knobs = Knobs { l0_threshold, level_ratio, table_bytes };
        knobs.check().map_err(|illegal| {
            format!(
                "configuration: {illegal}; expected l0_threshold 1 to 255, level_ratio 2 to 100, \
                 table_bytes 65536 to 1073741824"
            )
        })?;
        if max_l0_runs < l0_threshold {
            return Err(format!(
                "configuration: max_l0_runs is {max_l0_runs}, below l0_threshold, which is {l0_threshold}; \
                 raise it"
            ));
        }
        if self.ask_again_ms == 0 {
            return Err("configuration: ask_again_ms is 0; expected at least 1".to_owned());
        }
        Ok(knobs)
    }

    /// Why waiting would cost more than disturbing the writers, if it would.
    fn urgency(&self, knobs: &Knobs, view: &View) -> Option<&'static str> {
        let reasons = [
            (view.level0_runs() >= usize::from(self.max_l0_runs), "level 0 has max_l0_runs"),
            // The host would take a step of its own at the next flush, with its own knobs.
            (view.level0_runs() > 0 && view.runs_to_guard() == 0, "level 0 is at the guard rail"),
            (view.space_percent() > self.max_space_percent, "superseded data exceeds max_space_percent"),
            (view.free_disk < self.min_free_disk, "the disk has less than min_free_disk"),
            (knobs.overfull_percent(view) > self.max_level_percent, "a level exceeds max_level_percent"),
        ];
        reasons.into_iter().find_map(|(holds, reason)| holds.then_some(reason))
    }
}

/// Levelled compaction that yields to writers.
#[derive(Clone, Copy, Debug)]
pub struct Quiet;

impl CompactionStrategy for Quiet {
    type Config = Config;

    fn decide(config: &Config, _call: &Call, view: &View) -> Result<Decision, String> {
        let knobs = config.knobs()?;
        let step = match view.crowded_level() {
            Some(level) => Step::Merge { from: level, to: level },
            None if knobs.work(view).is_some() => Step::Partial(knobs),
            None => return Ok(Step::WAIT.into()),
        };
        if view.write_rate <= config.busy_write_rate {
            return Ok(step.because("writes are calm"));
        }
        if let Some(reason) = config.urgency(&knobs, view) {
            return Ok(step.because(reason));
        }
        let later = Step::Wait { ask_again_ms: Some(config.ask_again_ms) };
        Ok(later.because(format!("a step is due; {} MiB/s are written", view.write_rate >> 20)))
    }
}

mortise_guest::export_compaction_strategy!(Quiet);
