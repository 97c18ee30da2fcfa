//! Runs a policy natively and as a component, and holds the two against each other.
#![allow(clippy::print_stdout, reason = "a seed belongs in the output of a test")]

use std::sync::{Arc, OnceLock};

use mortise_guest::bindings::exports::mortise::plugin::compaction as guest;
use mortise_guest::compaction::{CompactionStrategy, Step, View};
use mortise_guest::export;
use mortise_guest::testkit::{Model, Report, simulate};
use mortise_guest::{Call, Random};
use mortise_plugin_runtime::compaction::{self, Answer, Decision};
use mortise_plugin_runtime::{self as host, FaultKind, Limits, Runtime, RuntimeConfig};

/// A policy in both its forms.
pub(crate) struct Both {
    native: fn(&guest::Call, &View) -> Result<guest::Decision, String>,
    component: compaction::CompactionStrategy,
}

impl Both {
    pub(crate) fn new<S: CompactionStrategy>(component: &[u8]) -> Self {
        let component = runtime().load(component).expect("a shipped plugin loads");
        let component = component.compaction_strategy(Limits::default()).expect("the default limits");
        Self { native: export::decide::<S>, component }
    }

    /// Decides in both forms, which must agree.
    pub(crate) fn decide(&self, config: &str, view: &View) -> Result<Answer, String> {
        let (config, call) = (config.to_owned(), Call { now: 1_700_000_000_000, seed: 7 });
        let native =
            (self.native)(&guest::Call { config: config.clone(), now: call.now, seed: call.seed }, view)
                .map(|decision| Decision { step: answer(decision.step), reason: decision.reason });
        let call = host::Call { config, now: call.now, seed: call.seed };
        match (&native, self.component.decide(&call, &host_view(view))) {
            (Ok(native), Ok(wasm)) => {
                assert_eq!(*native, wasm, "the component answers otherwise: {view:?}")
            }
            (Err(native), Err(fault)) => {
                assert_eq!(fault.kind, FaultKind::Refused, "{fault}");
                assert!(fault.detail.contains(native.as_str()), "{fault} is not {native}");
            }
            (native, wasm) => panic!("natively {native:?}, as a component {wasm:?}"),
        }
        if let Ok(Decision { step, reason }) = &native {
            let waits = *step == Answer::Wait { ask_again_ms: None };
            assert_eq!(reason.is_empty(), waits, "a step has a reason, and rest needs none: {step:?}");
        }
        native.map(|decision| decision.step)
    }

    /// Decides natively, for simulations of many steps.
    pub(crate) fn step(&self, config: &str, view: &View) -> Result<Step, String> {
        let call = guest::Call { config: config.to_owned(), now: 0, seed: 0 };
        (self.native)(&call, view).map(|decision| step(decision.step))
    }

    /// Every canned view gets the same legal answer in both forms.
    pub(crate) fn copes_with_canned_views(&self) {
        for (name, view) in compaction::canned_views() {
            let view = guest_view(&view);
            self.decide("{}", &view).unwrap_or_else(|error| panic!("{name}: {error}"));
            let step = self.step("{}", &view).expect("answered before");
            view.check(&step).unwrap_or_else(|rule| panic!("{name}: {step:?}: {rule}"));
        }
    }

    /// Simulates random trees; the seed can be set with `MORTISE_SEED`.
    pub(crate) fn simulate(&self, config: &str, flushes: u64) -> Report {
        let seed = std::env::var("MORTISE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(42);
        println!("MORTISE_SEED={seed}");
        let mut random = Random::new(seed);
        let mut model = Model::new(2 << 30);
        let decide = |view: &View| self.step(config, view);
        let report =
            simulate(&mut model, &mut random, flushes, 16 << 20, decide).expect("the policy behaves");
        println!("{report:?}");
        report
    }
}

fn runtime() -> Arc<Runtime> {
    static RUNTIME: OnceLock<Arc<Runtime>> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new(RuntimeConfig::default()).expect("an engine")).clone()
}

