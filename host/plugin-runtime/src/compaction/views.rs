//! Views that every strategy must cope with. A rehearsal runs a candidate on them before it serves.
//!
//! All have seven levels, and no run is empty. Beside ordinary trees there are the largest numbers, keys that
//! are no text, a disk without space and every outcome of a previous step. A strategy may answer anything
//! legal to them; nothing is carried out. A view that is added here can fail plugins that passed before.

use super::{Level, Origin, Outcome, PreviousStep, Run, Span, Step, Table, View, Work};

/// Levels of every view.
pub const LEVELS: usize = 7;

const MIB: u64 = 1024 * 1024;

/// Ordinary and extreme trees, each with a name for messages.
#[must_use]
pub fn canned_views() -> Vec<(&'static str, View)> {
    vec![
        ("empty tree", view(&[])),
        ("one table", view(&[(0, 1, 1, 4 * MIB)])),
        ("two runs in level 0", view(&[(0, 2, 1, 4 * MIB)])),
        ("forty runs in level 0", view(&[(0, 40, 1, 4 * MIB)])),
        ("two hundred runs in level 0", view(&[(0, 200, 1, 64 * 1024)])),
        ("level 0 and level 1", view(&[(0, 5, 1, 4 * MIB), (1, 1, 8, 8 * MIB)])),
        ("several runs in level 1", view(&[(1, 6, 2, 8 * MIB)])),
        ("several runs in every level", every_level(3)),
        ("one run in every level", every_level(1)),
        ("a hole below level 0", view(&[(0, 4, 1, 4 * MIB), (3, 1, 10, 64 * MIB), (6, 1, 50, 64 * MIB)])),
        ("level 0 above the last level", view(&[(0, 9, 1, 4 * MIB), (6, 1, 100, 64 * MIB)])),
        ("only the last level", view(&[(6, 1, 100, 64 * MIB)])),
        ("several runs in the last level", view(&[(6, 5, 20, 64 * MIB)])),
        ("every level too full", view(&[(0, 9, 1, 64 * MIB), (1, 1, 99, 64 * MIB), (2, 1, 99, 64 * MIB)])),
        ("two thousand tables", view(&[(0, 8, 1, 4 * MIB), (5, 1, 400, 64 * MIB), (6, 1, 1592, 64 * MIB)])),
        (
            "tables without entries",
            with_tables(view(&[(0, 3, 1, 0), (6, 1, 3, 0)]), |table| table.entries = 0),
        ),
        ("tombstones only", with_tables(every_level(1), |table| table.tombstones = table.entries)),
        ("numbers above 2^53", with_tables(every_level(2), |table| table.bytes = (1 << 53) + 1 + table.id)),
        ("the largest numbers", largest()),
        (
            "keys that are not text",
            with_tables(every_level(1), |table| table.min_key = vec![0xff, 0, 0xc3, 0x28]),
        ),
        (
            "empty and equal keys",
            with_tables(every_level(2), |table| (table.min_key, table.max_key) = (vec![], vec![])),
        ),
        ("long keys", with_tables(view(&[(0, 5, 1, MIB)]), |table| table.max_key = vec![b'k'; 64 * 1024])),
        ("no free disk", View { free_disk: 0, ..every_level(2) }),
        ("no free disk, many runs in level 0", View { free_disk: 0, ..view(&[(0, 40, 1, 4 * MIB)]) }),
        (
            "a flood of writes",
            View { write_rate: 10 << 30, memtable_bytes: 1 << 30, ..view(&[(0, 30, 1, 64 * MIB)]) },
        ),
        ("the fastest writes", View { write_rate: u64::MAX, memtable_bytes: u64::MAX, ..every_level(2) }),
        ("no writes", View { write_rate: 0, memtable_bytes: 0, ..every_level(2) }),
        ("no guard rail", View { guard_l0_runs: u32::MAX, ..view(&[(0, 40, 1, 4 * MIB)]) }),
        ("a guard rail at nothing", View { guard_l0_runs: 0, ..view(&[(0, 1, 1, 4 * MIB)]) }),
        ("a step has just worked", after(Origin::Plugin, Outcome::Done(WORK))),
        ("the host has just stepped in", after(Origin::Host, Outcome::Done(WORK))),
        ("a step had nothing to do", after(Origin::Plugin, Outcome::Nothing)),
        ("a step came too late", after(Origin::Plugin, Outcome::Stale)),
        ("a step failed", after(Origin::Plugin, Outcome::Failed("no space left on \u{1b}[31mdevice".into()))),
    ]
}

/// A tree with `(level, runs, tables per run, bytes per table)`.
fn view(filled: &[(usize, u64, u64, u64)]) -> View {
    let mut levels: Vec<Level> = (0..LEVELS).map(|_| Level { runs: Vec::new() }).collect();
    let mut id = 0;
    for &(level, runs, tables, bytes) in filled {
        for _ in 0..runs {
            let tables = (0..tables).map(|place| {
                id += 1;
                table(id, place, bytes)
            });
            levels[level].runs.push(Run { tables: tables.collect() });
        }
    }
    View {
        levels,
        memtable_bytes: 8 * MIB,
        write_rate: MIB,
        free_disk: 100 << 30,
        guard_l0_runs: 20,
        previous: None,
    }
}

/// What a merge of a few tables reads and writes.
const WORK: Work = Work { bytes_in: 120 * MIB, bytes_out: 100 * MIB };

fn after(wanted_by: Origin, outcome: Outcome) -> View {
    let step = Step::Merge(Span { from: 0, to: 6 });
    let previous = Some(PreviousStep { step, wanted_by, outcome, took_ms: 1_500 });
    View { previous, ..view(&[(0, 5, 1, 4 * MIB), (6, 1, 8, 8 * MIB)]) }
}

fn table(id: u64, place: u64, bytes: u64) -> Table {
    Table {
        id,
        bytes,
        entries: bytes / 200 + 1,
        tombstones: bytes / 4_000,
        max_seqno: 1_000_000 - id,
        min_key: format!("c/key/{place:08}").into_bytes(),
        max_key: format!("c/key/{place:08}/~").into_bytes(),
    }
}

fn every_level(runs: u64) -> View {
    let filled: Vec<_> = (0..LEVELS).map(|level| (level, runs, 1 + level as u64, 16 * MIB)).collect();
    view(&filled)
}

fn with_tables(mut view: View, change: impl Fn(&mut Table)) -> View {
    view.levels.iter_mut().flat_map(|level| &mut level.runs).flat_map(|run| &mut run.tables).for_each(change);
    view
}

fn largest() -> View {
    let view = with_tables(every_level(2), |table| {
        table.bytes = u64::MAX;
        table.entries = u64::MAX;
        table.tombstones = u64::MAX;
        table.max_seqno = u64::MAX;
        table.id = u64::MAX - table.id;
    });
    View { memtable_bytes: u64::MAX, write_rate: u64::MAX, free_disk: u64::MAX, ..view }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_differ_and_keep_the_contract() {
        let views = canned_views();
        for (index, (name, view)) in views.iter().enumerate() {
            assert_eq!(view.levels.len(), LEVELS, "{name}");
            assert!(view.levels.iter().flat_map(|l| &l.runs).all(|run| !run.tables.is_empty()), "{name}");
            assert!(views[..index].iter().all(|(other, seen)| other != name && seen != view), "{name}");
        }
    }
}
