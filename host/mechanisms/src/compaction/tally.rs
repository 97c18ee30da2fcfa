//! What the answers of a shadow amount to beside those of the strategy in service: pure counting.
//!
//! Two answers *agree* when both are the same legal step, or when both want no step, whenever they want to
//! be asked again. A view on which the strategy in service faulted has nothing to compare with: the
//! shadow's answer is counted, and nothing more. What a shadow did wrong is a fault by the same rules that
//! hold for what serves.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use hdrhistogram::Histogram;
use mortise_kernel::store::{Step, TreeShape};

use super::decide::Verdict;
use crate::system::{CallTimes, ShadowExample, ShadowReport};

/// Differences that are kept with what both said.
const EXAMPLES: usize = 8;

/// Durations are kept with two significant digits, in microseconds, up to an hour.
const LONGEST_MICROS: u64 = 3_600_000_000;

/// What one of the two said about a view, and how long that took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said<'a> {
    pub verdict: &'a Verdict,
    /// Empty when it gave none.
    pub reason: &'a str,
    pub took: Duration,
}

impl Said<'_> {
    fn told(&self) -> String {
        let verdict = told(self.verdict);
        if self.reason.is_empty() { verdict } else { format!("{verdict} ({})", self.reason) }
    }
}

/// How a shadow's answer compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    Agreed,
    Differed,
    /// The strategy in service gave no answer to compare with.
    Unmatched,
    /// A fault of this kind.
    Faulted(&'static str),
    /// It could not be asked, for no fault of its own.
    NotAsked,
}

impl Compared {
    /// Name for metric labels.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Agreed => "agreed",
            Self::Differed => "differed",
            Self::Unmatched => "unmatched",
            Self::Faulted(kind) => kind,
            Self::NotAsked => "skipped",
        }
    }
}

/// Compares what both said about the same view.
pub(crate) fn compare(active: &Verdict, shadow: &Verdict) -> Compared {
    match (active, shadow) {
        (_, Verdict::NotAsked(_)) => Compared::NotAsked,
        (_, Verdict::Fault { kind, .. }) => Compared::Faulted(kind),
        (Verdict::Fault { .. } | Verdict::NotAsked(_), _) => Compared::Unmatched,
        (Verdict::Wait(_), Verdict::Wait(_)) => Compared::Agreed,
        (Verdict::Step(one), Verdict::Step(other)) if one == other => Compared::Agreed,
        _ => Compared::Differed,
    }
}

/// The counts of one shadow beside one strategy.
pub(crate) struct Tally {
    calls: u64,
    agreements: u64,
    differences: u64,
    unmatched: u64,
    skipped: u64,
    faults: BTreeMap<&'static str, u64>,
    last_fault: String,
    /// The newest last.
    examples: VecDeque<ShadowExample>,
    active: Times,
    shadow: Times,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            calls: 0,
            agreements: 0,
            differences: 0,
            unmatched: 0,
            skipped: 0,
            faults: BTreeMap::new(),
            last_fault: String::new(),
            examples: VecDeque::new(),
            active: Times::new(),
            shadow: Times::new(),
        }
    }

    /// Counts a view that the shadow was not asked about.
    pub(crate) fn skip(&mut self) {
        self.skipped += 1;
    }

    /// Counts what both said about a tree of this shape at this time.
    pub(crate) fn count(
        &mut self,
        unix_ms: u64,
        shape: &TreeShape,
        active: &Said<'_>,
        shadow: &Said<'_>,
    ) -> Compared {
        let compared = compare(active.verdict, shadow.verdict);
        if compared == Compared::NotAsked {
            self.skip();
            return compared;
        }
        self.calls += 1;
        self.active.record(active.took);
        self.shadow.record(shadow.took);
        match compared {
            Compared::Agreed => self.agreements += 1,
            Compared::Differed => self.differ(unix_ms, shape, active, shadow),
            Compared::Unmatched => self.unmatched += 1,
            Compared::Faulted(kind) => {
                *self.faults.entry(kind).or_default() += 1;
                self.last_fault = told(shadow.verdict);
            }
            Compared::NotAsked => {}
        }
        compared
    }

    fn differ(&mut self, unix_ms: u64, shape: &TreeShape, active: &Said<'_>, shadow: &Said<'_>) {
        self.differences += 1;
        if self.examples.len() == EXAMPLES {
            self.examples.pop_front();
        }
        let (active, candidate) = (active.told(), shadow.told());
        self.examples.push_back(ShadowExample { unix_ms, shape: outline(shape), active, candidate });
    }

    pub(crate) fn report(&self) -> ShadowReport {
        ShadowReport {
            calls: self.calls,
            agreements: self.agreements,
            differences: self.differences,
            unmatched: self.unmatched,
            skipped: self.skipped,
            faults: self.faults.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect(),
            last_fault: self.last_fault.clone(),
            examples: self.examples.iter().rev().cloned().collect(),
            active: self.active.sums(),
            candidate: self.shadow.sums(),
        }
    }
}

/// Durations in microseconds.
struct Times {
    all: Histogram<u32>,
    longest: u64,
}

impl Times {
    fn new() -> Self {
        let all = Histogram::new_with_max(LONGEST_MICROS, 2).expect("the bounds of the histogram are right");
        Self { all, longest: 0 }
    }

    fn record(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.all.saturating_record(micros);
        self.longest = self.longest.max(micros);
    }

