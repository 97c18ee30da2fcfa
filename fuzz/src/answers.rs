//! Any answer of a strategy, in either version of the contract, to what the host makes of it and to the
//! legality check.
//!
//! The tree and the answer are both drawn from the input. What a legal step may be is written down here a
//! second time, without the kernel's code, so that a rule that the kernel forgets is found. A legal step that
//! is refused is not found here: a check that refuses too much harms no data, and has tests of its own.
//!
//! Besides, an answer must arrive as the one that was given, and no text of a plugin may take more than one
//! line or have more bytes than it may.

use mortise_kernel::store::{LEVELS, LevelShape, RunShape, Step, TABLE_BYTES, TableShape, TreeShape};
use mortise_mechanisms::{Verdict, judge};
use mortise_plugin_runtime::compaction::{
    Knobs, Said, Span, Step as WireStep, WireDecision, heard, said_by_v0_1_0,
};
use mortise_plugin_runtime::{FaultKind, ILLEGAL, is_unpresentable};

use super::draw::Draw;

/// Bytes that a reason may have.
const REASON_BYTES: usize = 200;

/// Reads a tree and an answer from bytes, as the host receives it, and has the answer judged.
///
/// # Panics
/// When a step is called legal that the rules of the tree forbid, when an answer becomes another one on its
/// way, or when a text of it comes through that would pass for more than a line.
pub(crate) fn judge_step(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let shape = tree(&mut draw);
    let (said, wanted) = answer(&mut draw);
    let is_refusal = said.is_err();
    let decision = heard(said);
    match &decision {
        Ok(decision) => {
            assert!(!is_refusal, "a refusal was heard as {decision:?}");
            fits_a_line(&decision.reason, REASON_BYTES);
        }
        Err(fault) => {
            assert!(is_refusal && fault.kind == FaultKind::Refused, "{fault:?}");
            fits_a_line(&fault.detail, 1_200);
        }
    }
    match judge(&shape, decision.map(|decision| decision.step)) {
        Verdict::Step(step) => {
            assert_eq!(Some(format!("{step:?}")), wanted.map(|step| format!("{step:?}")));
            is_legal(&shape, &step);
        }
        Verdict::Wait(after) => {
            assert!(!is_refusal && wanted.is_none(), "{wanted:?} was taken for waiting");
            assert!(after.is_none_or(|after| after.as_millis() >= 100), "asked again after {after:?}");
        }
        Verdict::Fault { kind, detail } => {
            let expected = if is_refusal { FaultKind::Refused.as_str() } else { ILLEGAL };
            assert_eq!(kind, expected, "{detail}");
            assert!(!detail.is_empty());
        }
        Verdict::NotAsked(detail) => panic!("it answered: {detail}"),
    }
}

fn fits_a_line(text: &str, most: usize) {
    assert!(text.len() <= most, "{} bytes", text.len());
    assert!(!text.contains(is_unpresentable), "more than a line: {text:?}");
}

/// An answer, and the step that it stands for, if it does for one.
fn answer(draw: &mut Draw<'_>) -> (Said, Option<Step>) {
    let (old, refuses) = (draw.byte() & 1 == 1, draw.byte().is_multiple_of(16));
    if refuses {
        let text = draw.text();
        return (if old { said_by_v0_1_0(Err(text)) } else { Err(text) }, None);
    }
    let (step, wanted) = step(draw);
    let said = if old { said_by_v0_1_0(Ok(step)) } else { Ok(WireDecision { step, reason: draw.text() }) };
    (said, wanted)
}

fn step(draw: &mut Draw<'_>) -> (WireStep, Option<Step>) {
    let sort = draw.byte() % 5;
    // Small numbers are levels that exist, mostly; the others come too.
    let mut level = || if draw.byte().is_multiple_of(8) { draw.byte() } else { draw.byte() % 8 };
    let (from, to) = (level(), level());
    let table_bytes = draw.wide() >> (draw.wide() % 64);
    match sort {
        0 => {
            let level_ratio = f32::from_bits(draw.wide() as u32);
            let knobs = Knobs { l0_threshold: from, level_ratio, table_bytes };
            let wanted = Step::Partial { l0_threshold: from, level_ratio, table_bytes };
            (WireStep::Partial(knobs), Some(wanted))
        }
        1 => (WireStep::Merge(Span { from, to }), Some(Step::Merge { from, to })),
        2 => (WireStep::Move(Span { from, to }), Some(Step::Move { from, to })),
        3 => (WireStep::Major(table_bytes), Some(Step::Major { table_bytes })),
        _ => (WireStep::Wait((from > 3).then_some(table_bytes)), None),
    }
}

fn is_legal(shape: &TreeShape, step: &Step) {
    let runs = |level: u8| shape.levels[usize::from(level)].runs.len();
    let empty = |levels: std::ops::RangeInclusive<u8>| levels.into_iter().all(|level| runs(level) == 0);
    match *step {
        Step::Partial { l0_threshold, level_ratio, table_bytes } => {
            assert!(l0_threshold > 0 && (2.0..=100.0).contains(&level_ratio));
            assert!(TABLE_BYTES.contains(&table_bytes));
        }
        Step::Major { table_bytes } => {
            assert!(TABLE_BYTES.contains(&table_bytes));
        }
        Step::Merge { from, to } => {
            assert!(from <= to && to < LEVELS && runs(from) > 0, "{step:?} of {shape:?}");
            assert!(from != to || runs(from) > 1, "nothing to merge");
            assert!(from + 1 >= to || empty(from + 1..=to - 1), "{step:?} passes data by");
        }
        Step::Move { from, to } => {
            // More than one run, or anything in the way, would break the order of versions.
            assert!(from < to && to < LEVELS && runs(from) == 1, "{step:?} of {shape:?}");
            assert!(empty(from + 1..=to), "{step:?} of {shape:?}");
        }
    }
}

fn tree(draw: &mut Draw<'_>) -> TreeShape {
    let mut id = 0;
    let levels = (0..LEVELS).map(|_| {
        let runs = (0..draw.byte() % 4).map(|_| {
            let tables = (0..=draw.byte() % 2).map(|_| {
                id += 1;
                TableShape {
                    id,
                    bytes: u64::from(draw.byte()) << (draw.byte() % 40),
                    entries: u64::from(draw.byte()),
                    tombstones: 0,
                    min_key: vec![draw.byte()].into(),
                    max_key: vec![draw.byte()].into(),
                    max_seqno: id,
                }
            });
            RunShape { tables: tables.collect() }
        });
        LevelShape { runs: runs.collect() }
    });
    TreeShape { levels: levels.collect(), memtable_bytes: u64::from(draw.byte()), sealed_memtables: 0 }
}
