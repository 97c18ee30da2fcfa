//! The loop of one volume: observe, decide, act; then rest until there is something new.
//!
//! It goes on whatever happens: a strategy that faults is reported to the [`Supervisor`], a step that fails
//! is tried again, and a catalog that cannot be written is the supervisor's business. It ends when it is told
//! to stop or when the volume is closed.
//!
//! While level 0 is over the guard rail, the loop doesn't wait for an answer longer than [`GUARD_PATIENCE`]:
//! it takes a native step and hears the answer afterwards. It runs one step at a time, so a long step of the
//! volume's own still delays its guard rail; that is why deep steps begin only while level 0 has room.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use mortise_kernel::seams::SharedClock;
use mortise_kernel::store::Step;
use mortise_plugin_runtime::compaction::Decision;
use mortise_plugin_runtime::{Call, Fault, ILLEGAL};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::act::{self, Acted, Permits, Wanted};
use super::decide::{self, Consequence, Plan, Verdict};
use super::observe::{Observation, Observer, fingerprint, write_amplification};
use super::pace::{By, Pace};
use super::question::{Asked, Question, seed};
use super::shadow::{Beside, Heard, Shadow};
use super::strategy::{Active, Slot};
use crate::recording::Recorded;
use crate::telemetry::StepMetrics;

/// How long an answer may be outstanding before the guard rail acts without it.
const GUARD_PATIENCE: Duration = Duration::from_secs(1);

/// Who is told about faults and does what they call for.
pub(crate) trait Supervisor: Send + Sync + 'static {
    /// Takes note of one fault.
    fn fault(&self, volume: &str, active: &Active, kind: &'static str, detail: &str);
    /// Puts another strategy into service in place of `active`, which faulted too often.
    fn quarantine<'a>(&'a self, volume: &'a str, active: &'a Active, reason: String) -> BoxFuture<'a, ()>;
    /// Puts what served before into service again in place of `active`, which faulted while it was watched.
    fn take_back<'a>(&'a self, volume: &'a str, active: &'a Active, reason: String) -> BoxFuture<'a, ()>;
    /// Ends a shadow, which faulted too often.
    fn end_shadow<'a>(
        &'a self,
        volume: &'a str,
        shadow: &'a Arc<Shadow>,
        reason: String,
    ) -> BoxFuture<'a, ()>;
    /// Finishes what could not be finished before, such as a catalog row that could not be written.
    fn settle<'a>(&'a self, volume: &'a str) -> BoxFuture<'a, ()>;
}

/// What a loop works with.
pub(crate) struct Task {
    pub volume_id: u64,
    pub observer: Arc<Observer>,
    pub slot: Arc<Slot>,
    pub supervisor: Arc<dyn Supervisor>,
    pub permits: Arc<Permits>,
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
    /// The question whose answer is outstanding.
    question: Option<Question>,
    stopped: watch::Receiver<bool>,
    pace: Pace,
    metrics: StepMetrics,
    calls: u64,
    guarding: bool,
    /// Why the strategy wants the step that it answered last.
    reason: String,
    beside: Beside,
}

impl Loop {
    fn new(task: Task, stopped: watch::Receiver<bool>) -> Self {
        let metrics = StepMetrics::new(task.slot.volume());
        let pace = Pace::new(task.tick);
        Self {
            task,
            question: None,
            stopped,
            pace,
            metrics,
            calls: 0,
            guarding: false,
            reason: String::new(),
            beside: Beside::default(),
        }
    }

    async fn run(mut self) {
        let mut shape_changes = self.task.observer.tree().shape_changes();
        let mut slot_changes = self.task.slot.changes();
        while !*self.stopped.borrow() {
            // An answer that is outstanding is about an older tree; what changed since then is still news.
            if self.question.is_none() {
                shape_changes.mark_unchanged();
                slot_changes.mark_unchanged();
            }
            let (verdict, observed) = self.consult().await;
            let (guard_l0_runs, now) = (self.task.guard_l0_runs, Instant::now());
            let plan = match &verdict {
                Some(verdict) => decide::plan(verdict, &observed, guard_l0_runs, &self.pace, now),
                None => decide::guard(GUARD_PATIENCE, &observed, guard_l0_runs, &self.pace, now),
            };
            self.note_guard(&plan, &observed);
            let rest = match plan {
                Plan::Rest(rest) => rest,
                Plan::Run { step, by } => match self.act(&step, by, &observed).await {
                    None => continue,
                    Some(rest) => rest,
                },
            };
            self.task.supervisor.settle(self.task.slot.volume()).await;
            if !self.rest(rest, observed.fingerprint, &mut shape_changes, &mut slot_changes).await {
                break;
            }
        }
    }

    /// Runs a step. Returns how long to rest, or `None` when there may be more to do at once.
    async fn act(&mut self, step: &Step, by: By, observed: &Observation) -> Option<Duration> {
        let volume = self.task.slot.volume();
        let tree = self.task.observer.tree();
        let reason = if by == By::Strategy { self.reason.as_str() } else { "the guard rail" };
        let wanted = Wanted { step, by, reason };
        let recorder = self.task.slot.recorder();
        recorder.begun(wanted.answer(), wanted.origin(), self.task.clock.unix_millis());
        let acted = act::run(tree, volume, &wanted, &self.task.permits, &self.metrics).await;
        let (acted, previous) = match acted {
            Some(acted) => acted,
            None => return Some(self.task.tick),
        };
        recorder.ended(&previous);
        self.task.observer.acted(previous);
        self.metrics.write_amplification(write_amplification(&tree.counters()));
        let now = Instant::now();
        match acted {
            Acted::Progressed(took) => {
                let left = fingerprint(&tree.shape());
                self.pace.progressed(by, step, took, left, now);
                return None;
            }
            Acted::Futile => self.pace.futile(by, observed.fingerprint, now),
            Acted::Failed => self.pace.failed(by, now),
        }
        // Asked again at once: the pace holds the same step back, and the guard rail may have a better one,
        // or the step that the guard rail was to make room for may go ahead.
        if by == By::Guard || observed.l0_runs() > self.task.guard_l0_runs {
            return None;
        }
        Some(self.pace.holds_back(by, step, observed.fingerprint, now).unwrap_or(self.task.tick))
    }

