//! World `compaction-strategy`: keeps the tree of a volume in shape.
//!
//! The view types come from the contract. A view is a list of levels, a level a list of runs (the newest
//! first), a run a list of tables ordered by key. Sizes are bytes on disk. Sums saturate, so that no view can
//! make a policy panic.
//!
//! ```
//! use mortise_guest::compaction::Step;
//! use mortise_guest::testkit::view;
//!
//! let tree = view().runs(0, 4, 1 << 20).run(5, 1 << 30).build();
//! let step = match tree.filled().find(|level| *level > 0) {
//!     Some(below) if tree.level0_runs() >= 4 => Step::Merge { from: 0, to: below },
//!     _ => Step::WAIT,
//! };
//! assert_eq!(step, Step::Merge { from: 0, to: 5 });
//! assert_eq!(tree.check(&step), Ok(()));
//! ```

mod leveled;
mod rules;
mod step;
mod view;

pub use leveled::{Knobs, Work};
pub use rules::Illegal;
pub use step::{Decision, Step};

use crate::Call;
use crate::bindings::exports::mortise::plugin::compaction as wire;

/// One of the levels in [`View::levels`].
///
/// ```
/// use mortise_guest::compaction::Level;
/// use mortise_guest::testkit::view;
///
/// let tree = view().run(0, 2 << 20).run(0, 1 << 20).build();
/// let level: &Level = &tree.levels[0];
/// assert_eq!((level.runs[0].bytes(), level.runs[1].bytes()), (2 << 20, 1 << 20));
/// ```
#[doc(inline)]
pub use wire::Level;

/// Tells a policy whether the host had to act on its own.
///
/// ```
/// use mortise_guest::compaction::{Origin, Outcome, PreviousStep, Step};
/// use mortise_guest::testkit::view;
///
/// let step = Step::Major { table_bytes: 64 << 20 }.into();
/// let (wanted_by, outcome) = (Origin::Host, Outcome::Nothing);
/// let tree = view().previous(PreviousStep { step, wanted_by, outcome, took_ms: 1 }).build();
/// let helped = tree.previous.is_some_and(|previous| previous.wanted_by == Origin::Host);
/// assert!(helped, "this policy left too many runs in level 0");
/// ```
#[doc(inline)]
pub use wire::Origin;

/// What [`PreviousStep`] says about success.
///
/// ```
/// use mortise_guest::compaction::{Outcome, StepWork};
///
/// /// Bytes that a step has written.
/// fn written(outcome: &Outcome) -> u64 {
///     match outcome {
///         Outcome::Done(work) => work.bytes_out,
///         Outcome::Nothing | Outcome::Stale | Outcome::Failed(_) => 0,
///     }
/// }
///
/// assert_eq!(written(&Outcome::Done(StepWork { bytes_in: 9 << 20, bytes_out: 8 << 20 })), 8 << 20);
/// assert_eq!(written(&Outcome::Failed("no space left on device".to_owned())), 0);
/// ```
#[doc(inline)]
pub use wire::Outcome;

/// All that a policy learns about its past.
///
/// ```
/// use mortise_guest::compaction::{Origin, Outcome, PreviousStep, Step, StepWork};
///
/// let previous = PreviousStep {
///     step: Step::Merge { from: 0, to: 6 }.into(),
///     wanted_by: Origin::Plugin,
///     outcome: Outcome::Done(StepWork { bytes_in: 9 << 20, bytes_out: 8 << 20 }),
///     took_ms: 120,
/// };
/// assert_eq!(previous.what(), Step::Merge { from: 0, to: 6 });
/// assert_eq!(previous.failure(), None);
/// ```
#[doc(inline)]
pub use wire::PreviousStep;

/// What a read has to search: at most one table of each run.
///
/// ```
/// use mortise_guest::compaction::Run;
/// use mortise_guest::testkit::view;
///
/// let tree = view().run_of(1, &[3 << 20, 5 << 20]).build();
/// let run: &Run = &tree.levels[1].runs[0];
/// assert_eq!((run.tables.len(), run.bytes()), (2, 8 << 20));
/// ```
#[doc(inline)]
pub use wire::Run;

/// What a policy knows of one file.
///
/// ```
/// use mortise_guest::compaction::Table;
///
/// let table = Table {
///     id: 1,
///     bytes: 1 << 20,
///     entries: 1_000,
///     tombstones: 600,
///     max_seqno: 7,
///     min_key: b"a".to_vec(),
///     max_key: b"m".to_vec(),
/// };
/// assert!(table.tombstones > table.entries / 2, "most of it is deleted");
/// ```
#[doc(inline)]
pub use wire::Table;

/// What a strategy is asked about; [`testkit::view`](crate::testkit::view) makes views for tests.
///
/// ```
/// use mortise_guest::compaction::View;
/// use mortise_guest::testkit::view;
///
/// let tree: View = view().run(0, 4 << 20).run(6, 64 << 20).write_rate(1 << 20).build();
/// assert_eq!(tree.levels[6].runs[0].tables[0].bytes, 64 << 20);
/// assert_eq!((tree.write_rate, tree.previous), (1 << 20, None));
/// ```
#[doc(inline)]
pub use wire::View;

