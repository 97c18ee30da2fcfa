//! A loop over a fake tree with a supervisor that takes notes, for tests.
//!
//! The loop is the real one; the tree, the strategy and the supervisor are not. The supervisor does at once
//! what the plugin lifecycle would do: it replaces what faulted by the native strategy. It remembers why, so
//! that a test can count faults, quarantines and questions. Tests pause tokio's clock; nothing here waits for
//! real time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use mortise_plugin_runtime::compaction::{Answer, Decision, View};
use mortise_plugin_runtime::{Call, Fault};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::act::Permits;
use super::fake::{FakeTree, Script};
use super::shadow::Shadow;
use super::strategy::{Active, Candidate, Slot, Strategy};
use super::task::{Handle, Supervisor, Task, spawn};
use crate::catalog::memory_rows::fixed_clock;
use crate::system::StrategyInfo;

/// Runs of level 0 above which the guard rail acts.
pub(super) const GUARD: usize = 20;

/// Replaces what is quarantined or taken back by the native strategy, and counts.
#[derive(Default)]
pub(super) struct Warden {
    slot: Mutex<Option<Arc<Slot>>>,
    pub(super) faults: Mutex<Vec<&'static str>>,
    pub(super) quarantined: Mutex<Vec<String>>,
    pub(super) taken_back: Mutex<Vec<String>>,
    /// Shadows that ended, and why.
    pub(super) ended: Mutex<Vec<(String, String)>>,
}

impl Supervisor for Warden {
    fn fault(&self, _: &str, _: &Active, kind: &'static str, _: &str) {
        self.faults.lock().push(kind);
    }

    fn quarantine<'a>(&'a self, _: &'a str, active: &'a Active, reason: String) -> BoxFuture<'a, ()> {
        self.quarantined.lock().push(reason);
        let slot = self.slot.lock().clone().unwrap();
        slot.replace_if(active.activation, Candidate::native(None), 0);
        std::future::ready(()).boxed()
    }

    fn take_back<'a>(&'a self, _: &'a str, active: &'a Active, reason: String) -> BoxFuture<'a, ()> {
        self.taken_back.lock().push(reason);
        let slot = self.slot.lock().clone().unwrap();
        slot.replace_if(active.activation, Candidate::native(None), 0);
        std::future::ready(()).boxed()
    }

    fn end_shadow<'a>(&'a self, _: &'a str, shadow: &'a Arc<Shadow>, why: String) -> BoxFuture<'a, ()> {
        self.ended.lock().push((shadow.candidate.info.plugin.clone(), why));
        self.slot.lock().clone().unwrap().end_shadow();
        std::future::ready(()).boxed()
    }

    fn settle<'a>(&'a self, _: &'a str) -> BoxFuture<'a, ()> {
        std::future::ready(()).boxed()
    }
}

/// A loop that runs, and what it works with.
pub(super) struct Bench {
    pub(super) tree: Arc<FakeTree>,
    pub(super) slot: Arc<Slot>,
    pub(super) warden: Arc<Warden>,
    pub(super) calls: Arc<AtomicUsize>,
    pub(super) handle: Handle,
}

pub(super) fn named(name: &str, strategy: Arc<dyn Strategy>) -> Candidate {
    let info = StrategyInfo {
        plugin: name.into(),
        version: "1.0.0".into(),
        digest: name.into(),
        config: "{}".into(),
    };
    Candidate { info, strategy, problem: None, watched_until_unix_ms: 0 }
}

impl Bench {
    /// Runs the loop of `tree` with a strategy from a closure.
    pub(super) fn new(
        tree: Arc<FakeTree>,
        answer: impl Fn(&Call, &View) -> Result<Answer, Fault> + Send + Sync + 'static,
    ) -> Self {
        Self::with(tree, Arc::new(Permits::new(2)), GUARD, answer)
    }

    pub(super) fn with(
        tree: Arc<FakeTree>,
        permits: Arc<Permits>,
        guard_l0_runs: usize,
        answer: impl Fn(&Call, &View) -> Result<Answer, Fault> + Send + Sync + 'static,
    ) -> Self {
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let counted = move |call: &Call, view: &View| {
            counter.fetch_add(1, Ordering::Relaxed);
            answer(call, view)
        };
        let slot = Arc::new(Slot::new("v", named("scripted", Arc::new(Script(counted))), 0));
        let warden = Arc::new(Warden::default());
        *warden.slot.lock() = Some(Arc::clone(&slot));
        let handle = spawn(Task {
            volume_id: 7,
            observer: tree.observer(),
            slot: Arc::clone(&slot),
            supervisor: Arc::<Warden>::clone(&warden),
            permits,
            clock: fixed_clock(),
            guard_l0_runs,
            tick: Duration::from_secs(30),
        });
        Self { tree, slot, warden, calls, handle }
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

/// Answers when it is told to.
pub(super) struct Slow {
    pub(super) asked: Notify,
    pub(super) answer: Notify,
}

impl Strategy for Arc<Slow> {
    fn decide(&self, _: Call, _: Arc<View>) -> BoxFuture<'_, Result<Decision, Fault>> {
        async {
            self.asked.notify_one();
            self.answer.notified().await;
            Ok(Answer::Merge { from: 0, to: 6 }.into())
        }
        .boxed()
    }
}
