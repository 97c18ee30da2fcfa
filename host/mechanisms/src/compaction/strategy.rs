//! Strategies: whatever can be asked what to do with a tree, and the slot that holds the one in service.
//!
//! A slot is read by the loop before every question, without a lock, and replaced by the plugin lifecycle. A
//! question that is under way keeps the strategy that it was put to alive and finishes on it. Each
//! replacement has a number, its *activation*, so that a verdict about one strategy never hits its successor.

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use futures::FutureExt;
use futures::future::BoxFuture;
use mortise_kernel::store::{LevelShape, Step, TreeShape};
use mortise_plugin_runtime::compaction::{Answer, CompactionStrategy, Decision, View};
use mortise_plugin_runtime::{Call, Fault, World};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::observe::shape_of;
use super::shadow::Shadow;
use crate::NATIVE_STRATEGY;
use crate::recording::Recorder;
use crate::system::StrategyInfo;
use crate::telemetry::{ServiceMetrics, TenureMetrics};

/// Something that decides the next step for a tree.
pub(crate) trait Strategy: Send + Sync + 'static {
    /// The next step for the tree in `view`.
    fn decide(&self, call: Call, view: Arc<View>) -> BoxFuture<'_, Result<Decision, Fault>>;
    /// The same where nobody waits for the answer, so that it may keep nobody else waiting.
    fn decide_aside(&self, call: Call, view: Arc<View>) -> BoxFuture<'_, Result<Decision, Fault>> {
        self.decide(call, view)
    }
    /// Counts an answer that turned out to be illegal.
    fn count_illegal(&self) {}
}

impl Strategy for CompactionStrategy {
    fn decide(&self, call: Call, view: Arc<View>) -> BoxFuture<'_, Result<Decision, Fault>> {
        self.decide_on_pool(call, view).boxed()
    }

    fn decide_aside(&self, call: Call, view: Arc<View>) -> BoxFuture<'_, Result<Decision, Fault>> {
        Self::decide_aside(self, call, view).boxed()
    }

    fn count_illegal(&self) {
        self.component().count_illegal();
    }
}

/// Runs in level 0 that the native strategy merges.
const L0_THRESHOLD: u8 = 4;
/// Size ratio between neighbouring levels of the native strategy.
const LEVEL_RATIO: f32 = 10.0;
/// Size of tables of the native strategy, in bytes.
const TABLE_BYTES: u64 = 64 * 1024 * 1024;

/// One step of the kernel's own levelled compaction with the native knobs.
pub(crate) const NATIVE_STEP: Step =
    Step::Partial { l0_threshold: L0_THRESHOLD, level_ratio: LEVEL_RATIO, table_bytes: TABLE_BYTES };

/// The strategy that is part of the program: levelled compaction with fixed knobs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NativeLeveled;

impl NativeLeveled {
    /// Whether a levelled step has something to do.
    fn is_due(shape: &TreeShape) -> bool {
        let l0_runs = shape.levels.first().map_or(0, |level| level.runs.len());
        l0_runs >= usize::from(L0_THRESHOLD) || Self::has_oversized_level(shape)
    }

    /// The uppermost filled level below level 0 may hold `L0_THRESHOLD` tables' worth, each further one
    /// `LEVEL_RATIO` times more; the last level may hold anything.
    fn has_oversized_level(shape: &TreeShape) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "sizes are compared roughly")]
        let bytes = |level: &LevelShape| level.bytes() as f64;
        #[expect(clippy::cast_precision_loss, reason = "sizes are compared roughly")]
        let mut target = TABLE_BYTES as f64 * f64::from(L0_THRESHOLD);
        let last = shape.levels.len().saturating_sub(1);
        let below_l0 = shape.levels.iter().take(last).skip(1).skip_while(|level| level.runs.is_empty());
        for level in below_l0 {
            if bytes(level) > target {
                return true;
            }
            target *= f64::from(LEVEL_RATIO);
        }
        false
    }
}

impl Strategy for NativeLeveled {
    fn decide(&self, _call: Call, view: Arc<View>) -> BoxFuture<'_, Result<Decision, Fault>> {
        let answer = if Self::is_due(&shape_of(&view)) {
            Answer::Partial { l0_threshold: L0_THRESHOLD, level_ratio: LEVEL_RATIO, table_bytes: TABLE_BYTES }
        } else {
            Answer::Wait { ask_again_ms: None }
        };
        std::future::ready(Ok(answer.into())).boxed()
    }
}

/// A strategy in service.
pub(crate) struct Active {
    /// Number of the replacement that put it into service.
    pub activation: u64,
    /// Who it is.
    pub info: StrategyInfo,
    /// Itself.
    pub strategy: Arc<dyn Strategy>,
    /// Since when it serves, Unix milliseconds.
    pub since_unix_ms: u64,
    /// Why it serves instead of the one that is bound, when that is so.
    pub problem: Option<String>,
    /// Until when its first fault takes it back, Unix milliseconds; 0 when it is not watched.
    pub watched_until_unix_ms: u64,
    /// Where its calls are counted.
    pub metrics: ServiceMetrics,
    /// Where it is told that it serves.
    tenure: TenureMetrics,
}

impl Active {
    /// Whether this is the strategy that cannot be quarantined because nothing is left behind it.
    pub(crate) fn is_native(&self) -> bool {
        self.info.plugin == NATIVE_STRATEGY
    }

    /// Whether its first fault takes it back.
    pub(crate) fn is_watched(&self, unix_ms: u64) -> bool {
        unix_ms < self.watched_until_unix_ms
    }
}

