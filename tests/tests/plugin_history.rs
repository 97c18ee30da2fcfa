//! The history through the command line: who did what, when, why, with what, and what came of it; refused
//! attempts included.

use std::fs;

use anyhow::{Result, ensure};
use mortise_tests::{Bench, Finished, bombs};
use serde_json::Value;

/// More than a component may have.
const TOO_LARGE: usize = 33 << 20;

/// Gives a command as alice, for a reason.
fn alice(bench: &Bench, arguments: &[&str]) -> Result<Finished> {
    let stated = ["--operator", "alice", "--reason", "ticket 7"];
    bench.mortise.cli(&[arguments, &stated].concat())
}

fn works(bench: &Bench, arguments: &[&str]) -> Result<()> {
    let finished = alice(bench, arguments)?;
    ensure!(finished.success() && finished.stderr.is_empty(), "{arguments:?}: {}", finished.stderr);
    Ok(())
}

#[test]
fn the_history_tells_who_why_and_what_through_the_command_line() -> Result<()> {
    let bench = Bench::start(&[])?;
    let component = bench.component("mine", mortise_plugins::COMPACTION_TIERED)?;
    ensure!(bench.mortise.cli(&["volume", "create", "tenant"])?.success());
    let knob = r#"{"l0_runs":4}"#;
    works(&bench, &["plugin", "add", &component, "--name", "mine", "--grant", "wasi-minimal"])?;
    works(&bench, &["plugin", "use", "mine", "--volume", "tenant", "--config", knob])?;
    works(&bench, &["plugin", "use", "compaction-quiet", "--volume", "tenant"])?;
    works(&bench, &["plugin", "rollback", "--volume", "tenant"])?;
    works(&bench, &["plugin", "limits", "mine", "--fuel", "5000000000"])?;
    works(&bench, &["plugin", "shadow", "compaction-leveled", "--volume", "tenant"])?;
    works(&bench, &["plugin", "shadow", "--stop", "--volume", "tenant"])?;
    works(&bench, &["plugin", "shadow", "compaction-leveled", "--volume", "tenant"])?;
    works(&bench, &["plugin", "promote", "compaction-leveled", "--volume", "tenant"])?;
    works(&bench, &["plugin", "record", "--volume", "tenant", "--calls", "9"])?;
    works(&bench, &["plugin", "rollback", "--volume", "tenant"])?;
    works(&bench, &["volume", "delete", "tenant"])?;
    works(&bench, &["plugin", "remove", "mine"])?;

    let rows = bench.history(Some("mine"))?;
    let expected = [
        ("plugin-add", "added", "verified"),
        ("plugin-rehearse", "verified", "rehearsed"),
        ("plugin-use", "rehearsed", "active"),
        ("plugin-supersede", "active", "superseded"),
        ("plugin-rollback", "superseded", "active"),
        ("plugin-limits", "", ""),
        ("plugin-supersede", "active", "superseded"),
        ("plugin-rollback", "superseded", "active"),
        ("volume-delete", "active", "verified"),
        ("plugin-remove", "verified", "removed"),
    ];
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    let told: Vec<_> = rows.iter().rev().map(|row| ["action", "from", "to"].map(|f| text(row, f))).collect();
    ensure!(told == expected.map(|(action, from, to)| [action, from, to].map(str::to_owned)), "{told:?}");
    for row in &rows {
        let who = ["actor", "operator", "peer", "operator_reason"].map(|field| text(row, field));
        ensure!(who == ["admin", "alice", "127.0.0.1", "ticket 7"], "{row}");
    }
    let (added, used) = (&rows[rows.len() - 1], &rows[rows.len() - 3]);
    ensure!(added["grants"] == serde_json::json!(["log", "wasi-minimal"]), "{added}");
    ensure!(added["signature"] == "unsigned" && added["key_id"].is_null(), "{added}");
    ensure!(used["config"]["json"] == knob && used["config"]["bytes"] == knob.len(), "{used}");
    ensure!(rows[1]["outcome"] == "the volume was deleted", "{}", rows[1]);

    let shown = bench.mortise.cli(&["plugin", "history", "mine"])?.stdout;
    for part in ["alice@127.0.0.1", "why: ticket 7", "grants: log, wasi-minimal", "unsigned", knob] {
        ensure!(shown.contains(part), "{part} is missing in {shown}");
    }
    ensure!(shown.lines().all(|line| line.chars().count() <= 100), "too wide: {shown}");
    Ok(())
}

#[test]
fn refused_commands_leave_one_row_each_and_so_does_what_is_too_large() -> Result<()> {
    let bench = Bench::start(&[])?;
    let component = bench.component("mine", mortise_plugins::COMPACTION_TIERED)?;
    works(&bench, &["plugin", "add", &component, "--name", "mine"])?;
    let large = bench.file("large.wasm");
    fs::write(&large, bombs::padded(mortise_plugins::COMPACTION_TIERED, TOO_LARGE))?;
    let attempts: [(&[&str], &str); 10] = [
        (&["use", "mine", "--version", "9.9.9"], "plugin-use"),
        (&["use", "mine", "--volume", "nowhere"], "plugin-use"),
        (&["rollback"], "plugin-rollback"),
        (&["promote", "mine"], "plugin-promote"),
        (&["remove", "compaction-leveled"], "plugin-remove"),
        (&["limits", "mine", "--memory", "1TiB"], "plugin-limits"),
        (&["shadow", "--stop", "mine"], "plugin-shadow-end"),
        (&["release", "mine"], "plugin-release"),
        (&["quarantine", "mine"], "plugin-quarantine"),
        (&["add", &large.to_string_lossy(), "--name", "mine"], "plugin-add"),
    ];
    for (arguments, action) in attempts {
        let before = bench.history(None)?.len();
        let finished = alice(&bench, &[&["plugin"], arguments].concat())?;
        ensure!(!finished.success(), "{arguments:?} is refused");
        let answer = finished.stderr.trim_end().trim_start_matches("error: ").to_owned();
        let rows = bench.history(None)?;
        ensure!(rows.len() == before + 1, "{arguments:?}: one row more: {rows:?}");
        ensure!(rows[0]["outcome"] == format!("refused: {answer}"), "{answer}: {}", rows[0]);
        ensure!(rows[0]["action"] == action && rows[0]["refused"] == true, "{}", rows[0]);
        ensure!(rows[0]["operator"] == "alice" && rows[0]["operator_reason"] == "ticket 7", "{}", rows[0]);
    }
    // On a name that nobody has, too; it is found by that name.
    ensure!(!alice(&bench, &["plugin", "use", "nobody"])?.success());
    ensure!(bench.history(Some("nobody"))?.len() == 1);
    // What is too long or no name is refused with the rule.
    let long = "x".repeat(401);
    for (flag, value, part) in [
        ("--reason", &*long, "at most 400"),
        ("--reason", "a\tb", "'\\t'"),
        ("--operator", "a b", "visible ASCII"),
    ] {
        let refused = bench.mortise.cli(&["plugin", "use", "mine", flag, value])?;
        ensure!(!refused.success() && refused.stderr.contains(part), "{}", refused.stderr);
        let row = bench.history(Some("mine"))?.remove(0);
        ensure!(row["outcome"].as_str().is_some_and(|text| text.contains(part)), "{row}");
    }
    Ok(())
}
