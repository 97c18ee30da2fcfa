//! The ring's bounds, what is set aside, and what is told of the latest answer and step.

use std::sync::Arc;
use std::time::Duration;

use mortise_plugin_runtime::compaction::{
    Answer, Decision, Origin, Outcome, PreviousStep, View, Work, canned_views,
};
use mortise_plugin_runtime::{Fault, FaultKind};

use super::ring::Ring;
use super::{Became, Bounds, Latest, Recorded, Recorder};
use crate::conformance::trace::{Question, Reply};
use crate::system::StrategyInfo;

const MERGE: Answer = Answer::Merge { from: 0, to: 6 };
const WAIT: Answer = Answer::Wait { ask_again_ms: None };

fn view(name: &str) -> Arc<View> {
    let (_, view) = canned_views().into_iter().find(|(found, _)| *found == name).expect(name);
    Arc::new(view)
}

/// A call with this seed, by which it is known again.
fn call(seed: u64, answer: Result<Answer, FaultKind>) -> Recorded {
    let strategy = StrategyInfo {
        plugin: "mine".into(),
        version: "1.0.0".into(),
        digest: "d".repeat(64),
        config: "{\"a\":1}".into(),
    };
    let answer = answer
        .map(|step| Decision { step, reason: "because".into() })
        .map_err(|kind| Fault { kind, detail: "unreachable".into() });
    Recorded { strategy, now: 1000 + seed, seed, view: view("one table"), answer }
}

fn seeds(ring: &Ring) -> Vec<u64> {
    ring.all().iter().map(|recorded| recorded.seed).collect()
}

fn ring(calls: u64, bytes: u64) -> Ring {
    let mut ring = Ring::default();
    ring.keep(Bounds { calls, bytes });
    ring
}

#[test]
fn the_oldest_calls_go_first() {
    let mut ring = ring(3, u64::MAX);
    (0..10).for_each(|seed| ring.push(0, call(seed, Ok(WAIT)), false));
    assert_eq!(seeds(&ring), [7, 8, 9]);
    ring.keep(Bounds { calls: 2, bytes: u64::MAX });
    assert_eq!(seeds(&ring), [8, 9]);
    ring.keep(Bounds { calls: 0, bytes: u64::MAX });
    ring.push(0, call(10, Ok(WAIT)), false);
    assert_eq!((seeds(&ring).len(), ring.info(true).bytes), (0, 0), "0 ends it and frees the memory");
}

#[test]
fn bytes_are_bounded_whatever_the_calls_weigh() {
    let one = call(0, Ok(WAIT)).weight();
    let mut ring = ring(1000, 3 * one);
    for seed in 0..5 {
        ring.push(0, call(seed, Ok(WAIT)), false);
        assert!(ring.info(true).bytes <= 3 * one);
    }
    assert_eq!(seeds(&ring), [2, 3, 4]);

    let larger = Recorded { view: view("two runs in level 0"), ..call(5, Ok(WAIT)) };
    assert!(larger.weight() > one && larger.weight() < 2 * one, "{} {one}", larger.weight());
    ring.push(0, larger, false);
    assert!(ring.info(true).bytes <= 3 * one, "a large one takes the place of several");
    assert_eq!(seeds(&ring).last(), Some(&5));

    let before = seeds(&ring);
    ring.push(0, Recorded { view: view("two thousand tables"), ..call(6, Ok(WAIT)) }, false);
    assert_eq!((seeds(&ring), ring.info(true).too_large), (before, 1), "too large for all of it");
}

#[test]
fn the_weight_of_a_view_follows_its_tables_and_keys() {
    let weight = |name| Recorded { view: view(name), ..call(0, Ok(WAIT)) }.weight();
    let tables = 2000 * (size_of::<mortise_plugin_runtime::compaction::Table>() as u64);
    assert!(weight("two thousand tables") > tables + weight("empty tree"));
    assert!(weight("long keys") > 5 * 64 * 1024);
}

#[test]
fn calls_of_a_strategy_that_faulted_survive_its_successor() {
    let trap = Err(FaultKind::Trap);
    let mut ring = ring(4, u64::MAX);
    ring.push(0, call(0, Ok(WAIT)), false);
    (1..4).for_each(|seed| ring.push(1, call(seed, trap), true));
    (10..30).for_each(|seed| ring.push(2, call(seed, Ok(WAIT)), false));
    assert_eq!(seeds(&ring), [1, 2, 3, 26, 27, 28, 29]);
    assert_eq!(ring.info(true).set_aside, 3);

    // A strategy that recovered, or was replaced for another reason, leaves nothing behind.
    ring.push(3, call(30, trap), true);
    ring.push(3, call(31, Ok(WAIT)), false);
    (40..50).for_each(|seed| ring.push(4, call(seed, Ok(WAIT)), false));
    assert_eq!(seeds(&ring)[..3], [1, 2, 3]);
    assert_eq!(ring.info(true).set_aside, 3);

    // Many more that fault: the oldest go.
    for activation in 5..20 {
        ring.push(activation, call(100 + activation, trap), true);
    }
    assert_eq!(seeds(&ring), [47, 48, 49, 115, 116, 117, 118, 119], "by age");
    ring.keep(Bounds { calls: 0, bytes: 0 });
    assert_eq!(ring.info(true).calls, 0);
}

