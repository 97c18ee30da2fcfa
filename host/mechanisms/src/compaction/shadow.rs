//! A shadow: a candidate that is asked beside the strategy in service, and acted upon by nobody.
//!
//! Whenever the strategy in service has answered, the shadow gets the same question: the same view, time
//! and seed, with its own configuration. It is asked in a task of its own and on a thread that serves
//! nobody else, so that neither a step nor a call of what serves waits for it. One question at a time:
//! while a call is under way the views that come are skipped, and counted as skipped. So they are while it
//! rests: a shadow is busy for a hundredth of the time at most, however long it takes, because its processor
//! time is taken from somebody's requests. A call of a tenth of a millisecond costs it no view.
//!
//! A shadow that faults [`FAULTS_IN_A_ROW`] times in a row is ended. What serves is never judged by it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use mortise_plugin_runtime::{Call, ILLEGAL};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::decide::{Verdict, judge, within_limit};
use super::pace::FAULTS_IN_A_ROW;
use super::question::Asked;
use super::strategy::Candidate;
use super::tally::{Compared, Said, Tally};
use super::task::Supervisor;
use crate::system::{ShadowReport, StrategyInfo};
use crate::telemetry::ShadowMetrics;

/// From its beginning on, a call takes up so many times its length: it runs, and then its shadow rests.
const SHARE: u32 = 100;

/// A candidate under comparison.
pub(crate) struct Shadow {
    pub candidate: Candidate,
    metrics: ShadowMetrics,
    state: Mutex<State>,
}

struct State {
    /// What it was compared with last; the counts are about that one alone.
    against: Option<StrategyInfo>,
    counting_since_unix_ms: u64,
    tally: Tally,
    faults_in_a_row: u32,
}

/// What a shadow has shown so far.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// What it is compared with; `None` before the first view.
    pub against: Option<StrategyInfo>,
    pub counting_since_unix_ms: u64,
    pub report: ShadowReport,
}

impl Shadow {
    /// A shadow that has shown nothing yet.
    pub(crate) fn new(volume: &str, candidate: Candidate, unix_ms: u64) -> Self {
        let metrics = ShadowMetrics::new(volume, &candidate.info.plugin, &candidate.info.version);
        let state =
            State { against: None, counting_since_unix_ms: unix_ms, tally: Tally::new(), faults_in_a_row: 0 };
        Self { candidate, metrics, state: Mutex::new(state) }
    }

    pub(crate) fn standing(&self) -> Standing {
        let state = self.state.lock();
        Standing {
            against: state.against.clone(),
            counting_since_unix_ms: state.counting_since_unix_ms,
            report: state.tally.report(),
        }
    }

    fn skip(&self) {
        self.state.lock().tally.skip();
        self.metrics.compared(Compared::NotAsked.as_str());
    }

    /// Counts what both said; returns why the shadow has to end, when it has to.
    fn count(&self, heard: &Heard, shadow: &Said<'_>) -> Option<String> {
        let active = Said { verdict: &heard.verdict, reason: &heard.reason, took: heard.took };
        let mut state = self.state.lock();
        if state.against.as_ref() != Some(&heard.asked.active.info) {
            let first = state.against.replace(heard.asked.active.info.clone()).is_none();
            // Views skipped before the first answer belong to it, too.
            if !first {
                state.tally = Tally::new();
                state.counting_since_unix_ms = heard.asked.now;
            }
        }
        let compared = state.tally.count(heard.asked.now, &heard.asked.observed.shape, &active, shadow);
        match compared {
            Compared::Faulted(_) => state.faults_in_a_row += 1,
            Compared::NotAsked => {}
            Compared::Agreed | Compared::Differed | Compared::Unmatched => state.faults_in_a_row = 0,
        }
        let faults = state.faults_in_a_row;
        drop(state);
        self.metrics.compared(compared.as_str());
        if compared != Compared::NotAsked {
            self.metrics.took(shadow.took);
        }
        let Verdict::Fault { kind, detail } = shadow.verdict else { return None };
        if *kind == ILLEGAL {
            self.candidate.strategy.count_illegal();
        }
        (faults >= FAULTS_IN_A_ROW)
            .then(|| format!("{faults} faults in a row, the last one: {kind}: {detail}"))
    }
}

