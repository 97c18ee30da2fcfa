//! How fast the loop may go: what keeps it from spinning, whatever a strategy answers.
//!
//! - A step that changed nothing is not run again for the same tree until a back-off has passed that doubles
//!   from 100 ms up to the safety tick. A changed tree may be tried at once, since it took real work to
//!   change it.
//! - After a step that failed, as on a full disk, none is run until the same back-off has passed, whatever
//!   happens to the tree: flushes go on while compaction fails, and each try may write a lot before it does.
//! - A major step is not run on exactly what the last major step left, and not before as much time has passed
//!   as the last one took: a strategy that wants majors without end spends half of the time at most in them.
//! - After a fault the strategy is asked again after a back-off; after [`FAULTS_IN_A_ROW`] it is quarantined.
//!
//! All other steps bring the tree closer to a state in which they are illegal or do nothing, so they end by
//! themselves.

use std::time::Duration;

use mortise_kernel::store::Step;
use tokio::time::Instant;

/// Faults without an acceptable answer between them that put a version into quarantine.
pub(crate) const FAULTS_IN_A_ROW: u32 = 3;

const FIRST_BACKOFF: Duration = Duration::from_millis(100);

/// Who wants a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// The strategy in service.
    Strategy,
    /// The guard rail.
    Guard,
}

impl By {
    /// Name for logs and metric labels.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Strategy => "strategy",
            Self::Guard => "guard",
        }
    }
}

/// A step that achieved nothing.
#[derive(Clone, Copy, Debug)]
struct Futile {
    /// On which tree; `None` when it failed, which another tree doesn't change.
    fingerprint: Option<u64>,
    /// When it may be tried again.
    retry_at: Instant,
}

/// The last major step.
#[derive(Clone, Copy, Debug)]
struct Major {
    /// The tree that it left.
    left: u64,
    /// When the next one may begin.
    not_before: Instant,
}

/// What the loop remembers between two rounds.
#[derive(Debug)]
pub(crate) struct Pace {
    tick: Duration,
    activation: u64,
    faults: u32,
    not_asked: u32,
    idle: [u32; 2],
    futile: [Option<Futile>; 2],
    major: Option<Major>,
}

impl Pace {
    /// Remembers nothing yet. `tick` is the longest rest.
    pub(crate) fn new(tick: Duration) -> Self {
        Self { tick, activation: 0, faults: 0, not_asked: 0, idle: [0; 2], futile: [None; 2], major: None }
    }

    /// The longest rest.
    pub(crate) fn tick(&self) -> Duration {
        self.tick
    }

    /// Takes note of which strategy serves; a new one starts with a clean sheet.
    pub(crate) fn serving(&mut self, activation: u64) {
        if self.activation != activation {
            self.activation = activation;
            self.faults = 0;
            self.not_asked = 0;
            self.idle[By::Strategy as usize] = 0;
            self.futile[By::Strategy as usize] = None;
        }
    }

    /// Counts a fault; returns how many there were in a row.
    pub(crate) fn fault(&mut self) -> u32 {
        self.faults += 1;
        self.faults
    }

    /// The strategy could not be asked.
    pub(crate) fn not_asked(&mut self) {
        self.not_asked += 1;
    }

    /// The strategy gave an acceptable answer.
    pub(crate) fn answered(&mut self) {
        self.faults = 0;
        self.not_asked = 0;
    }

    /// Rest after a fault or a question that could not be put.
    pub(crate) fn backoff(&self) -> Duration {
        self.doubled(self.faults.max(self.not_asked))
    }

    /// How long to rest before this step may run on this tree; `None` when it may run now.
    pub(crate) fn holds_back(&self, by: By, step: &Step, fingerprint: u64, now: Instant) -> Option<Duration> {
        if let (Step::Major { .. }, Some(major)) = (step, self.major) {
            if major.left == fingerprint {
                return Some(self.tick);
            }
            if now < major.not_before {
                return Some(major.not_before - now);
            }
        }
        let futile = self.futile[by as usize]?;
        let applies = futile.fingerprint.is_none_or(|seen| seen == fingerprint);
        (applies && now < futile.retry_at).then(|| futile.retry_at - now)
    }

    /// A step changed the tree.
    pub(crate) fn progressed(&mut self, by: By, step: &Step, took: Duration, left: u64, now: Instant) {
        self.idle[by as usize] = 0;
        self.futile[by as usize] = None;
        if matches!(step, Step::Major { .. }) {
            self.major = Some(Major { left, not_before: now + took });
        }
    }

    /// A step achieved nothing on this tree.
    pub(crate) fn futile(&mut self, by: By, fingerprint: u64, now: Instant) {
        self.hold_back(by, Some(fingerprint), now);
    }

    /// A step failed, for a reason that is not in the tree.
    pub(crate) fn failed(&mut self, by: By, now: Instant) {
        self.hold_back(by, None, now);
    }

    fn hold_back(&mut self, by: By, fingerprint: Option<u64>, now: Instant) {
        self.idle[by as usize] += 1;
        let retry_at = now + self.doubled(self.idle[by as usize]);
        self.futile[by as usize] = Some(Futile { fingerprint, retry_at });
    }

    /// 100 ms for the first time, then twice as much each time, up to the tick.
    fn doubled(&self, times: u32) -> Duration {
        FIRST_BACKOFF.saturating_mul(1 << times.saturating_sub(1).min(16)).min(self.tick)
    }
}
