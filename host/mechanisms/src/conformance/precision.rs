//! Whether numbers above 2^53 survive the plugin's language.
//!
//! Languages whose numbers are floating-point lose the last digits of large integers without a word. Answers
//! of a strategy seldom carry a number of the view, so this looks at a decision instead: most strategies
//! don't rewrite what does not fit the free disk. The probe searches for the free disk from which on an
//! answer changes, once with tables of some size and once with every table one byte larger. With exact
//! numbers the edge moves by as many bytes as tables take part, however large the tables are; with rounded
//! ones it doesn't move, or jumps.

use mortise_plugin_runtime::compaction::{Answer, View};

use super::views::canned;

/// Views in which a strategy has something to rewrite.
const VIEWS: [&str; 5] = [
    "level 0 above the last level",
    "forty runs in level 0",
    "several runs in every level",
    "several runs in the last level",
    "a hole below level 0",
];

/// Small enough for every language.
const SMALL: u64 = 1 << 30;
/// Sums of it are above 2^53, and below 2^63.
const LARGE: u64 = 1 << 55;
/// Thresholds that are shares of sums may move by a byte more or less.
const TOLERANCE: u64 = 4;

/// What the probe found.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// The edge moves with large numbers as with small ones.
    Exact,
    /// It doesn't.
    Rounded {
        /// What was seen.
        detail: String,
    },
    /// The free disk changes no answer.
    Insensitive,
}

/// Probes a strategy.
pub(super) fn probe(decide: &mut dyn FnMut(&View) -> Option<Answer>) -> Found {
    for name in VIEWS {
        let mut shift = |bytes: u64| -> Option<u64> {
            let edge = edge(decide, name, bytes)?;
            let moved = self::edge(decide, name, bytes + 1)?;
            Some(moved.abs_diff(edge))
        };
        let Some(small) = shift(SMALL).filter(|moved| *moved > 0) else { continue };
        let Some(large) = shift(LARGE) else { continue };
        if small.abs_diff(large) <= TOLERANCE {
            return Found::Exact;
        }
        let detail = format!(
            "numbers above 2^53 lose digits: on the view «{name}» with tables of 2^55 bytes, one byte more in \
             each moved the free disk that it asks for by {large} bytes, and by {small} with tables of 2^30: \
             keep u64 in integers of 64 bits (BigInt in JavaScript)"
        );
        return Found::Rounded { detail };
    }
    Found::Insensitive
}

/// The free disk from which on the answer is the one for endless disk; `None` when there is no such edge.
fn edge(decide: &mut dyn FnMut(&View) -> Option<Answer>, name: &str, bytes: u64) -> Option<u64> {
    let mut view = canned(name);
    let runs = view.levels.iter_mut().flat_map(|level| &mut level.runs);
    runs.flat_map(|run| &mut run.tables).for_each(|table| table.bytes = bytes);
    let mut answer = |free_disk: u64| {
        view.free_disk = free_disk;
        decide(&view)
    };
    let endless = answer(u64::MAX)?;
    if answer(0)? == endless {
        return None;
    }
    let (mut below, mut at) = (0, u64::MAX);
    while at - below > 1 {
        let middle = below + (at - below) / 2;
        if answer(middle)? == endless { at = middle } else { below = middle }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rewrites everything when it fits.
    fn careful(view: &View, add: impl Fn(u64, u64) -> u64) -> Option<Answer> {
        let tables = view.levels.iter().flat_map(|level| &level.runs).flat_map(|run| &run.tables);
        let needed = tables.map(|table| table.bytes).fold(0, add);
        let wait = Answer::Wait { ask_again_ms: None };
        Some(if needed <= view.free_disk { Answer::Major { table_bytes: 1 << 20 } } else { wait })
    }

    #[test]
    fn integers_are_exact() {
        assert_eq!(probe(&mut |view| careful(view, u64::saturating_add)), Found::Exact);
    }

    #[test]
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn floats_are_not() {
        let floats = |view: &View| careful(view, |a, b| (a as f64 + b as f64) as u64);
        assert!(matches!(probe(&mut { floats }), Found::Rounded { .. }));
    }

    #[test]
    fn who_never_looks_at_the_disk_cannot_be_judged() {
        assert_eq!(probe(&mut |_| Some(Answer::Wait { ask_again_ms: None })), Found::Insensitive);
    }
}