impl std::fmt::Debug for Shadow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shadow").field("info", &self.candidate.info).finish_non_exhaustive()
    }
}

/// A question that the strategy in service has answered.
pub(crate) struct Heard {
    pub asked: Asked,
    pub verdict: Verdict,
    /// Empty when it gave none.
    pub reason: String,
    pub took: Duration,
}

/// The one call of shadows that a loop may have under way. It is given up when this is dropped.
#[derive(Default)]
pub(crate) struct Beside {
    call: Option<UnderWay>,
    /// Who was asked last, and when it may be asked again.
    rests: Option<(Weak<Shadow>, Instant)>,
}

struct UnderWay {
    shadow: Weak<Shadow>,
    began: Instant,
    /// Tells how long the shadow took.
    task: JoinHandle<Duration>,
    _given_up: oneshot::Sender<()>,
}

impl Beside {
    /// Puts a question to the shadow that the strategy in service has answered. Returns at once.
    pub(crate) fn ask(
        &mut self,
        shadow: Arc<Shadow>,
        heard: Heard,
        volume: &str,
        supervisor: &Arc<dyn Supervisor>,
    ) {
        let began = Instant::now();
        if !self.is_free(&shadow, began) {
            shadow.skip();
            return;
        }
        let (given_up, mut told) = oneshot::channel();
        let asked = Arc::downgrade(&shadow);
        let (volume, supervisor) = (volume.to_owned(), Arc::clone(supervisor));
        let task = tokio::spawn(async move {
            let (took, failed) = tokio::select! {
                answered = put(&shadow, &heard, &volume) => answered,
                _ = &mut told => return Duration::ZERO,
            };
            // From here on nothing is given up half-way.
            if let Some(reason) = failed {
                supervisor.end_shadow(&volume, &shadow, reason).await;
            }
            took
        });
        self.call = Some(UnderWay { shadow: asked, began, task, _given_up: given_up });
    }

    /// Whether no call is under way, and this shadow's last one is so long ago as its length wants.
    fn is_free(&mut self, shadow: &Arc<Shadow>, now: Instant) -> bool {
        if let Some(mut call) = self.call.take() {
            let Some(ended) = (&mut call.task).now_or_never() else {
                self.call = Some(call);
                return false;
            };
            self.rests = Some((call.shadow, call.began + ended.unwrap_or_default() * SHARE));
        }
        let of_this = |(last, _): &&(Weak<Shadow>, Instant)| std::ptr::eq(last.as_ptr(), Arc::as_ptr(shadow));
        self.rests.as_ref().filter(of_this).is_none_or(|(_, until)| *until <= now)
    }
}

/// Asks the shadow; returns how long it took, and why it has to end, when it has to.
async fn put(shadow: &Shadow, heard: &Heard, volume: &str) -> (Duration, Option<String>) {
    let info = &shadow.candidate.info;
    let call = Call { config: info.config.clone(), now: heard.asked.now, seed: heard.asked.seed };
    let at = Instant::now();
    let answer =
        within_limit(shadow.candidate.strategy.decide_aside(call, Arc::clone(&heard.asked.view))).await;
    let took = at.elapsed();
    let mut reason = String::new();
    let answer = answer.map(|decision| {
        reason = decision.reason;
        decision.step
    });
    let verdict = judge(&heard.asked.observed.shape, answer);
    let (plugin, version, seed) = (&info.plugin, &info.version, heard.asked.seed);
    tracing::debug!(volume, plugin, version, seed, ?took, ?verdict, reason, "the shadow was asked");
    (took, shadow.count(heard, &Said { verdict: &verdict, reason: &reason, took }))
}
