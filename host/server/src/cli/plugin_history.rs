//! How the history of plugins is shown: who did what when, why, and what came of it.
//!
//! Functions of the daemon's answers. An operator's reason and a plugin's settings are escaped once more,
//! whatever the daemon let in. Tables cut digests and leave out what a row does not have; JSON carries every
//! field, in the names that scripts read. Rows come newest first, as the daemon sends them.

use serde_json::{Value, json};

use super::output::{given, line_width, or_dash, readable, time, wrapped};
use super::plugin_tables::{DIGEST, some};
use crate::pb::mortise::v1 as pb;

/// Rows that `plugin show` has of it; `plugin history` has all.
const SHORT: usize = 10;

/// Above the columns; each has two lines or more.
const HEAD: [&str; 4] = ["WHEN (UTC), WHO", "WHAT, WHERE", "VERSION, DIGEST", "OUTCOME (WHY)"];

/// Columns that are broken into lines where there is little room.
const LONG: [usize; 2] = [0, 3];

/// All rows, with the plugins' names unless they are `of_one`.
pub(super) fn table(rows: &[pb::HistoryRow], of_one: bool) -> String {
    let mut head = HEAD;
    if !of_one {
        head[2] = "PLUGIN, DIGEST";
    }
    wrapped(&head, &[], &LONG, rows.iter().map(|row| cells(row, of_one)).collect(), line_width())
}

/// The newest rows of one plugin.
pub(super) fn short(rows: &[pb::HistoryRow]) -> Option<String> {
    let text = some(&HEAD, &LONG, rows.iter().take(SHORT).map(|row| cells(row, true)).collect())?;
    let rest = rows.len().saturating_sub(SHORT);
    let more = if rest > 0 { format!("({rest} more in `mortise plugin history`)\n") } else { String::new() };
    Some(text + &more)
}

fn cells(row: &pb::HistoryRow, of_one: bool) -> Vec<String> {
    let name = if of_one { "" } else { &row.plugin };
    let plugin = format!("{name} {}", row.version);
    let when = time(row.unix_ms);
    vec![
        two_lines(when.trim_end_matches(" UTC"), &who(row)),
        two_lines(&row.action, &row.volume),
        two_lines(&or_dash(plugin.trim()), &row.digest.chars().take(DIGEST).collect::<String>()),
        told(row),
    ]
}

fn two_lines(first: &str, second: &str) -> String {
    if second.is_empty() { first.to_owned() } else { format!("{first}\n{second}") }
}

/// Who did it: `node`, or the name that was claimed with the address that the request came from.
fn who(row: &pb::HistoryRow) -> String {
    let name = if row.operator.is_empty() { &row.actor } else { &row.operator };
    if row.peer.is_empty() { name.clone() } else { format!("{name}@{}", row.peer) }
}

/// Stages, outcome and reason in a sentence, then a line for each of the operator's words, what was granted,
/// who vouches for it, and its settings.
fn told(row: &pb::HistoryRow) -> String {
    let stages = match (row.from_stage.as_str(), row.to_stage.as_str()) {
        ("", "") => String::new(),
        ("", to) => format!("{to}: "),
        (from, to) => format!("{from} → {to}: "),
    };
    let reason = if row.reason.is_empty() { String::new() } else { format!(" ({})", row.reason) };
    let mut text = format!("{stages}{}{reason}", or_dash(&row.outcome));
    let mut line = |what: &str, value: &str| {
        if !value.is_empty() {
            text += &format!("\n{what}: {}", readable(value.as_bytes()));
        }
    };
    line("why", &row.operator_reason);
    line("grants", &row.grants.join(", "));
    line("signature", [&*row.signature_state, &row.key_id].join(" ").trim());
    line("config", &config(row));
    text
}

/// The settings where there are any, on one line.
fn config(row: &pb::HistoryRow) -> String {
    if row.config_sha256.is_empty() {
        let compact = serde_json::from_str::<Value>(&row.config_json).map(|config| config.to_string());
        let text = compact.unwrap_or_else(|_| row.config_json.clone());
        return if text == "{}" { String::new() } else { text };
    }
    let sha256: String = row.config_sha256.chars().take(DIGEST).collect();
    format!("{} bytes, SHA-256 {sha256}", row.config_bytes)
}

/// A row as JSON; what does not concern it is null, or an empty list.
pub(super) fn row_json(row: &pb::HistoryRow) -> Value {
    let config = (row.config_bytes > 0).then(|| {
        let (text, sha256) = (given(&row.config_json), given(&row.config_sha256));
        json!({ "bytes": row.config_bytes, "json": text, "sha256": sha256 })
    });
    json!({
        "unix_ms": row.unix_ms, "actor": row.actor,
        "operator": given(&row.operator), "peer": given(&row.peer),
        "action": row.action, "volume": given(&row.volume),
        "plugin": given(&row.plugin), "version": given(&row.version), "digest": given(&row.digest),
        "from": given(&row.from_stage), "to": given(&row.to_stage),
        "reason": given(&row.reason), "operator_reason": given(&row.operator_reason),
        "grants": row.grants, "signature": given(&row.signature_state), "key_id": given(&row.key_id),
        "config": config, "outcome": given(&row.outcome), "refused": row.refused,
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
            ..Default::default()
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
    fn who_did_it_why_and_with_what_is_told_below() {
        let row = pb::HistoryRow {
            operator: "alice".into(),
            peer: "127.0.0.1".into(),
            outcome: "done".into(),
            operator_reason: "ticket 7".into(),
            grants: vec!["log".into(), "wasi-minimal".into()],
            signature_state: "signed".into(),
            key_id: "0123456789ABCDEF".into(),
            config_json: "{\n  \"knob\": 1\n}".into(),
            config_bytes: 15,
            ..row()
        };
        let expected = [
            "WHEN (UTC), WHO      WHAT, WHERE      VERSION, DIGEST  OUTCOME (WHY)",
            "2026-01-31 12:00:00  plugin-rollback  0.1.0            active → rolled-back: done (asked for)",
            "alice@127.0.0.1      default          0123456789ab     why: ticket 7",
            "                                                       grants: log, wasi-minimal",
            "                                                       signature: signed 0123456789ABCDEF",
            "                                                       config: {\"knob\":1}",
        ];
        assert_eq!(table(std::slice::from_ref(&row), true).lines().collect::<Vec<_>>(), expected);
        assert_eq!(row_json(&row)["config"]["bytes"], 15);
        let long = pb::HistoryRow { config_sha256: "ab".repeat(32), config_bytes: 9000, ..row };
        assert!(table(&[long], true).contains("config: 9000 bytes, SHA-256 abababababab"));
    }

    #[test]
    fn what_is_not_known_takes_no_room() {
        let row = pb::HistoryRow { config_json: "{}".into(), config_bytes: 2, ..row() };
        let text = table(&[row], true);
        for part in ["why:", "grants:", "signature:", "config:", "@"] {
            assert!(!text.contains(part), "{part} is in {text}");
        }
        assert!(text.contains("admin") && row_json(&pb::HistoryRow::default())["config"].is_null());
    }

    #[test]
    fn the_short_one_says_how_much_it_leaves_out() {
        let text = short(&vec![row(); SHORT + 3]).expect("a table");
        assert!(text.contains("(3 more in `mortise plugin history`)"), "{text}");
        assert!(short(&[]).is_none());
    }
}