#[test]
fn what_is_set_aside_is_bounded_in_bytes_too() {
    let one = call(0, Err(FaultKind::Trap)).weight();
    let mut ring = ring(4, 4 * one);
    for activation in 0..4 {
        (0..4)
            .for_each(|seed| ring.push(activation, call(10 * activation + seed, Err(FaultKind::Trap)), true));
    }
    assert_eq!(seeds(&ring), [20, 21, 22, 23, 30, 31, 32, 33]);
    assert_eq!(ring.info(true).bytes, 8 * one, "at most twice the bytes, all in all");
    ring.keep(Bounds { calls: 1, bytes: 4 * one });
    assert_eq!(seeds(&ring), [23, 33]);
}

#[test]
fn more_than_a_node_can_spare_is_refused() {
    let found = Bounds::wanted(Bounds::MOST_CALLS + 1, 0).unwrap_err().to_string();
    assert!(found.contains("100001") && found.contains("100000"), "{found}");
    assert!(Bounds::wanted(1, Bounds::MOST_BYTES + 1).is_err());
    assert_eq!(Bounds::wanted(1, Bounds::MOST_BYTES).unwrap().bytes, Bounds::MOST_BYTES);
    assert_eq!(Bounds::wanted(5, 0).unwrap(), Bounds { calls: 5, bytes: 8 << 20 });
}

#[test]
fn a_recorded_call_is_a_line_of_a_trace() {
    let record = call(7, Ok(MERGE)).to_record();
    assert_eq!((record.now, record.seed, record.config.as_str()), (1007, 7, "{\"a\":1}"));
    assert_eq!(record.plugin, "mine 1.0.0");
    let Question::CompactionStrategy { view: shown } = &record.question;
    assert_eq!(View::from(shown), *view("one table"));
    let Reply::Fault { kind, detail } = call(0, Err(FaultKind::Fuel)).to_record().answer else {
        panic!("a fault is recorded as one");
    };
    assert_eq!((kind, detail.as_str()), (FaultKind::Fuel, "unreachable"));
}

fn ended(outcome: Outcome) -> PreviousStep {
    PreviousStep { step: MERGE.into(), wanted_by: Origin::Plugin, outcome, took_ms: 12 }
}

#[test]
fn an_answer_is_told_with_what_became_of_it() {
    let recorder = Recorder::default();
    assert_eq!(recorder.latest(), Latest::default());
    let work = Work { bytes_in: 10, bytes_out: 5 };
    for (outcome, expected) in [
        (Outcome::Done(work), Became::Done { work, took: Duration::from_millis(12) }),
        (Outcome::Nothing, Became::Nothing),
        (Outcome::Stale, Became::Stale),
        (Outcome::Failed("full".into()), Became::Failed("full".into())),
    ] {
        recorder.heard(0, call(1, Ok(MERGE)), None);
        let latest = recorder.latest();
        assert_eq!(latest.step.as_ref().unwrap().became, Became::HeldBack);
        assert_eq!(latest.answer.unwrap().reason, "because");
        recorder.begun(MERGE, Origin::Plugin, 1001);
        assert_eq!(recorder.latest().answer.unwrap().became, Became::Runs);
        recorder.ended(&ended(outcome));
        let latest = recorder.latest();
        assert_eq!(latest.answer, latest.step);
        assert_eq!(latest.answer.unwrap().became, expected);
    }
    let step = recorder.latest().step;
    recorder.heard(0, call(2, Ok(WAIT)), None);
    let latest = recorder.latest();
    assert_eq!(latest.answer.unwrap().became, Became::Waits);
    assert_eq!(latest.step, step, "the latest step is told while the strategy waits");
    recorder.heard(0, call(3, Err(FaultKind::Deadline)), None);
    let answer = recorder.latest().answer.unwrap();
    assert_eq!((answer.step, answer.became.as_str()), (None, "fault"));
    recorder.heard(0, call(4, Ok(MERGE)), Some("level 6 is empty"));
    let latest = recorder.latest();
    assert_eq!(latest.step, step, "an illegal step is none");
    let Became::Fault { kind, detail } = latest.answer.unwrap().became else { panic!("it is a fault") };
    assert_eq!((kind, detail.as_str()), ("illegal", "level 6 is empty"));
}

#[test]
fn a_step_of_the_guard_rail_is_told_as_its_own() {
    let recorder = Recorder::default();
    recorder.heard(0, call(1, Ok(MERGE)), None);
    recorder.begun(WAIT, Origin::Host, 2000);
    recorder.ended(&ended(Outcome::Nothing));
    let Latest { answer, step } = recorder.latest();
    assert_eq!(answer.unwrap().became, Became::Overruled);
    let step = step.unwrap();
    assert_eq!((step.plugin.as_str(), step.unix_ms), ("native", 2000));
    assert_eq!((step.reason.as_str(), step.became), ("the guard rail", Became::Nothing));
}
