//! The loop of one volume: observe, decide, act; then rest until there is something new.
//!
//! It goes on whatever happens: a strategy that faults is reported to the [`Supervisor`], a step that fails
//! is tried again, and a catalog that cannot be written is the supervisor's business. It ends when it is told
//! to stop or when the volume is closed.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use mortise_kernel::seams::SharedClock;
use mortise_plugin_runtime::Call;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::act::{self, Acted};
use super::decide::{self, Plan, Verdict};
use super::observe::{Observation, Observer, fingerprint, write_amplification};
use super::pace::{By, FAULTS_IN_A_ROW, Pace};
use super::strategy::{Active, Slot};
use crate::telemetry::StepMetrics;

/// Who is told about faults and does what they call for.
pub(crate) trait Supervisor: Send + Sync + 'static {
    /// Takes note of one fault.
    fn fault(&self, volume: &str, active: &Active, kind: &'static str, detail: &str);
    /// Puts another strategy into service in place of `active`, which faulted too often.
    fn quarantine<'a>(&'a self, volume: &'a str, active: &'a Active, reason: String) -> BoxFuture<'a, ()>;
    /// Finishes what could not be finished before, such as a catalog row that could not be written.
    fn settle<'a>(&'a self, volume: &'a str) -> BoxFuture<'a, ()>;
}

/// What a loop works with.
pub(crate) struct Task {
    pub volume_id: u64,
    pub observer: Arc<Observer>,
    pub slot: Arc<Slot>,
    pub supervisor: Arc<dyn Supervisor>,
    pub permits: Arc<Semaphore>,
    pub clock: SharedClock,
    pub guard_l0_runs: usize,
    pub tick: Duration,
}

/// A loop that runs.
#[derive(Debug)]
pub(crate) struct Handle {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Handle {
    /// Stops the loop and waits for the step under way, at most `grace`.
    pub(crate) async fn stop(self, grace: Duration) {
        self.stop.send_replace(true);
        let mut task = self.task;
        if tokio::time::timeout(grace, &mut task).await.is_err() {
            tracing::warn!(?grace, "a compaction step was still running when its loop was abandoned");
            task.abort();
        }
    }
}

/// Starts the loop of a volume.
pub(crate) fn spawn(task: Task) -> Handle {
    let (stop, stopped) = watch::channel(false);
    Handle { stop, task: tokio::spawn(Loop::new(task, stopped).run()) }
}

struct Loop {
    task: Task,
    stopped: watch::Receiver<bool>,
    pace: Pace,
    metrics: StepMetrics,
    calls: u64,
    guarding: bool,
}

impl Loop {
    fn new(task: Task, stopped: watch::Receiver<bool>) -> Self {
        let metrics = StepMetrics::new(task.slot.volume());
        let pace = Pace::new(task.tick);
        Self { task, stopped, pace, metrics, calls: 0, guarding: false }
    }

    async fn run(mut self) {
        let mut shape_changes = self.task.observer.tree().shape_changes();
        let mut slot_changes = self.task.slot.changes();
        while !*self.stopped.borrow() {
            shape_changes.mark_unchanged();
            slot_changes.mark_unchanged();
            let observed = self.task.observer.observe();
            self.metrics.write_amplification(write_amplification(&observed.counters));
            let verdict = self.decide(&observed).await;
            let plan = decide::plan(&verdict, &observed, self.task.guard_l0_runs, &self.pace, Instant::now());
            self.note_guard(&plan, &observed);
            let rest = match plan {
                Plan::Rest(rest) => rest,
                Plan::Run { step, by } => {
                    let volume = self.task.slot.volume();
                    let tree = self.task.observer.tree();
                    let acted = act::run(tree, volume, &step, by, &self.task.permits, &self.metrics).await;
                    self.metrics.write_amplification(write_amplification(&tree.counters()));
                    let now = Instant::now();
                    match acted {
                        Acted::Progressed(took) => {
                            let left = fingerprint(&tree.shape());
                            self.pace.progressed(by, &step, took, left, now);
                            continue;
                        }
                        // Asked again at once: the pace holds the same step back, and the guard rail may have
                        // a better one.
                        Acted::Futile => self.pace.futile(by, observed.fingerprint, now),
                    }
                    if by == By::Strategy && observed.l0_runs() > self.task.guard_l0_runs {
                        continue;
                    }
                    self.pace.holds_back(by, &step, observed.fingerprint, now).unwrap_or(self.task.tick)
                }
            };
            self.task.supervisor.settle(self.task.slot.volume()).await;
            if !self.rest(rest, observed.fingerprint, &mut shape_changes, &mut slot_changes).await {
                break;
            }
        }
    }