/// What [`Outcome::Done`] says about cost.
///
/// ```
/// use mortise_guest::compaction::StepWork;
///
/// let work = StepWork { bytes_in: 9 << 20, bytes_out: 8 << 20 };
/// assert_eq!(work.bytes_in - work.bytes_out, 1 << 20, "so much was old or deleted");
/// ```
#[doc(inline)]
pub use wire::Work as StepWork;

/// Levels of every tree.
///
/// ```
/// use mortise_guest::compaction::LEVELS;
/// use mortise_guest::testkit::view;
///
/// let tree = view().run(LEVELS - 1, 1 << 20).build();
/// assert_eq!(tree.levels.len(), usize::from(LEVELS));
/// assert_eq!(tree.filled().next_back(), Some(LEVELS - 1));
/// ```
pub const LEVELS: u8 = 7;

/// Bounds of the size of tables that the host accepts, in bytes.
///
/// ```
/// use mortise_guest::compaction::TABLE_BYTES;
///
/// let wished: u64 = 4 << 10;
/// assert!(!TABLE_BYTES.contains(&wished));
/// assert_eq!(wished.clamp(*TABLE_BYTES.start(), *TABLE_BYTES.end()), 64 << 10);
/// ```
pub const TABLE_BYTES: std::ops::RangeInclusive<u64> = 64 * 1024..=1024 * 1024 * 1024;

/// Decides how the tree of a volume is kept in shape.
///
/// The host asks whenever the shape has changed, and a little later again while there is something to do. It
/// checks every step; one that breaks a rule (see [`View::check`]) is a fault, and three in a row end the
/// plugin's service.
///
/// ```
/// use mortise_guest::Call;
/// use mortise_guest::compaction::{CompactionStrategy, Decision, Step, View};
/// use mortise_guest::testkit::view;
///
/// /// Rewrites the tree as soon as a second run would have to be searched.
/// struct OneRun;
///
/// impl CompactionStrategy for OneRun {
///     type Config = serde_json::Value;
///
///     fn decide(_: &Self::Config, _: &Call, view: &View) -> Result<Decision, String> {
///         let step = if view.all_runs() < 2 { Step::WAIT } else { Step::Major { table_bytes: 64 << 20 } };
///         Ok(step.into())
///     }
/// }
///
/// let config = serde_json::json!({});
/// let tree = view().run(0, 1 << 20).run(6, 1 << 30).build();
/// let decision = OneRun::decide(&config, &Call::default(), &tree).unwrap();
/// assert_eq!(decision.step, Step::Major { table_bytes: 64 << 20 });
/// ```
pub trait CompactionStrategy {
    /// What an operator can set. Read from JSON; `{}` must be valid, so derive with `#[serde(default)]`, and
    /// `deny_unknown_fields` catches what is misspelt.
    type Config: serde::de::DeserializeOwned;

    /// The next step for the tree, and why: `Ok(Step::WAIT.into())`, or
    /// `Ok(step.because("level 0 has 8 runs"))`, which the operator sees in the log.
    ///
    /// ```
    /// use mortise_guest::Call;
    /// use mortise_guest::compaction::{CompactionStrategy, Decision, Step, View};
    /// use mortise_guest::testkit::view;
    ///
    /// /// Rewrites the tree in a quiet hour.
    /// struct Nightly;
    ///
    /// /// What an operator can set; the default is midnight UTC.
    /// #[derive(Default, serde::Deserialize)]
    /// #[serde(default, deny_unknown_fields)]
    /// struct Config {
    ///     hour: u64,
    /// }
    ///
    /// impl CompactionStrategy for Nightly {
    ///     type Config = Config;
    ///
    ///     fn decide(config: &Config, call: &Call, view: &View) -> Result<Decision, String> {
    ///         if config.hour > 23 {
    ///             return Err(format!("hour is {}; expected 0 to 23", config.hour));
    ///         }
    ///         if call.now / 3_600_000 % 24 != config.hour || view.all_runs() < 2 {
    ///             return Ok(Step::Wait { ask_again_ms: Some(60_000) }.into());
    ///         }
    ///         Ok(Step::Major { table_bytes: 64 << 20 }.because(format!("it is hour {}", config.hour)))
    ///     }
    /// }
    ///
    /// let tree = view().runs(0, 2, 1 << 20).build();
    /// let decide = |hour| Nightly::decide(&Config { hour }, &Call { now: 3_600_000, seed: 0 }, &tree);
    /// assert_eq!(decide(1).unwrap().reason, "it is hour 1");
    /// assert_eq!(decide(2).unwrap().step, Step::Wait { ask_again_ms: Some(60_000) });
    /// assert_eq!(decide(24).unwrap_err(), "hour is 24; expected 0 to 23");
    /// ```
    ///
    /// # Errors
    /// A sentence for the operator when the strategy can't decide, as with a value in the configuration that
    /// is out of bounds: what was expected, what was found, what to do.
    fn decide(config: &Self::Config, call: &Call, view: &View) -> Result<Decision, String>;
}