impl fmt::Debug for Active {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Active").field("activation", &self.activation).field("info", &self.info).finish()
    }
}

/// What goes into a slot.
#[derive(Clone)]
pub(crate) struct Candidate {
    pub info: StrategyInfo,
    pub strategy: Arc<dyn Strategy>,
    pub problem: Option<String>,
    /// Until when its first fault takes it back, Unix milliseconds; 0 when it is not watched.
    pub watched_until_unix_ms: u64,
}

impl Candidate {
    /// The native strategy, serving for the reason given or because it is bound.
    pub(crate) fn native(problem: Option<String>) -> Self {
        let strategy = Arc::new(NativeLeveled);
        Self { info: native_info(), strategy, problem, watched_until_unix_ms: 0 }
    }
}

/// How the native strategy is shown.
pub(crate) fn native_info() -> StrategyInfo {
    StrategyInfo {
        plugin: NATIVE_STRATEGY.into(),
        version: String::new(),
        digest: String::new(),
        config: "{}".into(),
    }
}

/// Holds the strategy in service of one volume, the one that is about to be next, the shadow, and what was
/// answered lately.
pub(crate) struct Slot {
    volume: String,
    recorder: Recorder,
    active: ArcSwap<Active>,
    /// Ready to serve, and acted upon by nobody.
    candidate: ArcSwapOption<Candidate>,
    /// Asked beside what serves.
    shadow: ArcSwapOption<Shadow>,
    changes: watch::Sender<u64>,
    replacing: Mutex<()>,
}

impl Slot {
    /// A slot with its first strategy.
    pub(crate) fn new(volume: &str, first: Candidate, unix_ms: u64) -> Self {
        let active = activate(volume, first, 0, unix_ms);
        active.tenure.begins(unix_ms);
        Self {
            volume: volume.into(),
            recorder: Recorder::default(),
            active: ArcSwap::from_pointee(active),
            candidate: ArcSwapOption::empty(),
            shadow: ArcSwapOption::empty(),
            changes: watch::Sender::new(0),
            replacing: Mutex::new(()),
        }
    }

    /// Name of the volume.
    pub(crate) fn volume(&self) -> &str {
        &self.volume
    }

    /// What was asked and answered here lately.
    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The strategy in service.
    pub(crate) fn load(&self) -> Arc<Active> {
        self.active.load_full()
    }

    /// Changes with every replacement.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Takes a candidate, in place of the one that is there. The strategy in service is left alone.
    pub(crate) fn propose(&self, candidate: Candidate) {
        self.candidate.store(Some(Arc::new(candidate)));
    }

    /// The candidate, when there is one.
    pub(crate) fn candidate(&self) -> Option<Arc<Candidate>> {
        self.candidate.load_full()
    }

    /// Forgets the candidate.
    pub(crate) fn withdraw(&self) {
        self.candidate.store(None);
    }

    /// Takes a shadow, in place of the one that is there.
    pub(crate) fn cast(&self, shadow: Shadow) {
        self.shadow.store(Some(Arc::new(shadow)));
    }

    /// The shadow, when there is one.
    pub(crate) fn shadow(&self) -> Option<Arc<Shadow>> {
        self.shadow.load_full()
    }

    /// Ends the shadow, whichever it is.
    pub(crate) fn end_shadow(&self) -> Option<Arc<Shadow>> {
        self.shadow.swap(None)
    }

    /// Puts the candidate into service and returns what served until now; `None` when there is no candidate.
    pub(crate) fn promote(&self, unix_ms: u64) -> Option<Arc<Active>> {
        let _order = self.replacing.lock();
        let next = self.candidate.swap(None)?;
        Some(self.put(Candidate::clone(&next), unix_ms))
    }

    /// Puts another strategy into service and returns the one that served until now.
    #[cfg(test)]
    pub(crate) fn replace(&self, next: Candidate, unix_ms: u64) -> Arc<Active> {
        let _order = self.replacing.lock();
        self.put(next, unix_ms)
    }

    /// Puts another strategy into service, unless `activation` is not in service any more.
    pub(crate) fn replace_if(&self, activation: u64, next: Candidate, unix_ms: u64) -> bool {
        let _order = self.replacing.lock();
        let current = self.active.load().activation == activation;
        if current {
            self.put(next, unix_ms);
        }
        current
    }

    /// Takes the volume's strategy out of the figures, when the volume is closed.
    pub(crate) fn retire(&self) {
        self.withdraw();
        self.end_shadow();
        self.active.load().tenure.ends();
    }

    fn put(&self, next: Candidate, unix_ms: u64) -> Arc<Active> {
        let activation = self.active.load().activation + 1;
        let next = Arc::new(activate(&self.volume, next, activation, unix_ms));
        let last = self.active.swap(Arc::clone(&next));
        last.tenure.ends();
        next.tenure.takes_over(unix_ms);
        self.changes.send_replace(activation);
        last
    }
}

fn activate(volume: &str, candidate: Candidate, activation: u64, unix_ms: u64) -> Active {
    let Candidate { info, strategy, problem, watched_until_unix_ms } = candidate;
    let world = World::CompactionStrategy;
    let metrics = ServiceMetrics::new(volume, world, &info.plugin, &info.version);
    let tenure = TenureMetrics::new(volume, world, &info.plugin, &info.version);
    Active {
        activation,
        info,
        strategy,
        since_unix_ms: unix_ms,
        problem,
        watched_until_unix_ms,
        metrics,
        tenure,
    }
}