    async fn decide(&mut self, observed: &Observation) -> Verdict {
        let active = self.task.slot.load();
        self.pace.serving(active.activation);
        self.calls += 1;
        let call = Call {
            config: active.info.config.clone(),
            now: self.task.clock.unix_millis(),
            seed: seed(self.task.volume_id, self.calls),
        };
        let (now, seed) = (call.now, call.seed);
        let started = Instant::now();
        let answer = decide::ask(&active, call, observed).await;
        let took = started.elapsed();
        let verdict = decide::judge(&observed.shape, answer);
        let (volume, plugin, version) = (self.task.slot.volume(), &active.info.plugin, &active.info.version);
        tracing::debug!(volume, plugin, version, now, seed, ?took, ?verdict, "the strategy was asked");
        match &verdict {
            Verdict::Wait(_) | Verdict::Step(_) => {
                self.pace.answered();
                active.metrics.call("ok", took);
            }
            Verdict::NotAsked(_) => {
                self.pace.not_asked();
                active.metrics.call("busy", took);
            }
            Verdict::Fault { kind, detail } => {
                active.metrics.call(kind, took);
                self.fault(&active, kind, detail).await;
            }
        }
        verdict
    }

    async fn fault(&mut self, active: &Active, kind: &'static str, detail: &str) {
        let volume = self.task.slot.volume();
        let (plugin, version) = (&active.info.plugin, &active.info.version);
        tracing::warn!(volume, plugin, version, kind, detail, "the compaction strategy faulted");
        active.metrics.fault(kind);
        self.task.supervisor.fault(volume, active, kind, detail);
        let faults = self.pace.fault();
        if faults >= FAULTS_IN_A_ROW && !active.is_native() {
            let reason = format!("{faults} faults in a row, the last one: {kind}: {detail}");
            self.task.supervisor.quarantine(volume, active, reason).await;
        }
    }

    /// Logs and counts the guard rail once for each time that level 0 grows over it.
    fn note_guard(&mut self, plan: &Plan, observed: &Observation) {
        let l0_runs = observed.l0_runs();
        let guard_l0_runs = self.task.guard_l0_runs;
        if l0_runs <= guard_l0_runs {
            self.guarding = false;
        } else if !self.guarding && matches!(plan, Plan::Run { by: By::Guard, .. }) {
            self.guarding = true;
            let active = self.task.slot.load();
            let (volume, plugin) = (self.task.slot.volume(), &active.info.plugin);
            tracing::warn!(
                volume,
                plugin,
                l0_runs,
                guard_l0_runs,
                "the strategy lets level 0 grow; compacting natively until it is below the guard rail"
            );
            self.metrics.guard_rail();
        }
    }

    /// Rests until the tree or the binding changed, or `rest` is over. False when it is time to end.
    async fn rest(
        &mut self,
        rest: Duration,
        seen: u64,
        shape_changes: &mut watch::Receiver<u64>,
        slot_changes: &mut watch::Receiver<u64>,
    ) -> bool {
        let until = Instant::now() + rest;
        loop {
            if *self.stopped.borrow() {
                return false;
            }
            tokio::select! {
                changed = shape_changes.changed() => {
                    if changed.is_err() {
                        return false;
                    }
                    // A step that did nothing may be announced as a change; the tables tell.
                    if fingerprint(&self.task.observer.tree().shape()) != seen {
                        return true;
                    }
                }
                _ = slot_changes.changed() => return true,
                () = tokio::time::sleep_until(until) => return true,
                _ = self.stopped.changed() => return false,
            }
        }
    }
}

/// The seed of a volume's n-th call since its loop started: well mixed (splitmix64) and reproducible.
fn seed(volume_id: u64, call: u64) -> u64 {
    let mut z =
        volume_id.wrapping_mul(0xD1B5_4A32_D192_ED03).wrapping_add(call.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
