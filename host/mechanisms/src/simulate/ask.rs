//! Asking the contender, with everything that the compaction loop holds against its answers.
//!
//! Judging, planning, the pace and the quarantine are the loop's own functions; only time is simulated. The
//! view shows the larger tree that the simulation stands for. Calls begin at a fixed day and take their seeds
//! from that of the setup, so a strategy that keeps its contract gives the same figures every time.
//!
//! After the faults in a row that mean quarantine in a node the native strategy goes on to the end, and the
//! report says from which write on.

use std::time::Duration;

use futures::FutureExt as _;
use mortise_kernel::node::VolumeCounters;
use mortise_plugin_runtime::compaction::{CompactionStrategy, Decision, View};
use mortise_plugin_runtime::{Call, Fault, FaultKind};
use tokio::time::Instant;

use super::figures::FaultSeen;
use super::machine::{Machine, scaled_up};
use super::setup::Setup;
use crate::compaction::{
    FAULTS_IN_A_ROW, NativeLeveled, Observation, Pace, Plan, Strategy as _, Verdict, WriteRate, fingerprint,
    judge, plan,
};

/// The day on which every simulation begins, Unix milliseconds: 1 January 2026.
const EPOCH_MS: u64 = 1_767_225_600_000;
/// The longest rest of the loop.
const TICK: Duration = Duration::from_secs(30);
/// Faults that are told in full.
const FAULTS_SHOWN: usize = 10;

/// A strategy that is simulated.
#[derive(Clone, Debug)]
pub struct SimulatedStrategy {
    label: String,
    config: String,
    decider: Decider,
}

/// Answers in a test.
#[cfg(test)]
type Script = dyn Fn(&View) -> Result<Decision, Fault>;

/// Who answers.
#[derive(Clone)]
enum Decider {
    Native,
    Component(CompactionStrategy),
    #[cfg(test)]
    Script(std::sync::Arc<Script>),
}

impl std::fmt::Debug for Decider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Component(_) => "a component",
            #[cfg(test)]
            Self::Script(_) => "a script",
        })
    }
}

impl SimulatedStrategy {
    /// The strategy that is part of the program.
    #[must_use]
    pub fn native() -> Self {
        Self { label: crate::NATIVE_STRATEGY.into(), config: "{}".into(), decider: Decider::Native }
    }

    /// A component with a configuration, shown as `label`.
    #[must_use]
    pub fn component(label: String, config: String, strategy: CompactionStrategy) -> Self {
        Self { label, config, decider: Decider::Component(strategy) }
    }

    #[cfg(test)]
    pub(super) fn scripted(label: &str, decide: impl Fn(&View) -> Result<Decision, Fault> + 'static) -> Self {
        let decider = Decider::Script(std::sync::Arc::new(decide));
        Self { label: label.into(), config: "{}".into(), decider }
    }

    /// How it is shown.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn config(&self) -> &str {
        &self.config
    }

    fn decide(&self, call: &Call, view: View) -> Result<Decision, Fault> {
        match &self.decider {
            Decider::Component(strategy) => strategy.decide(call, &view),
            #[cfg(test)]
            Decider::Script(script) => script(&view),
            Decider::Native => {
                NativeLeveled.decide(call.clone(), view.into()).now_or_never().unwrap_or_else(|| {
                    let detail = "the native strategy did not answer at once".to_owned();
                    Err(Fault { kind: FaultKind::Busy, detail })
                })
            }
        }
    }
}

/// What the loop remembers of its strategy.
pub(super) struct Asker {
    contender: SimulatedStrategy,
    seed: u64,
    disk_bytes: u64,
    guard_l0_runs: usize,
    /// The loop's own types want an instant; only differences to this one matter.
    zero: Instant,
    pub(super) pace: Pace,
    write_rate: WriteRate,
    pub(super) calls: u64,
    pub(super) faults: Vec<FaultSeen>,
    pub(super) fault_count: u64,
    pub(super) quarantined_at: Option<u64>,
}

impl Asker {
    pub(super) fn new(setup: &Setup, contender: SimulatedStrategy) -> Self {
        let zero = Instant::now();
        Self {
            contender,
            seed: setup.seed,
            disk_bytes: setup.disk_bytes,
            guard_l0_runs: setup.guard_l0_runs,
            zero,
            pace: Pace::new(TICK),
            write_rate: WriteRate::new(zero, 0),
            calls: 0,
            faults: Vec::new(),
            fault_count: 0,
            quarantined_at: None,
        }
    }

    pub(super) fn instant(&self, now: Duration) -> Instant {
        self.zero + now
    }

    pub(super) fn guard_l0_runs(&self) -> usize {
        self.guard_l0_runs
    }

    /// Asks about the tree as it is, and plans by the answer.
    pub(super) fn plan(&mut self, machine: &Machine, scale: u64, writes: u64) -> (Plan, Observation) {
        let observed = self.observe(machine, scale);
        self.calls += 1;
        let now_ms = u64::try_from(machine.now.as_millis()).unwrap_or(u64::MAX);
        let call = Call {
            config: self.contender.config.clone(),
            now: EPOCH_MS.saturating_add(now_ms),
            seed: self.seed.wrapping_add(self.calls).wrapping_mul(0x9E37_79B9_7F4A_7C15),
        };
        let answer = self.contender.decide(&call, observed.view());
        let verdict = judge(&observed.shape, answer.map(|decision| decision.step));
        match &verdict {
            Verdict::Wait(_) | Verdict::Step(_) => self.pace.answered(),
            Verdict::NotAsked(_) => self.pace.not_asked(),
            Verdict::Fault { kind, detail } => self.fault(writes, kind, detail),
        }
        let now = self.instant(machine.now);
        (plan(&verdict, &observed, self.guard_l0_runs, &self.pace, now), observed)
    }

    fn observe(&self, machine: &Machine, scale: u64) -> Observation {
        let shape = scaled_up(machine.store.shape(), scale);
        let written = machine.store.counters().written_bytes.saturating_mul(scale);
        Observation {
            fingerprint: fingerprint(&shape),
            counters: VolumeCounters::default(),
            write_rate: self.write_rate.update(self.instant(machine.now), written),
            free_disk: self.disk_bytes.saturating_sub(shape.disk_bytes()),
            guard_l0_runs: u32::try_from(self.guard_l0_runs).unwrap_or(u32::MAX),
            previous: machine.previous.clone(),
            shape,
        }
    }

    fn fault(&mut self, write: u64, kind: &str, detail: &str) {
        self.fault_count += 1;
        if self.faults.len() < FAULTS_SHOWN {
            self.faults.push(FaultSeen { write, kind: kind.to_owned(), detail: detail.to_owned() });
        }
        if self.pace.fault() >= FAULTS_IN_A_ROW && self.quarantined_at.is_none() {
            self.quarantined_at = Some(write);
            self.contender.decider = Decider::Native;
            self.pace.serving(1);
        }
    }
}
