//! A model of a tree that carries steps out on sizes alone.
//!
//! Keys are spread evenly over a key space that holds `live_bytes` when every key has been written once, so a
//! merge of runs that cover shares `a` and `b` of the key space gives a run that covers `a + b - ab`. That is
//! enough to see what a policy does to read, write and space amplification; it is not lsm-tree.

use crate::Random;
use crate::compaction::{Illegal, Knobs, LEVELS, Level, Run, Step, Table, View, Work};

/// Sizes of a tree, and what was written into it.
///
/// ```
/// use mortise_guest::compaction::Step;
/// use mortise_guest::testkit::Model;
///
/// let mut model = Model::new(1 << 30);
/// model.flush(512 << 20);
/// model.flush(512 << 20);
/// // Each run covers half of the keys, so that a quarter of them is in both.
/// assert!(model.space_amplification() > 1.3);
/// model.apply(&Step::Major { table_bytes: 64 << 20 }).unwrap();
/// assert_eq!(model.space_amplification(), 1.0);
/// ```
#[derive(Clone, Debug)]
pub struct Model {
    live_bytes: f64,
    levels: Vec<Vec<f64>>,
    flushed: f64,
    rewritten: f64,
}

/// What a simulation has seen.
///
/// ```
/// use mortise_guest::Random;
/// use mortise_guest::compaction::Step;
/// use mortise_guest::testkit::{Model, simulate};
///
/// // A policy that always waits writes nothing twice, and every read searches every run.
/// let mut model = Model::new(1 << 30);
/// let report = simulate(&mut model, &mut Random::new(1), 10, 1 << 20, |_| Ok(Step::WAIT)).unwrap();
/// assert_eq!((report.steps, report.level0_runs, report.runs), (0, 10, 10));
/// assert_eq!(report.write_amplification, 1.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// Steps that changed the tree.
    pub steps: u64,
    /// Most runs of level 0 after the policy had waited.
    pub level0_runs: usize,
    /// Most runs of the whole tree after the policy had waited.
    pub runs: usize,
    /// Bytes written to disk for each byte flushed, the flush itself included.
    pub write_amplification: f64,
    /// Largest ratio of bytes on disk to live bytes after the policy had waited, once the tree held a quarter
    /// of its key space.
    pub space_amplification: f64,
}

impl Model {
    /// An empty tree whose key space holds `live_bytes`.
    ///
    /// ```
    /// use mortise_guest::testkit::Model;
    ///
    /// let model = Model::new(1 << 30);
    /// assert_eq!(model.view(64 << 20).bytes(), 0);
    /// ```
    #[must_use]
    pub fn new(live_bytes: u64) -> Self {
        let levels = vec![Vec::new(); usize::from(LEVELS)];
        Self { live_bytes: live_bytes.max(1) as f64, levels, flushed: 0.0, rewritten: 0.0 }
    }

    /// Adds a run of `bytes` to level 0.
    ///
    /// ```
    /// use mortise_guest::testkit::Model;
    ///
    /// let mut model = Model::new(1 << 30);
    /// model.flush(4 << 20);
    /// model.flush(2 << 20);
    /// let tree = model.view(64 << 20);
    /// assert_eq!(tree.levels[0].runs[0].bytes(), 2 << 20, "the newest run comes first");
    /// ```
    pub fn flush(&mut self, bytes: u64) {
        let bytes = (bytes as f64).min(self.live_bytes);
        self.flushed += bytes;
        self.levels[0].insert(0, bytes);
    }

