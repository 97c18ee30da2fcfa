//! Size-tiered compaction, as `../SPEC.md` states it: rules give candidates, and the first that fits the free
//! disk is the answer.
//!
//! Everything here compiles natively, too; nothing knows of WebAssembly but the last line.

use mortise_guest::compaction::{CompactionStrategy, Decision, LEVELS, Step, View};
use mortise_guest::{Call, log};

const LAST: u8 = LEVELS - 1;
const LABEL_BYTES: usize = 64;

/// What an operator can set.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Runs of level 0 that make it full; 2 to 64.
    pub level0_runs: u64,
    /// An older level is similar up to so many hundredths of the younger; 100 to 1000.
    pub similar_percent: u64,
    /// Bytes above the last level, in hundredths of it, that make everything one run; 10 to 1000.
    pub max_space_percent: u64,
    /// Size that tables should have after everything was merged; 64 KiB to 1 GiB.
    pub table_bytes: u64,
    /// Milliseconds after which a step that found no room is tried again; up to a day.
    pub ask_again_ms: u64,
    /// Goes before every reason; at most 64 bytes.
    pub label: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            level0_runs: 4,
            similar_percent: 200,
            max_space_percent: 100,
            table_bytes: 64 << 20,
            ask_again_ms: 10_000,
            label: String::new(),
        }
    }
}

impl Config {
    fn check(&self) -> Result<(), String> {
        for (knob, found, least, greatest) in [
            ("level0_runs", self.level0_runs, 2, 64),
            ("similar_percent", self.similar_percent, 100, 1_000),
            ("max_space_percent", self.max_space_percent, 10, 1_000),
            ("table_bytes", self.table_bytes, 65_536, 1 << 30),
            ("ask_again_ms", self.ask_again_ms, 1, 86_400_000),
        ] {
            if !(least..=greatest).contains(&found) {
                return Err(format!("configuration: {knob} is {found}; expected {least} to {greatest}"));
            }
        }
        let bytes = self.label.len();
        if bytes > LABEL_BYTES {
            return Err(format!("configuration: label has {bytes} bytes; expected at most {LABEL_BYTES}"));
        }
        Ok(())
    }

    fn similar(&self, younger: u64, older: u64) -> bool {
        u128::from(older) * 100 <= u128::from(younger) * u128::from(self.similar_percent)
    }
}

/// A step that would improve the tree.
struct Candidate {
    step: Step,
    reason: String,
    reads: u64,
}

fn merge(view: &View, from: u8, to: u8, reason: String) -> Candidate {
    Candidate { step: Step::Merge { from, to }, reason, reads: bytes(view, from, to) }
}

/// Bytes of the levels from `from` to `to`.
fn bytes(view: &View, from: u8, to: u8) -> u64 {
    (from..=to).map(|level| view.level_bytes(level)).fold(0, u64::saturating_add)
}

/// The levels below 0 that hold something, from the top.
fn tiers(view: &View) -> impl DoubleEndedIterator<Item = u8> {
    (1..=LAST).filter(|level| view.runs(*level) > 0)
}

/// Size-tiered compaction.
#[derive(Clone, Copy, Debug)]
pub struct SizeTiered;

impl CompactionStrategy for SizeTiered {
    type Config = Config;

    fn decide(config: &Config, _call: &Call, view: &View) -> Result<Decision, String> {
        config.check()?;
        let wanted: Vec<Candidate> = crowded(view)
            .into_iter()
            .chain(sink(view))
            .chain(space(config, view))
            .chain(level0(config, view))
            .chain(similar_levels(config, view))
            .collect();
        let label = |reason: &str| match config.label.as_str() {
            "" => reason.to_owned(),
            label => format!("{label}: {reason}"),
        };
        if let Some(fitting) = wanted.iter().find(|candidate| candidate.reads <= view.free_disk) {
            return Ok(fitting.step.because(label(&fitting.reason)));
        }
        let Some(first) = wanted.first() else {
            return Ok(Step::WAIT.because(label("nothing to do")));
        };
        let reason = label(&format!("{} bytes need room and {} are free", first.reads, view.free_disk));
        log::warn(&reason);
        Ok(Step::Wait { ask_again_ms: Some(config.ask_again_ms) }.because(reason))
    }
}

/// A level below 0 has one run; another strategy may have left several.
fn crowded(view: &View) -> Option<Candidate> {
    let level = tiers(view).find(|level| view.runs(*level) > 1)?;
    Some(merge(view, level, level, format!("level {level} has {} runs", view.runs(level))))
}

/// A move costs nothing and leaves room above.
fn sink(view: &View) -> Option<Candidate> {
    let (from, to) = tiers(view)
        .rev()
        .filter(|level| view.runs(*level) == 1)
        .map(|from| (from, tiers(view).find(|level| *level > from).unwrap_or(LEVELS) - 1))
        .find(|(from, to)| to > from)?;
    let reason = format!("level {from} can sink to level {to}");
    Some(Candidate { step: Step::Move { from, to }, reason, reads: 0 })
}

/// Too much may be superseded above the last level.
fn space(config: &Config, view: &View) -> Option<Candidate> {
    let last = tiers(view).next_back()?;
    let (above, below) = (bytes(view, 0, last - 1), view.level_bytes(last));
    if u128::from(above) * 100 <= u128::from(below) * u128::from(config.max_space_percent) {
        return None;
    }
    let step = Step::Major { table_bytes: config.table_bytes };
    let reason = format!("{above} bytes lie above {below} in level {last}");
    Some(Candidate { step, reason, reads: bytes(view, 0, LAST) })
}

/// A full level 0 becomes a tier of its own, or joins the first when that is of similar size.
fn level0(config: &Config, view: &View) -> Option<Candidate> {
    let runs = view.runs(0) as u64;
    if runs < config.level0_runs.min(u64::from(view.guard_l0_runs).max(2)) {
        return None;
    }
    let reason = format!("level 0 has {runs} runs");
    let Some(first) = tiers(view).next() else {
        return Some(merge(view, 0, LAST, reason));
    };
    if config.similar(view.level_bytes(0), view.level_bytes(first)) {
        return Some(merge(view, 0, first, reason));
    }
    if first > 1 { Some(merge(view, 0, first - 1, reason)) } else { make_room(view) }
}

/// Every level is taken: the two neighbours that differ the least become one.
fn make_room(view: &View) -> Option<Candidate> {
    let size = |level: u8| u128::from(view.level_bytes(level).max(1));
    let neighbours = (1..LAST).filter(|level| view.runs(*level) > 0 && view.runs(level + 1) > 0);
    // Of equals the first one stays.
    let level = neighbours.reduce(|best, level| {
        let closer = size(level + 1) * size(best) < size(best + 1) * size(level);
        if closer { level } else { best }
    })?;
    Some(merge(view, level, level + 1, format!("levels {level} and {} make room", level + 1)))
}

/// Tiers that have become similar are merged, from the top, where it costs the least.
fn similar_levels(config: &Config, view: &View) -> Option<Candidate> {
    let (level, below) = tiers(view)
        .zip(tiers(view).skip(1))
        .find(|(level, below)| config.similar(view.level_bytes(*level), view.level_bytes(*below)))?;
    Some(merge(view, level, below, format!("levels {level} and {below} are similar")))
}

mortise_guest::export_compaction_strategy!(SizeTiered);
