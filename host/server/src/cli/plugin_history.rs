//! How the history of plugins is shown: who did what when, why, and what came of it.

use serde_json::{Value, json};

use super::output::{line_width, or_dash, time, wrapped};
use super::plugin_tables::{DIGEST, some};
use crate::pb::mortise::v1 as pb;

/// Rows that `plugin show` has of it; `plugin history` has all.
const SHORT: usize = 10;

/// All rows, with digests, and with the plugins' names unless they are `of_one`.
pub(super) fn table(rows: &[pb::HistoryRow], of_one: bool) -> String {
    let lines = rows.iter().map(|row| {
        let name = if of_one { "" } else { &row.plugin };
        let plugin = format!("{name} {}", row.version);
        vec![
            time(row.unix_ms),
            row.actor.clone(),
            row.action.clone(),
            or_dash(plugin.trim()),
            or_dash(&row.digest.chars().take(DIGEST).collect::<String>()),
            or_dash(&row.volume),
            told(row),
        ]
    });
    let version = if of_one { "VERSION" } else { "PLUGIN" };
    let head = ["WHEN", "WHO", "WHAT", version, "DIGEST", "VOLUME", "OUTCOME (WHY)"];
    wrapped(&head, &[], &[6], lines.collect(), line_width())
}

/// The newest rows, without what the reader knows already.
pub(super) fn short(rows: &[pb::HistoryRow]) -> Option<String> {
    let lines = rows.iter().take(SHORT).map(|row| {
        vec![
            time(row.unix_ms),
            row.actor.clone(),
            row.action.clone(),
            or_dash(&row.volume),
            or_dash(&row.version),
            told(row),
        ]
    });
    let head = ["WHEN", "WHO", "WHAT", "VOLUME", "VERSION", "OUTCOME (WHY)"];
    let text = some(&head, &[5], lines.collect())?;
    let rest = rows.len().saturating_sub(SHORT);
    let more = if rest > 0 { format!("({rest} more in `mortise plugin history`)\n") } else { String::new() };
    Some(text + &more)
}

/// Stages, outcome and reason in one sentence.
fn told(row: &pb::HistoryRow) -> String {
    let stages = match (row.from_stage.as_str(), row.to_stage.as_str()) {
        ("", "") => String::new(),
        ("", to) => format!("{to}: "),
        (from, to) => format!("{from} → {to}: "),
    };
    let reason = if row.reason.is_empty() { String::new() } else { format!(" ({})", row.reason) };
    format!("{stages}{}{reason}", or_dash(&row.outcome))
}

/// A row as JSON; what does not concern it is an empty text.
pub(super) fn row_json(row: &pb::HistoryRow) -> Value {
    json!({
        "unix_ms": row.unix_ms, "actor": row.actor, "action": row.action, "volume": row.volume,
        "plugin": row.plugin, "version": row.version, "digest": row.digest, "from": row.from_stage,
        "to": row.to_stage, "reason": row.reason, "outcome": row.outcome,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> pb::HistoryRow {
        pb::HistoryRow {
            unix_ms: 1_769_860_800_000,
            actor: "admin".into(),
            action: "plugin-rollback".into(),
            volume: "default".into(),
            plugin: "mine".into(),
            version: "0.1.0".into(),
            digest: "0123456789abcdef".repeat(4),
            from_stage: "active".into(),
            to_stage: "rolled-back".into(),
            outcome: "refused: the plugin failed its rehearsal. ".repeat(9),
            reason: "asked for".into(),
        }
    }

    #[test]
    fn long_outcomes_do_not_widen_the_table() {
        for text in [short(&[row()]).expect("a table"), table(&[row()], true)] {
            assert!(text.lines().all(|line| line.chars().count() <= line_width()), "{text}");
            assert_eq!(text.matches("rehearsal.").count(), 9, "{text}");
        }
    }

    #[test]
    fn every_column_of_a_row_is_shown() {
        let text = table(&[pb::HistoryRow { outcome: "done".into(), ..row() }], false);
        assert!(!table(&[row()], true).contains("mine"), "the name is known");
        for part in ["2026-01-31", "admin", "plugin-rollback", "mine 0.1.0", "0123456789ab", "default"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        assert!(text.contains("active →") && text.contains("asked"), "{text}");
        assert_eq!(row_json(&row())["from"], "active");
    }

    #[test]
    fn the_short_one_says_how_much_it_leaves_out() {
        let text = short(&vec![row(); SHORT + 3]).expect("a table");
        assert!(text.contains("(3 more in `mortise plugin history`)"), "{text}");
        assert!(short(&[]).is_none());
    }
}