    /// The tree as a policy sees it: level 0 has one table a run, other levels have tables of at most
    /// `table_bytes`.
    ///
    /// ```
    /// use mortise_guest::compaction::Step;
    /// use mortise_guest::testkit::Model;
    ///
    /// let mut model = Model::new(1 << 30);
    /// model.flush(256 << 20);
    /// assert_eq!(model.view(64 << 20).levels[0].tables(), 1);
    /// model.apply(&Step::Move { from: 0, to: 6 }).unwrap();
    /// assert_eq!(model.view(64 << 20).levels[6].tables(), 4);
    /// ```
    #[must_use]
    pub fn view(&self, table_bytes: u64) -> View {
        let mut id = 0;
        let mut table = |bytes: f64| {
            id += 1;
            let bytes = bytes as u64;
            Table {
                id,
                bytes,
                entries: bytes / 100 + 1,
                tombstones: 0,
                max_seqno: 0,
                min_key: vec![],
                max_key: vec![],
            }
        };
        let levels = self.levels.iter().enumerate().map(|(level, runs)| {
            let runs = runs.iter().map(|bytes| {
                let count =
                    if level == 0 { 1.0 } else { (bytes / table_bytes.max(1) as f64).ceil().max(1.0) };
                Run { tables: (0..count as usize).map(|_| table(bytes / count)).collect() }
            });
            Level { runs: runs.collect() }
        });
        View {
            levels: levels.collect(),
            memtable_bytes: 0,
            write_rate: 0,
            free_disk: u64::MAX,
            guard_l0_runs: 20,
            previous: None,
        }
    }

    /// Carries a step out. Returns whether it changed the tree.
    ///
    /// ```
    /// use mortise_guest::compaction::{Illegal, Step};
    /// use mortise_guest::testkit::Model;
    ///
    /// let mut model = Model::new(1 << 30);
    /// model.flush(1 << 20);
    /// assert_eq!(model.apply(&Step::WAIT), Ok(false));
    /// assert_eq!(model.apply(&Step::Move { from: 1, to: 2 }), Err(Illegal::EmptySource(1)));
    /// assert_eq!(model.apply(&Step::Move { from: 0, to: 6 }), Ok(true));
    /// ```
    ///
    /// # Errors
    /// The rule that the step breaks.
    pub fn apply(&mut self, step: &Step) -> Result<bool, Illegal> {
        let view = self.view(64 << 20);
        view.check(step)?;
        match *step {
            Step::Wait { .. } => return Ok(false),
            Step::Partial(knobs) => return Ok(self.partial(&knobs, &view)),
            Step::Merge { from, to } => self.merge(from, to),
            Step::Move { from, to } => {
                let runs = std::mem::take(&mut self.levels[usize::from(from)]);
                self.levels[usize::from(to)] = runs;
            }
            Step::Major { .. } => {
                let all = self.union(self.levels.iter().flatten());
                self.levels.iter_mut().for_each(Vec::clear);
                self.rewritten += all;
                if all > 0.0 {
                    self.levels[usize::from(LEVELS - 1)] = vec![all];
                }
            }
        }
        Ok(true)
    }

    /// Bytes on disk for each live byte.
    ///
    /// ```
    /// use mortise_guest::testkit::Model;
    ///
    /// let mut model = Model::new(1 << 20);
    /// assert_eq!(model.space_amplification(), 1.0);
    /// // Both runs hold every key.
    /// model.flush(1 << 20);
    /// model.flush(1 << 20);
    /// assert_eq!(model.space_amplification(), 2.0);
    /// ```
    #[must_use]
    pub fn space_amplification(&self) -> f64 {
        let total: f64 = self.levels.iter().flatten().sum();
        if total == 0.0 { 1.0 } else { total / self.union(self.levels.iter().flatten()) }
    }

    /// Bytes written to disk for each byte flushed.
    ///
    /// ```
    /// use mortise_guest::compaction::Step;
    /// use mortise_guest::testkit::Model;
    ///
    /// let mut model = Model::new(1 << 30);
    /// model.flush(512 << 20);
    /// assert_eq!(model.write_amplification(), 1.0);
    /// model.apply(&Step::Major { table_bytes: 64 << 20 }).unwrap();
    /// assert_eq!(model.write_amplification(), 2.0);
    /// ```
    #[must_use]
    pub fn write_amplification(&self) -> f64 {
        if self.flushed == 0.0 { 1.0 } else { 1.0 + self.rewritten / self.flushed }
    }

