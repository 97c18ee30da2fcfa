//! The course of a simulation: entry after entry, and between two entries whatever ends or falls due.
//!
//! It takes the place of the node's tasks: it holds entries back by the kernel's own rules for pressure, lets
//! flushes and steps end at their computed times, and asks the strategy when the loop would. Everything
//! happens in one thread and in a fixed order, so that the figures don't depend on the machine.
//!
//! A strategy that lets writes stop for an hour of simulated time ends its simulation with an error. The
//! caller may end it between two entries.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use mortise_kernel::node::Verdict;
use mortise_kernel::store::Step;

use super::ask::{Asker, SimulatedStrategy};
use super::figures::{Collector, Report, StepCounts};
use super::machine::{Begun, Ended as Event, Machine};
use super::setup::Setup;
use super::workload::Writes;
use crate::compaction::{By, Plan, fingerprint};
use crate::{Error, Result};

/// Commands of one entry of the log, at most; the kernel's own number.
const ENTRY_COMMANDS: u64 = 256;
/// Superseded revisions are forgotten after each such part of the writes.
const HISTORY_PARTS: u64 = 100;
/// A wait this long means that the tree never recovers.
const HOPELESS: Duration = Duration::from_secs(3600);

/// How a simulation ended.
#[derive(Debug)]
pub enum Ended {
    /// All writes were made.
    Finished(Box<Report>),
    /// The caller wanted no more.
    Cancelled,
}

/// Runs a workload against a contender, in `directory`, which must be empty or missing. Calls `progress` with
/// the number of writes now and then; it may end the simulation. Blocks, for seconds to minutes; must not run
/// on a worker of an async runtime.
///
/// # Errors
/// [`Error::Simulation`] when the setup is out of bounds or the writes stop for good; the store's errors.
pub fn simulate(
    setup: &Setup,
    contender: &SimulatedStrategy,
    directory: &Path,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Ended> {
    setup.validate()?;
    let mut simulation = Simulation::new(setup, contender, directory)?;
    let mut left = setup.writes;
    let batch = (ENTRY_COMMANDS / setup.scale).max(1);
    let history = (setup.writes / HISTORY_PARTS).max(batch);
    while left > 0 {
        let count = batch.min(left);
        simulation.entry(count)?;
        left -= count;
        let written = setup.writes - left;
        if written / history != (written - count) / history {
            simulation.machine.forget_history()?;
        }
        if progress(written).is_break() {
            return Ok(Ended::Cancelled);
        }
    }
    simulation.report(contender).map(|report| Ended::Finished(Box::new(report)))
}

struct Simulation<'a> {
    setup: &'a Setup,
    machine: Machine,
    writes: Writes,
    asker: Asker,
    collector: Collector,
    steps: StepCounts,
    client_bytes: u64,
    /// The tree may have changed since the strategy was asked.
    news: bool,
    /// The tree that the strategy was last asked about.
    seen: Option<u64>,
    /// When it is asked again even without news.
    ask_at: Duration,
}

impl<'a> Simulation<'a> {
    fn new(setup: &'a Setup, contender: &SimulatedStrategy, directory: &Path) -> Result<Self> {
        Ok(Self {
            setup,
            machine: Machine::new(setup, directory)?,
            writes: Writes::new(setup),
            asker: Asker::new(setup, contender.clone()),
            collector: Collector::new(setup),
            steps: StepCounts::default(),
            client_bytes: 0,
            news: true,
            seen: None,
            ask_at: Duration::ZERO,
        })
    }

