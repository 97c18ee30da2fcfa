//! Levelled compaction, the default strategy.
//!
//! Level 0 collects flushed runs; every other level is one sorted run, and each may be `level_ratio` times
//! larger than the one above. When level 0 has enough runs, or a level has outgrown its target, the host does
//! one levelled step with these knobs. Reads search few runs and little space is wasted; the price is that an
//! entry is rewritten about `level_ratio` times for each level that it sinks through.

use mortise_guest::Call;
use mortise_guest::compaction::{CompactionStrategy, Decision, Knobs, Step, View, Work};

/// The knobs of this strategy.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Runs in level 0 that start a compaction; 1 to 255.
    pub l0_threshold: u8,
    /// Size ratio between neighbouring levels; 2 to 100.
    pub level_ratio: f32,
    /// Size that tables should have, in bytes; 64 KiB to 1 GiB.
    pub table_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { l0_threshold: 4, level_ratio: 10.0, table_bytes: 64 << 20 }
    }
}

/// Levelled compaction.
#[derive(Clone, Copy, Debug)]
pub struct Leveled;

impl CompactionStrategy for Leveled {
    type Config = Config;

    fn decide(config: &Config, _call: &Call, view: &View) -> Result<Decision, String> {
        let Config { l0_threshold, level_ratio, table_bytes } = *config;
        let knobs = Knobs { l0_threshold, level_ratio, table_bytes };
        knobs.check().map_err(|illegal| {
            format!(
                "configuration: {illegal}; expected l0_threshold 1 to 255, level_ratio 2 to 100, \
                 table_bytes 65536 to 1073741824"
            )
        })?;
        if let Some(level) = view.crowded_level() {
            let runs = view.runs(level);
            return Ok(
                Step::Merge { from: level, to: level }.because(format!("level {level} has {runs} runs"))
            );
        }
        Ok(match knobs.work(view) {
            None => Step::WAIT.into(),
            Some(Work::Level0 { runs }) => {
                Step::Partial(knobs).because(format!("level 0 has {runs} runs, threshold {l0_threshold}"))
            }
            Some(Work::TooLarge { level, bytes, target }) => {
                let why = format!("level {level} has {} MiB, target {} MiB", bytes >> 20, target >> 20);
                Step::Partial(knobs).because(why)
            }
        })
    }
}

mortise_guest::export_compaction_strategy!(Leveled);
