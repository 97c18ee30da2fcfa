//! The simulated node: a real store, and a disk whose time is computed.
//!
//! A flush takes effect when its time is over. A step is carried out when it begins, because only then its
//! size is known, and takes effect for pressure and figures when its time is over: until then they see the
//! tree from before it, with the runs that flushes have added since. Steps that the kernel keeps flushes away
//! from do so here.

use std::path::Path;
use std::time::Duration;

use mortise_kernel::kv::Command;
use mortise_kernel::node::{NodeConfig, Pressure, Verdict};
use mortise_kernel::store::{Applied, Step, StepOutcome, Store, StoreConfig, TABLE_BYTES, TreeShape};
use mortise_plugin_runtime::compaction::{Outcome, PreviousStep, Work};

use super::device::{Disk, Lane};
use super::figures::LevelSample;
use super::setup::Setup;
use crate::Result;
use crate::compaction::{By, Wanted};

/// Superseded revisions removed in one go; the kernel's own number.
const SCRUB_REVISIONS: usize = 512;

/// A step whose time is not over.
#[derive(Debug)]
pub(super) struct UnderWay {
    pub(super) step: Step,
    pub(super) by: By,
    began: Duration,
    keeps_flushes_away: bool,
    work: Work,
}

/// What came to its end.
#[derive(Debug)]
pub(super) enum Ended {
    /// A flush; level 0 has a run more.
    Flush,
    /// A step that took so long.
    Step(UnderWay, Duration),
}

/// What a step that was asked for turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// It changed nothing.
    Futile,
    /// It cost nothing and is done.
    Done,
    /// It takes its time. Its input and output have so many bytes on disk together with all the rest.
    UnderWay(u64),
}

/// A store on a disk.
pub(super) struct Machine {
    pub(super) store: Store,
    disk: Disk,
    pub(super) now: Duration,
    scale: u64,
    memtable_bytes: u64,
    limits: NodeConfig,
    visible: Vec<LevelSample>,
    step: Option<UnderWay>,
    flushing: bool,
    /// What became of the last step, as the next question tells about it.
    pub(super) previous: Option<PreviousStep>,
}

impl Machine {
    pub(super) fn new(setup: &Setup, directory: &Path) -> Result<Self> {
        let memtable_bytes = setup.memtable_bytes();
        let store = Store::open(StoreConfig { memtable_bytes, ..StoreConfig::new(directory) })?;
        let visible = levels(&store.shape());
        Ok(Self {
            store,
            disk: Disk::new(setup.disk_rate),
            now: Duration::ZERO,
            scale: setup.scale,
            memtable_bytes,
            limits: NodeConfig::new(directory),
            visible,
            step: None,
            flushing: false,
            previous: None,
        })
    }

    /// Applies one entry; seals the memtable when it is full.
    pub(super) fn write(&mut self, commands: &[Command]) -> Result<()> {
        let position = Applied { index: self.store.applied().index + 1, ..Applied::default() };
        for answer in self.store.apply(position, commands)? {
            answer?;
        }
        if self.store.memtable_full() {
            self.store.seal()?;
        }
        Ok(())
    }

    /// Makes every revision but the newest unreadable, and removes what that leaves superseded.
    pub(super) fn forget_history(&mut self) -> Result<()> {
        self.write(&[Command::Compact { revision: self.store.revision() }])?;
        while !self.store.scrub(SCRUB_REVISIONS)?.done {}
        Ok(())
    }

    /// The levels as readers and writers meet them now.
    pub(super) fn levels(&self) -> &[LevelSample] {
        &self.visible
    }

    /// Whether a step is under way.
    pub(super) fn is_stepping(&self) -> bool {
        self.step.is_some()
    }

    /// What the kernel would do to the next entry.
    pub(super) fn verdict(&self) -> Verdict {
        let l0_runs = self.visible.first().map_or(0, |level| level.runs);
        let pressure = Pressure {
            sealed_memtables: self.store.sealed_memtables(),
            l0_runs: usize::try_from(l0_runs).unwrap_or(usize::MAX),
            ..Pressure::default()
        };
        pressure.verdict(&self.limits)
    }

    /// Begins a flush when something is sealed and nothing is in its way.
    pub(super) fn begin_flush(&mut self) {
        let sealed = self.store.sealed_memtables() as u64;
        let kept_away = self.step.as_ref().is_some_and(|step| step.keeps_flushes_away);
        if sealed > 0 && !self.flushing && !kept_away {
            self.flushing = true;
            self.disk.begin(Lane::Flush, sealed * self.memtable_bytes * self.scale);
        }
    }