    /// The strategy's verdict, and the tree that it is about. While level 0 is over the guard rail and no
    /// answer comes, there is no verdict, and the tree is as it is now.
    async fn consult(&mut self) -> (Option<Verdict>, Arc<Observation>) {
        loop {
            let mut question = match self.question.take() {
                Some(question) => question,
                None => self.ask(),
            };
            if let Ok(answer) = tokio::time::timeout(GUARD_PATIENCE, &mut question.answer).await {
                let Question { asked, .. } = question;
                let (verdict, took) = self.hear(&asked, answer).await;
                let observed = Arc::clone(&asked.observed);
                self.ask_beside(asked, &verdict, took);
                return (Some(verdict), observed);
            }
            self.question = Some(question);
            let observed = self.task.observer.observe();
            if observed.l0_runs() > self.task.guard_l0_runs {
                return (None, Arc::new(observed));
            }
        }
    }

    /// Puts a question about the tree as it is to the strategy in service.
    fn ask(&mut self) -> Question {
        let observed = Arc::new(self.task.observer.observe());
        self.metrics.write_amplification(write_amplification(&observed.counters));
        let active = self.task.slot.load();
        self.pace.serving(active.activation);
        self.calls += 1;
        let call = Call {
            config: active.info.config.clone(),
            now: self.task.clock.unix_millis(),
            seed: seed(self.task.volume_id, self.calls),
        };
        let (now, seed) = (call.now, call.seed);
        let view = Arc::new(observed.view());
        let answer = decide::ask(Arc::clone(&active), call, Arc::clone(&view)).boxed();
        Question { asked: Asked { active, observed, view, now, seed, at: Instant::now() }, answer }
    }

    /// Puts a question that was answered to the shadow, when there is one.
    fn ask_beside(&mut self, asked: Asked, verdict: &Verdict, took: Duration) {
        let Some(shadow) = self.task.slot.shadow() else { return };
        let heard = Heard { asked, verdict: verdict.clone(), reason: self.reason.clone(), took };
        self.beside.ask(shadow, heard, self.task.slot.volume(), &self.task.supervisor);
    }

    /// Judges the answer to a question, and counts it; returns how long it took, too.
    async fn hear(&mut self, asked: &Asked, answer: Result<Decision, Fault>) -> (Verdict, Duration) {
        let Asked { active, observed, now, seed, at, .. } = asked;
        let took = at.elapsed();
        let recorded = asked.answered(&answer);
        let answer = answer.map(|decision| {
            self.reason = decision.reason;
            decision.step
        });
        let verdict = decide::judge(&observed.shape, answer);
        self.remember(active.activation, recorded, &verdict);
        let (volume, plugin, version) = (self.task.slot.volume(), &active.info.plugin, &active.info.version);
        let reason = match verdict {
            Verdict::Wait(_) | Verdict::Step(_) => self.reason.as_str(),
            Verdict::Fault { .. } | Verdict::NotAsked(_) => "",
        };
        tracing::debug!(
            volume,
            plugin,
            version,
            now,
            seed,
            ?took,
            ?verdict,
            reason,
            "the strategy was asked"
        );
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
                self.fault(active, kind, detail).await;
            }
        }
        (verdict, took)
    }

    /// Remembers an answer; what was not asked, for want of a free slot, is nobody's answer.
    fn remember(&self, activation: u64, recorded: Recorded, verdict: &Verdict) {
        let illegal = match verdict {
            Verdict::NotAsked(_) => return,
            Verdict::Fault { kind: ILLEGAL, detail } => Some(detail.as_str()),
            Verdict::Wait(_) | Verdict::Step(_) | Verdict::Fault { .. } => None,
        };
        self.task.slot.recorder().heard(activation, recorded, illegal);
    }

    async fn fault(&mut self, active: &Active, kind: &'static str, detail: &str) {
        let volume = self.task.slot.volume();
        let (plugin, version) = (&active.info.plugin, &active.info.version);
        tracing::warn!(volume, plugin, version, kind, detail, "the compaction strategy faulted");
        active.metrics.fault(kind);
        if kind == ILLEGAL {
            active.strategy.count_illegal();
        }
        self.task.supervisor.fault(volume, active, kind, detail);
        let faults = self.pace.fault();
        let watched = active.is_watched(self.task.clock.unix_millis());
        match decide::consequence(faults, watched, active.is_native()) {
            Consequence::AskAgain => {}
            Consequence::TakeBack => {
                let reason = format!("{kind}: {detail}");
                self.task.supervisor.take_back(volume, active, reason).await;
            }
            Consequence::Quarantine => {
                let reason = format!("{faults} faults in a row, the last one: {kind}: {detail}");
                self.task.supervisor.quarantine(volume, active, reason).await;
            }
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
