//! Size-tiered compaction.
//!
//! Runs of similar size are merged, so that an entry is rewritten only when it joins as much data as it lies
//! in already: little write amplification, at the price of more runs to search and more superseded data.
//!
//! The tree's levels below 0 each hold one run, so a tier is a level: runs grow in size from level 1 down,
//! packed against the last level. Level 0 collects flushed runs until there are `l0_runs` of them; together
//! they then become one run, in the free level above the others or merged with the first of them when that
//! one is of similar size. Neighbouring runs that have become similar are merged, and everything is when the
//! runs above the last one exceed `max_space_percent` of it. Each step either merges runs, so that there
//! are fewer, or moves one down, so the tree always comes to rest.

use mortise_guest::Call;
use mortise_guest::compaction::{CompactionStrategy, Decision, LEVELS, Step, TABLE_BYTES, View};

const LAST: u8 = LEVELS - 1;

/// The knobs of this strategy.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Runs that level 0 collects before they become one; 2 to 64.
    pub l0_runs: u8,
    /// Two runs are similar when the older is at most so many hundredths of the younger; 100 to 1000.
    pub similar_percent: u64,
    /// Bytes above the last run, in hundredths of it, that make everything one run; 10 to 1000.
    pub max_space_percent: u64,
    /// Milliseconds after which a step that doesn't fit the free disk is considered again; at least 1.
    pub ask_again_ms: u64,
    /// Size that tables should have after everything was merged, in bytes; 64 KiB to 1 GiB.
    pub table_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            l0_runs: 4,
            similar_percent: 200,
            max_space_percent: 100,
            ask_again_ms: 10_000,
            table_bytes: 64 << 20,
        }
    }
}

impl Config {
    fn check(&self) -> Result<(), String> {
        let knobs = [
            ("l0_runs", u64::from(self.l0_runs), 2..=64),
            ("similar_percent", self.similar_percent, 100..=1000),
            ("max_space_percent", self.max_space_percent, 10..=1000),
            ("ask_again_ms", self.ask_again_ms, 1..=u64::MAX),
            ("table_bytes", self.table_bytes, TABLE_BYTES),
        ];
        for (knob, found, allowed) in knobs {
            if !allowed.contains(&found) {
                let (min, max) = (allowed.start(), allowed.end());
                return Err(format!("configuration: {knob} is {found}; expected {min} to {max}"));
            }
        }
        Ok(())
    }

    /// Whether an older run of `older` bytes is not much larger than a younger one.
    fn similar(&self, younger: u64, older: u64) -> bool {
        u128::from(older) * 100 <= u128::from(younger) * u128::from(self.similar_percent)
    }
}

/// Size-tiered compaction.
#[derive(Clone, Copy, Debug)]
pub struct Tiered;

impl CompactionStrategy for Tiered {
    type Config = Config;

    fn decide(config: &Config, _call: &Call, view: &View) -> Result<Decision, String> {
        config.check()?;
        // A merge needs room for its result before its inputs go.
        let fits = |(step, _): &(Step, _)| bytes_read(view, step) <= view.free_disk;
        let mut wanted = steps(config, view).peekable();
        if wanted.peek().is_none() {
            return Ok(Step::WAIT.into());
        }
        let later = (Step::Wait { ask_again_ms: Some(config.ask_again_ms) }, "no step fits the free disk");
        let (step, reason) = wanted.find(fits).unwrap_or(later);
        Ok(step.because(reason))
    }
}

/// The steps that would improve the tree and why, the most wanted first.
fn steps<'a>(config: &'a Config, view: &'a View) -> impl Iterator<Item = (Step, &'static str)> + 'a {
    let because = |step: Option<Step>, reason| step.map(|step| (step, reason));
    because(crowded(view), "a level below 0 has several runs")
        .into_iter()
        .chain(because(settle(view), "the level below is free"))
        .chain(because(bound_space(config, view), "superseded data exceeds max_space_percent"))
        .chain(because(empty_level0(config, view), "level 0 has l0_runs"))
        .chain(because(similar_neighbours(config, view), "neighbouring runs are of similar size"))
}

/// A level below 0 has one run; another strategy may have left several.
fn crowded(view: &View) -> Option<Step> {
    view.crowded_level().map(|level| Step::Merge { from: level, to: level })
}

/// Runs move down as far as they can, which costs nothing and leaves room above them.
fn settle(view: &View) -> Option<Step> {
    (1..LAST).rev().filter(|level| view.runs(*level) == 1).find_map(|from| {
        let to = view.sinks_to(from);
        (to > from).then_some(Step::Move { from, to })
    })
}

/// Everything becomes one run when too much lies above the last one.
fn bound_space(config: &Config, view: &View) -> Option<Step> {
    let grown = view.filled().next_back()? > 0 && view.space_percent() > config.max_space_percent;
    grown.then_some(Step::Major { table_bytes: config.table_bytes })
}

/// A full level 0 becomes one run of the level above the first run below, or joins that run.
fn empty_level0(config: &Config, view: &View) -> Option<Step> {
    if view.level0_runs() < usize::from(config.l0_runs) {
        return None;
    }
    let Some(first) = view.filled().find(|level| *level > 0) else {
        return Some(Step::Merge { from: 0, to: LAST });
    };
    if first > 1 && !config.similar(view.level_bytes(0), view.level_bytes(first)) {
        return Some(Step::Merge { from: 0, to: first - 1 });
    }
    if first == 1 && !config.similar(view.level_bytes(0), view.level_bytes(1)) {
        // Every level is taken: the two neighbours that differ the least make room.
        return closest_neighbours(view).map(|from| Step::Merge { from, to: from + 1 });
    }
    Some(Step::Merge { from: 0, to: first })
}

/// Neighbours that have become similar are merged, from the top, where it costs the least.
fn similar_neighbours(config: &Config, view: &View) -> Option<Step> {
    pairs(view)
        .find(|(from, to)| config.similar(view.level_bytes(*from), view.level_bytes(*to)))
        .map(|(from, to)| Step::Merge { from, to })
}

fn closest_neighbours(view: &View) -> Option<u8> {
    let ratio = |level: u8| {
        let younger = u128::from(view.level_bytes(level).max(1));
        u128::from(view.level_bytes(level + 1)) * 1024 / younger
    };
    pairs(view).filter(|(from, to)| *to == from + 1).map(|(from, _)| from).min_by_key(|from| ratio(*from))
}

/// Filled levels below 0 and the next filled level below each.
fn pairs(view: &View) -> impl Iterator<Item = (u8, u8)> + '_ {
    let filled = || view.filled().filter(|level| *level > 0);
    filled().zip(filled().skip(1))
}

/// Bytes that a step rewrites.
fn bytes_read(view: &View, step: &Step) -> u64 {
    match *step {
        Step::Merge { from, to } => {
            (from..=to).map(|level| view.level_bytes(level)).fold(0, u64::saturating_add)
        }
        Step::Major { .. } => view.bytes(),
        Step::Wait { .. } | Step::Partial(_) | Step::Move { .. } => 0,
    }
}

mortise_guest::export_compaction_strategy!(Tiered);
