//! What `mortise volume status` shows: numbers, strategy, format, and the shape of the tree.
//!
//! Functions of the daemon's answer. Rows that have nothing to tell are left out of the table and are empty
//! in the JSON. Counters are since the volume was opened and include what the start applied again, so they
//! are not what clients wrote.

use serde_json::{Value, json};

use super::jobs::{format_json, format_name, job_json, spaced};
use super::volume_json;
use crate::cli::output::{self, pairs, size, some_number, time};
use crate::pb::mortise::v1 as pb;

pub(super) fn status(answer: &pb::VolumeStatusResponse) -> String {
    let volume = answer.volume.clone().unwrap_or_default();
    let counters = answer.counters.unwrap_or_default();
    let binding = answer.strategy.clone().unwrap_or_default();
    let leader = match answer.leader {
        0 => "unknown".to_owned(),
        leader if leader == answer.node_id => format!("{leader:x} (this node)"),
        leader => format!("{leader:x}"),
    };
    let rows = vec![
        ("volume", format!("{} (id {}, {})", volume.name, volume.id, volume.state)),
        ("problem", volume.problem.clone()),
        ("revision", format!("{} (readable from {})", answer.revision, answer.compact_revision.max(1))),
        ("leader", format!("{leader}, term {}", answer.raft_term)),
        (
            "raft log",
            format!(
                "index {}, applied {}, in tables {}",
                answer.raft_index, answer.raft_applied_index, answer.flushed_index
            ),
        ),
        ("generation", format!("{} (format {})", volume.generation, format_name(answer.format.as_ref()))),
        ("kept", kept(answer.previous.as_ref())),
        ("job", job(answer.job.as_ref())),
        ("on disk", size(answer.disk_bytes)),
        ("memtables", format!("{} ({} sealed)", size(answer.memtable_bytes), answer.sealed_memtables)),
        ("write rate", format!("{}/s", size(rounded(answer.write_rate)))),
        (
            "since opened",
            format!(
                "{} applied, replay included; {} flushed, {} compacted (amplification {:.2})",
                size(counters.written_bytes),
                size(counters.flushed_bytes),
                size(counters.compaction_out_bytes),
                answer.write_amplification
            ),
        ),
        ("slowed writes", counters.slowed_writes.to_string()),
        ("strategy", strategy(answer.strategy.as_ref())),
        ("last answer", last(binding.answer.as_ref())),
        ("last step", last(binding.step.as_ref())),
    ];
    let shown = |(name, value): &(&str, String)| {
        !["problem", "kept", "job", "last answer", "last step"].contains(name) || !value.is_empty()
    };
    let rows = rows.into_iter().filter(shown).collect();
    format!("{}\n{}", pairs(rows), tree(&answer.levels))
}

/// The previous generation, while it is kept.
fn kept(previous: Option<&pb::PreviousGeneration>) -> String {
    previous.map_or(String::new(), |previous| {
        format!(
            "generation {} (format {}), until {}",
            previous.generation,
            format_name(previous.format.as_ref()),
            time(previous.until_unix_ms)
        )
    })
}

fn job(job: Option<&pb::Job>) -> String {
    job.map_or(String::new(), |job| {
        let phase = spaced(&job.progress.clone().unwrap_or_default().phase);
        format!("{} {}, {phase}", job.kind, job.id)
    })
}

/// Empty where nothing was answered yet.
fn last(decision: Option<&pb::Decision>) -> String {
    decision.map_or(String::new(), crate::cli::plugin_decisions::line)
}

fn strategy(binding: Option<&pb::Binding>) -> String {
    let Some(binding) = binding else { return "-".to_owned() };
    let serving = binding.serving.clone().unwrap_or_default();
    let name = format!("{} {}", serving.plugin, serving.version).trim_end().to_owned();
    let bound = binding.bound.clone().unwrap_or_default();
    match binding.problem.as_str() {
        "" if binding.watched_until_unix_ms > 0 => {
            format!("{name} (its first fault before {} takes it back)", time(binding.watched_until_unix_ms))
        }
        "" => name,
        // What was put aside or taken back left this one bound.
        problem if bound == serving => format!("{name} ({problem})"),
        problem => format!("{name} (instead of {}: {problem})", bound.plugin),
    }
}

/// Longest bar of [`tree`].
const BAR: u64 = 32;