    fn union<'a>(&self, runs: impl Iterator<Item = &'a f64>) -> f64 {
        let uncovered: f64 = runs.map(|bytes| (1.0 - bytes / self.live_bytes).max(0.0)).product();
        self.live_bytes * (1.0 - uncovered)
    }

    fn merge(&mut self, from: u8, to: u8) {
        let merged = self.union(self.levels[usize::from(from)..=usize::from(to)].iter().flatten());
        self.levels[usize::from(from)].clear();
        self.levels[usize::from(to)] = vec![merged];
        self.rewritten += merged;
    }

    fn partial(&mut self, knobs: &Knobs, view: &View) -> bool {
        match knobs.work(view) {
            None => return false,
            Some(Work::Level0 { .. }) => {
                self.merge(0, knobs.top_level(view).unwrap_or(LEVELS - 1));
            }
            Some(Work::TooLarge { level, .. }) => {
                self.push_down(usize::from(level), knobs.table_bytes as f64)
            }
        }
        true
    }

    /// Merges one table's worth of a level into the share of the next level that it overlaps.
    fn push_down(&mut self, level: usize, table_bytes: f64) {
        let source: f64 = self.levels[level].iter().sum();
        let target: f64 = self.levels[level + 1].iter().sum();
        if target == 0.0 || source <= table_bytes {
            if target > 0.0 {
                self.rewritten += source + target;
            }
            let merged = self.union([source, target].iter());
            self.levels[level].clear();
            self.levels[level + 1] = vec![merged];
            return;
        }
        let share = table_bytes / source;
        self.rewritten += table_bytes + target * share;
        let merged = self.union([source, target].iter());
        self.levels[level] = vec![source - table_bytes];
        self.levels[level + 1] = vec![target + (merged - target) * share];
    }
}

/// Flushes `flushes` runs of random sizes up to `largest` bytes, and lets the policy work after each until it
/// waits.
///
/// ```
/// use mortise_guest::Random;
/// use mortise_guest::compaction::Step;
/// use mortise_guest::testkit::{Model, simulate};
///
/// let mut model = Model::new(1 << 30);
/// let report = simulate(&mut model, &mut Random::new(1), 12, 64 << 20, |view| {
///     let full = view.level0_runs() >= 4;
///     Ok(if full { Step::Major { table_bytes: 64 << 20 } } else { Step::WAIT })
/// });
/// let report = report.unwrap();
/// assert_eq!((report.steps, report.level0_runs, report.runs), (3, 3, 4));
/// ```
///
/// # Errors
/// A sentence when the policy refuses, answers an illegal step, or doesn't come to rest within 200 steps.
pub fn simulate(
    model: &mut Model,
    random: &mut Random,
    flushes: u64,
    largest: u64,
    mut decide: impl FnMut(&View) -> Result<Step, String>,
) -> Result<Report, String> {
    let mut report = Report::default();
    for flush in 0..flushes {
        model.flush(1 + random.below(largest));
        let mut steps = 0;
        loop {
            let view = model.view(64 << 20);
            let step = decide(&view)?;
            let changed = model.apply(&step).map_err(|rule| format!("flush {flush}: {step:?}: {rule}"))?;
            if matches!(step, Step::Wait { .. }) {
                report.level0_runs = report.level0_runs.max(view.level0_runs());
                report.runs = report.runs.max(view.all_runs());
                break;
            }
            if !changed {
                return Err(format!("flush {flush}: {step:?} does nothing"));
            }
            steps += 1;
            report.steps += 1;
            if steps > 200 {
                return Err(format!("flush {flush}: no rest after {steps} steps; the last was {step:?}"));
            }
        }
        if model.union(model.levels.iter().flatten()) > model.live_bytes / 4.0 {
            report.space_amplification = report.space_amplification.max(model.space_amplification());
        }
    }
    report.write_amplification = model.write_amplification();
    Ok(report)
}