    /// Waits for as long as the kernel would, then writes `count` commands and lets their time pass.
    fn entry(&mut self, count: u64) -> Result<()> {
        self.brake(count)?;
        let mut commands = Vec::new();
        let mut bytes = 0;
        for _ in 0..count {
            let (command, size) = self.writes.next();
            commands.push(command);
            bytes += size;
        }
        self.machine.write(&commands)?;
        let bytes = bytes * self.setup.scale;
        self.client_bytes += bytes;
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.setup.write_rate);
        let until = self.machine.now + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        while !self.turn(until)? {}
        self.collector.wrote(count, self.machine.levels(), self.writes.live_bytes());
        Ok(())
    }

    /// Holds an entry back by the kernel's rules for the tree as it is.
    fn brake(&mut self, count: u64) -> Result<()> {
        let begun = self.machine.now;
        let mut stopped = false;
        loop {
            let waited = self.machine.now - begun;
            let until = match self.machine.verdict() {
                Verdict::Go => break,
                Verdict::Delay(delay) if waited >= delay => break,
                Verdict::Delay(delay) => begun + delay,
                Verdict::Stop => {
                    stopped = true;
                    begun + HOPELESS
                }
            };
            if waited >= HOPELESS {
                let l0 = self.machine.levels().first().map_or(0, |level| level.runs);
                let seen = self.collector.seen();
                let detail = format!("writes stopped for good after {seen}, with {l0} runs in level 0");
                return Err(Error::Simulation(detail));
            }
            self.turn(until)?;
        }
        self.collector.waited(count, self.machine.now - begun, stopped);
        Ok(())
    }

    /// Starts what can start, then lets time pass until the next event or `until`. True when that was
    /// reached.
    fn turn(&mut self, until: Duration) -> Result<bool> {
        self.machine.begin_flush();
        if !self.machine.is_stepping() && (self.news || self.machine.now >= self.ask_at) {
            self.ask()?;
        }
        let ask_at = (!self.machine.is_stepping()).then_some(self.ask_at);
        let next = self.machine.next_end().into_iter().chain(ask_at).min();
        let target = next.filter(|next| *next < until).unwrap_or(until);
        for event in self.machine.pass(target)? {
            self.news = true;
            if let Event::Step(step, took) = event {
                let left = fingerprint(&self.machine.store.shape());
                let now = self.asker.instant(self.machine.now);
                self.asker.pace.progressed(step.by, &step.step, took, left, now);
                self.seen = None;
            }
        }
        Ok(target == until)
    }

    /// Asks the strategy until a step is under way or there is nothing to do for a while.
    fn ask(&mut self) -> Result<()> {
        self.news = false;
        // A flush that brought nothing to tables is no news.
        let unchanged = self.seen == Some(fingerprint(&self.machine.store.shape()));
        if unchanged && self.machine.now < self.ask_at {
            return Ok(());
        }
        loop {
            let (plan, observed) = self.asker.plan(&self.machine, self.setup.scale, self.collector.seen());
            self.seen = Some(observed.fingerprint);
            let (step, by) = match plan {
                Plan::Rest(rest) => {
                    self.ask_at = self.machine.now + rest;
                    return Ok(());
                }
                Plan::Run { step, by } => (step, by),
            };
            let begun = self.machine.begin_step(step.clone(), by)?;
            let now = self.asker.instant(self.machine.now);
            match begun {
                Begun::UnderWay(bytes) => {
                    self.collector.disk(bytes);
                    self.count(&step, by);
                    return Ok(());
                }
                Begun::Done => {
                    self.count(&step, by);
                    let left = fingerprint(&self.machine.store.shape());
                    self.asker.pace.progressed(by, &step, Duration::ZERO, left, now);
                }
                Begun::Futile => {
                    self.steps.futile += u64::from(by == By::Strategy);
                    self.asker.pace.futile(by, observed.fingerprint, now);
                    if by == By::Strategy && observed.l0_runs() <= self.asker.guard_l0_runs() {
                        let rest = self.asker.pace.holds_back(by, &step, observed.fingerprint, now);
                        self.ask_at = self.machine.now + rest.unwrap_or(self.asker.pace.tick());
                        return Ok(());
                    }
                }
            }
        }
    }

    fn count(&mut self, step: &Step, by: By) {
        let kind = match (by, step) {
            (By::Guard, _) => &mut self.steps.guard,
            (_, Step::Partial { .. }) => &mut self.steps.partial,
            (_, Step::Merge { .. }) => &mut self.steps.merge,
            (_, Step::Move { .. }) => &mut self.steps.r#move,
            (_, Step::Major { .. }) => &mut self.steps.major,
        };
        *kind += 1;
    }

    fn report(self, contender: &SimulatedStrategy) -> Result<Report> {
        let counters = self.machine.store.counters();
        let content = self.machine.store.content_hash(0)?;
        let table_bytes = (counters.flushed_bytes + counters.compaction_out_bytes) * self.setup.scale;
        Ok(Report {
            strategy: contender.label().to_owned(),
            config: contender.config().to_owned(),
            client_bytes: self.client_bytes,
            flushed_bytes: counters.flushed_bytes * self.setup.scale,
            compacted_bytes: counters.compaction_out_bytes * self.setup.scale,
            write_amplification: ratio(table_bytes, self.client_bytes),
            read_amplification: self.collector.read_amplification(),
            space_amplification: self.collector.space_amplification(),
            peak_disk_bytes: self.collector.peak_disk_bytes,
            stalls: self.collector.stalls,
            steps: self.steps,
            calls: self.asker.calls,
            faults: self.asker.faults,
            fault_count: self.asker.fault_count,
            quarantined_at: self.asker.quarantined_at,
            seconds: self.machine.now.as_secs_f64(),
            content,
            samples: self.collector.samples,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio is an estimate")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