fn answer(step: guest::Step) -> Answer {
    match step {
        guest::Step::Wait(ask_again_ms) => Answer::Wait { ask_again_ms },
        guest::Step::Partial(guest::Knobs { l0_threshold, level_ratio, table_bytes }) => {
            Answer::Partial { l0_threshold, level_ratio, table_bytes }
        }
        guest::Step::Merge(guest::Span { from, to }) => Answer::Merge { from, to },
        guest::Step::Move(guest::Span { from, to }) => Answer::Move { from, to },
        guest::Step::Major(table_bytes) => Answer::Major { table_bytes },
    }
}

fn step(step: guest::Step) -> Step {
    match answer(step) {
        Answer::Wait { ask_again_ms } => Step::Wait { ask_again_ms },
        Answer::Partial { l0_threshold, level_ratio, table_bytes } => {
            Step::Partial(mortise_guest::compaction::Knobs { l0_threshold, level_ratio, table_bytes })
        }
        Answer::Merge { from, to } => Step::Merge { from, to },
        Answer::Move { from, to } => Step::Move { from, to },
        Answer::Major { table_bytes } => Step::Major { table_bytes },
    }
}

/// The same view in the types of the host, through a form that both can be written in.
macro_rules! convert_view {
    ($name:ident: $from:ident to $to:ident) => {
        fn $name(view: &$from::View) -> $to::View {
            let table = |t: &$from::Table| $to::Table {
                id: t.id,
                bytes: t.bytes,
                entries: t.entries,
                tombstones: t.tombstones,
                max_seqno: t.max_seqno,
                min_key: t.min_key.clone(),
                max_key: t.max_key.clone(),
            };
            let run = |r: &$from::Run| $to::Run { tables: r.tables.iter().map(table).collect() };
            let level = |l: &$from::Level| $to::Level { runs: l.runs.iter().map(run).collect() };
            let span = |s: $from::Span| $to::Span { from: s.from, to: s.to };
            let step = |step: &$from::Step| match *step {
                $from::Step::Wait(ms) => $to::Step::Wait(ms),
                $from::Step::Partial(k) => $to::Step::Partial($to::Knobs {
                    l0_threshold: k.l0_threshold,
                    level_ratio: k.level_ratio,
                    table_bytes: k.table_bytes,
                }),
                $from::Step::Merge(s) => $to::Step::Merge(span(s)),
                $from::Step::Move(s) => $to::Step::Move(span(s)),
                $from::Step::Major(bytes) => $to::Step::Major(bytes),
            };
            let outcome = |outcome: &$from::Outcome| match outcome {
                $from::Outcome::Done(w) => {
                    $to::Outcome::Done($to::Work { bytes_in: w.bytes_in, bytes_out: w.bytes_out })
                }
                $from::Outcome::Nothing => $to::Outcome::Nothing,
                $from::Outcome::Stale => $to::Outcome::Stale,
                $from::Outcome::Failed(why) => $to::Outcome::Failed(why.clone()),
            };
            let previous = |p: &$from::PreviousStep| $to::PreviousStep {
                step: step(&p.step),
                wanted_by: match p.wanted_by {
                    $from::Origin::Plugin => $to::Origin::Plugin,
                    $from::Origin::Host => $to::Origin::Host,
                },
                outcome: outcome(&p.outcome),
                took_ms: p.took_ms,
            };
            $to::View {
                levels: view.levels.iter().map(level).collect(),
                memtable_bytes: view.memtable_bytes,
                write_rate: view.write_rate,
                free_disk: view.free_disk,
                guard_l0_runs: view.guard_l0_runs,
                previous: view.previous.as_ref().map(previous),
            }
        }
    };
}

convert_view!(host_view: guest to compaction);
convert_view!(guest_view: compaction to guest);