/// Draws the tree: a row for each level, with a bar for its share of the bytes.
fn tree(levels: &[pb::Level]) -> String {
    let bytes = |level: &pb::Level| level.runs.iter().map(|run| run.bytes).sum::<u64>();
    let largest = levels.iter().map(bytes).max().unwrap_or(0);
    let rows = levels.iter().enumerate().map(|(number, level)| {
        let sum = |of: fn(&pb::Run) -> u64| level.runs.iter().map(of).sum::<u64>();
        let bytes = bytes(level);
        vec![
            format!("L{number}"),
            level.runs.len().to_string(),
            sum(|run| run.tables).to_string(),
            sum(|run| run.entries).to_string(),
            sum(|run| run.tombstones).to_string(),
            size(bytes),
            bar(bytes, largest),
        ]
    });
    let head = ["LEVEL", "RUNS", "TABLES", "ENTRIES", "TOMBSTONES", "BYTES", ""];
    output::table(&head, &[1, 2, 3, 4, 5], rows.collect())
}

/// A bar of at most [`BAR`] cells; whatever is not empty shows at least one.
fn bar(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return String::new();
    }
    let cells = u128::from(part) * u128::from(BAR) / u128::from(whole);
    "█".repeat(usize::try_from(cells).unwrap_or(0).max(1))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, for people to read")]
fn rounded(rate: f64) -> u64 {
    rate.round() as u64
}

pub(super) fn status_json(answer: &pb::VolumeStatusResponse) -> Value {
    let counters = answer.counters.unwrap_or_default();
    let run = |run: &pb::Run| {
        json!({
            "tables": run.tables, "bytes": run.bytes, "entries": run.entries, "tombstones": run.tombstones,
        })
    };
    let level = |level: &pb::Level| json!({ "runs": level.runs.iter().map(run).collect::<Vec<_>>() });
    json!({
        "volume": volume_json(&answer.volume.clone().unwrap_or_default()),
        "revision": answer.revision,
        "compact_revision": answer.compact_revision,
        "raft_term": answer.raft_term,
        "raft_index": answer.raft_index,
        "raft_applied_index": answer.raft_applied_index,
        "flushed_index": answer.flushed_index,
        "leader": some_number(answer.leader),
        "node_id": answer.node_id,
        "disk_bytes": answer.disk_bytes,
        "memtable_bytes": answer.memtable_bytes,
        "sealed_memtables": answer.sealed_memtables,
        "levels": answer.levels.iter().map(level).collect::<Vec<_>>(),
        "counters": {
            "commands": counters.commands,
            "written_bytes": counters.written_bytes,
            "flushed_bytes": counters.flushed_bytes,
            "compaction_in_bytes": counters.compaction_in_bytes,
            "compaction_out_bytes": counters.compaction_out_bytes,
            "slowed_writes": counters.slowed_writes,
        },
        "write_bytes_per_second": answer.write_rate,
        "write_amplification": answer.write_amplification,
        "format": answer.format.as_ref().map(format_json),
        "previous": answer.previous.as_ref().map(|previous| json!({
            "generation": previous.generation,
            "format": previous.format.as_ref().map(format_json),
            "until_unix_ms": previous.until_unix_ms,
        })),
        "job": answer.job.as_ref().map(job_json),
        "strategy": answer.strategy.as_ref().map(crate::cli::plugin_tables::binding_json),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_drawn_level_by_level() {
        let run = |tables, bytes| pb::Run { tables, bytes, entries: 10, tombstones: 1 };
        let levels = [
            pb::Level { runs: vec![run(1, 1024), run(1, 1024)] },
            pb::Level::default(),
            pb::Level { runs: vec![run(4, 1024 * 1024)] },
        ];
        let expected = [
            "LEVEL  RUNS  TABLES  ENTRIES  TOMBSTONES    BYTES",
            "L0        2       2       20           2  2.0 KiB  █",
            "L1        0       0        0           0      0 B",
            "L2        1       4       10           1  1.0 MiB  ████████████████████████████████",
        ];
        assert_eq!(tree(&levels).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_a_start_applies_again_is_not_told_as_written_by_clients() {
        let counters = pb::Counters { written_bytes: 2048, flushed_bytes: 1024, ..Default::default() };
        let text = status(&pb::VolumeStatusResponse { counters: Some(counters), ..Default::default() });
        assert!(text.contains("since opened") && text.contains("2.0 KiB applied, replay included"), "{text}");
        assert!(!text.contains("clients"), "{text}");
    }

    #[test]
    fn status_says_what_serves_and_why_not_what_is_bound() {
        let named = |plugin: &str| Some(pb::Strategy { plugin: plugin.to_owned(), ..Default::default() });
        let binding = pb::Binding {
            serving: named("native"),
            bound: named("mine"),
            problem: "in quarantine".to_owned(),
            ..Default::default()
        };
        let text = strategy(Some(&binding));
        assert!(text.contains("native") && text.contains("instead of mine: in quarantine"), "{text}");
    }
}