    fn sums(&self) -> CallTimes {
        CallTimes {
            p50_us: self.all.value_at_quantile(0.5).min(self.longest),
            p99_us: self.all.value_at_quantile(0.99).min(self.longest),
            longest_us: self.longest,
        }
    }
}

/// A verdict in words.
fn told(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Wait(None) => "wait".into(),
        Verdict::Wait(Some(after)) => format!("wait, ask again after {after:?}"),
        Verdict::Step(Step::Partial { l0_threshold, level_ratio, table_bytes }) => format!(
            "partial, from {l0_threshold} runs in level 0 on, ratio {level_ratio}, tables of {table_bytes} bytes"
        ),
        Verdict::Step(Step::Merge { from, to }) => format!("merge level {from} into level {to}"),
        Verdict::Step(Step::Move { from, to }) => format!("move level {from} to level {to}"),
        Verdict::Step(Step::Major { table_bytes }) => format!("rewrite all, tables of {table_bytes} bytes"),
        Verdict::Fault { kind, detail } => format!("{kind}: {detail}"),
        Verdict::NotAsked(detail) => format!("not asked: {detail}"),
    }
}

/// A tree in one line.
fn outline(shape: &TreeShape) -> String {
    let filled = shape.levels.iter().enumerate().filter(|(_, level)| !level.runs.is_empty());
    let levels = filled.map(|(number, level)| {
        let (runs, tables) = (level.runs.len(), level.runs.iter().map(|run| run.tables.len()).sum::<usize>());
        format!("level {number}: {runs} runs, {tables} tables, {} bytes", level.bytes())
    });
    let levels: Vec<_> = levels.collect();
    if levels.is_empty() { "no tables".into() } else { levels.join("; ") }
}

#[cfg(test)]
mod tests {
    use mortise_kernel::store::{LevelShape, RunShape};

    use super::*;

    const MERGE: Verdict = Verdict::Step(Step::Merge { from: 0, to: 6 });
    const MOVE: Verdict = Verdict::Step(Step::Move { from: 0, to: 6 });

    fn fault(kind: &'static str) -> Verdict {
        Verdict::Fault { kind, detail: "for the test".into() }
    }

    fn said(verdict: &Verdict, micros: u64) -> Said<'_> {
        Said { verdict, reason: "", took: Duration::from_micros(micros) }
    }

    #[test]
    fn answers_are_compared_by_what_they_do() {
        let soon = Verdict::Wait(Some(Duration::from_millis(100)));
        let busy = Verdict::NotAsked("busy".into());
        for (active, shadow, expected) in [
            (&MERGE, &MERGE, Compared::Agreed),
            (&Verdict::Wait(None), &soon, Compared::Agreed),
            (&MERGE, &MOVE, Compared::Differed),
            (&MERGE, &soon, Compared::Differed),
            (&soon, &MERGE, Compared::Differed),
            (&fault("trap"), &MERGE, Compared::Unmatched),
            (&busy, &MERGE, Compared::Unmatched),
            (&MERGE, &fault("trap"), Compared::Faulted("trap")),
            (&fault("memory"), &fault("trap"), Compared::Faulted("trap")),
            (&MERGE, &busy, Compared::NotAsked),
        ] {
            assert_eq!(compare(active, shadow), expected, "{active:?} and {shadow:?}");
        }
    }

    #[test]
    fn every_view_is_counted_once_and_the_latest_differences_are_kept() {
        let mut tally = Tally::new();
        let mut shape = TreeShape { levels: vec![LevelShape::default(); 7], ..TreeShape::default() };
        shape.levels[0].runs.push(RunShape { tables: Vec::new() });
        for (active, shadow) in [
            (&MERGE, &MERGE),
            (&fault("trap"), &MERGE),
            (&MERGE, &fault("illegal")),
            (&MERGE, &fault("illegal")),
            (&MERGE, &Verdict::NotAsked("busy".into())),
        ] {
            tally.count(1, &shape, &said(active, 10), &said(shadow, 1_000));
        }
        tally.skip();
        for unix_ms in 100..120 {
            let shadow = Said { reason: "one run", ..said(&MOVE, 1_000) };
            tally.count(unix_ms, &shape, &said(&MERGE, 10), &shadow);
        }
        let report = tally.report();
        assert_eq!((report.calls, report.agreements, report.differences), (24, 1, 20));
        assert_eq!((report.unmatched, report.skipped, report.faulted()), (1, 2, 2));
        assert_eq!(
            report.calls,
            report.agreements + report.differences + report.unmatched + report.faulted()
        );
        assert_eq!(report.faults, BTreeMap::from([("illegal".to_owned(), 2)]));
        assert_eq!(report.last_fault, "illegal: for the test");
        let times: Vec<_> = report.examples.iter().map(|example| example.unix_ms).collect();
        assert_eq!(times, (112..120).rev().collect::<Vec<_>>(), "the newest first");
        assert_eq!(report.examples[0].active, "merge level 0 into level 6");
        assert_eq!(report.examples[0].candidate, "move level 0 to level 6 (one run)");
        assert_eq!(report.examples[0].shape, "level 0: 1 runs, 0 tables, 0 bytes");
        assert_eq!(report.active, CallTimes { p50_us: 10, p99_us: 10, longest_us: 10 });
        assert_eq!(report.candidate, CallTimes { p50_us: 1_000, p99_us: 1_000, longest_us: 1_000 });
    }
}