    /// Carries a step out that was judged for the tree as it is. `step` speaks of the sizes stood for.
    pub(super) fn begin_step(&mut self, step: Step, by: By) -> Result<Begun> {
        let before = self.visible.iter().map(|level| level.bytes).sum::<u64>();
        let StepOutcome { bytes_in, bytes_out, tables_in, tables_out } =
            self.store.run_step(&scaled_down(&step, self.scale))?;
        let work = Work { bytes_in: bytes_in * self.scale, bytes_out: bytes_out * self.scale };
        if tables_in == 0 && tables_out == 0 {
            self.note(&step, by, Outcome::Nothing, Duration::ZERO);
            return Ok(Begun::Futile);
        }
        if bytes_out == 0 {
            // Tables moved, or vanished together with the tombstones that had outlived them.
            self.visible = levels(&self.store.shape());
            self.note(&step, by, Outcome::Done(work), Duration::ZERO);
            return Ok(Begun::Done);
        }
        let keeps_flushes_away = matches!(step, Step::Merge { to: 0, .. });
        self.disk.begin(Lane::Step, work.bytes_in + work.bytes_out);
        self.step = Some(UnderWay { step, by, began: self.now, keeps_flushes_away, work });
        Ok(Begun::UnderWay(before + bytes_out))
    }

    /// When something ends by itself, if nothing else happens.
    pub(super) fn next_end(&self) -> Option<Duration> {
        Some(self.now + self.disk.until_next()?)
    }

    /// Lets time pass up to `until`, which is not after [`Self::next_end`]; returns what ended then.
    pub(super) fn pass(&mut self, until: Duration) -> Result<Vec<Ended>> {
        let passed = self.disk.pass(until.saturating_sub(self.now));
        self.now = until;
        let mut ended = Vec::new();
        for lane in passed {
            match lane {
                Lane::Flush => {
                    self.finish_flush()?;
                    ended.push(Ended::Flush);
                }
                Lane::Step => {
                    self.visible = levels(&self.store.shape());
                    let step = self.step.take().expect("the disk was busy with it");
                    let took = self.now - step.began;
                    self.note(&step.step, step.by, Outcome::Done(step.work), took);
                    ended.push(Ended::Step(step, took));
                }
            }
        }
        Ok(ended)
    }

    fn note(&mut self, step: &Step, by: By, outcome: Outcome, took: Duration) {
        self.previous = Some(Wanted { step, by, reason: "" }.became(outcome, took));
    }

    fn finish_flush(&mut self) -> Result<()> {
        self.flushing = false;
        let Some(flushed) = self.store.flush()? else { return Ok(()) };
        if self.step.is_none() {
            self.visible = levels(&self.store.shape());
        } else if let Some(level) = self.visible.first_mut() {
            *level = LevelSample {
                runs: level.runs + 1,
                tables: level.tables + 1,
                bytes: level.bytes + flushed.bytes,
            };
        }
        Ok(())
    }
}

/// The tree that a tree of the simulation stands for.
pub(super) fn scaled_up(mut shape: TreeShape, scale: u64) -> TreeShape {
    shape.memtable_bytes *= scale;
    let runs = shape.levels.iter_mut().flat_map(|level| &mut level.runs);
    for table in runs.flat_map(|run| &mut run.tables) {
        table.bytes *= scale;
        table.entries *= scale;
        table.tombstones *= scale;
    }
    shape
}

/// The step of the simulation that a step stands for.
fn scaled_down(step: &Step, scale: u64) -> Step {
    let size = |bytes: u64| (bytes / scale).max(*TABLE_BYTES.start());
    match *step {
        Step::Partial { l0_threshold, level_ratio, table_bytes } => {
            Step::Partial { l0_threshold, level_ratio, table_bytes: size(table_bytes) }
        }
        Step::Major { table_bytes } => Step::Major { table_bytes: size(table_bytes) },
        Step::Merge { .. } | Step::Move { .. } => step.clone(),
    }
}

fn levels(shape: &TreeShape) -> Vec<LevelSample> {
    let level = |level: &mortise_kernel::store::LevelShape| LevelSample {
        runs: level.runs.len() as u64,
        tables: level.runs.iter().map(|run| run.tables.len() as u64).sum(),
        bytes: level.bytes(),
    };
    shape.levels.iter().map(level).collect()
}
