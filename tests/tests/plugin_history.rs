//! The history through the command line: who did what, when, why, with what, and what came of it; refused
//! attempts included.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Mortise, bombs};
use serde_json::Value;
use tempfile::TempDir;

/// More than a component may have.
const TOO_LARGE: usize = 33 << 20;

struct Bench {
    data: TempDir,
    mortise: Mortise,
    component: String,
}

impl Bench {
    fn new() -> Result<Self> {
        let data = TempDir::new()?;
        let mortise = Mortise::start(&data.path().join("node"))?;
        let component = data.path().join("mine.wasm");
        fs::write(&component, mortise_plugins::COMPACTION_TIERED)?;
        Ok(Self { mortise, component: component.to_string_lossy().into_owned(), data })
    }

    /// Gives a command as alice, for a reason.
    fn alice(&self, arguments: &[&str]) -> Result<mortise_tests::Finished> {
        let stated = ["--operator", "alice", "--reason", "ticket 7"];
        self.mortise.cli(&[arguments, &stated].concat())
    }

    fn works(&self, arguments: &[&str]) -> Result<()> {
        let finished = self.alice(arguments)?;
        ensure!(finished.success() && finished.stderr.is_empty(), "{arguments:?}: {}", finished.stderr);
        Ok(())
    }

    fn history(&self, name: &[&str]) -> Result<Vec<Value>> {
        let rows = self.mortise.cli_json(&[&["plugin", "history"], name].concat())?;
        rows.as_array().cloned().context("an array")
    }
}

#[test]
fn the_history_tells_who_why_and_what_through_the_command_line() -> Result<()> {
    let bench = Bench::new()?;
    ensure!(bench.mortise.cli(&["volume", "create", "tenant"])?.success());
    let knob = r#"{"l0_runs":4}"#;
    bench.works(&["plugin", "add", &bench.component, "--name", "mine", "--grant", "wasi-minimal"])?;
    bench.works(&["plugin", "use", "mine", "--volume", "tenant", "--config", knob])?;
    bench.works(&["plugin", "use", "compaction-quiet", "--volume", "tenant"])?;
    bench.works(&["plugin", "rollback", "--volume", "tenant"])?;
    bench.works(&["plugin", "limits", "mine", "--fuel", "5000000000"])?;
    bench.works(&["plugin", "shadow", "compaction-leveled", "--volume", "tenant"])?;
    bench.works(&["plugin", "shadow", "--stop", "--volume", "tenant"])?;
    bench.works(&["plugin", "shadow", "compaction-leveled", "--volume", "tenant"])?;
    bench.works(&["plugin", "promote", "compaction-leveled", "--volume", "tenant"])?;
    bench.works(&["plugin", "record", "--volume", "tenant", "--calls", "9"])?;
    bench.works(&["plugin", "rollback", "--volume", "tenant"])?;
    bench.works(&["volume", "delete", "tenant"])?;
    bench.works(&["plugin", "remove", "mine"])?;

    let rows = bench.history(&["mine"])?;
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
    let bench = Bench::new()?;
    bench.works(&["plugin", "add", &bench.component, "--name", "mine"])?;
    let large = bench.data.path().join("large.wasm");
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
        let before = bench.history(&[])?.len();
        let finished = bench.alice(&[&["plugin"], arguments].concat())?;
        ensure!(!finished.success(), "{arguments:?} is refused");
        let answer = finished.stderr.trim_end().trim_start_matches("error: ").to_owned();
        let rows = bench.history(&[])?;
        ensure!(rows.len() == before + 1, "{arguments:?}: one row more: {rows:?}");
        ensure!(rows[0]["outcome"] == format!("refused: {answer}"), "{answer}: {}", rows[0]);
        ensure!(rows[0]["action"] == action && rows[0]["refused"] == true, "{}", rows[0]);
        ensure!(rows[0]["operator"] == "alice" && rows[0]["operator_reason"] == "ticket 7", "{}", rows[0]);
    }
    // On a name that nobody has, too; it is found by that name.
    ensure!(!bench.alice(&["plugin", "use", "nobody"])?.success());
    ensure!(bench.history(&["nobody"])?.len() == 1);
    // What is too long or no name is refused with the rule.
    let long = "x".repeat(401);
    for (flag, value, part) in [
        ("--reason", &*long, "at most 400"),
        ("--reason", "a\tb", "'\\t'"),
        ("--operator", "a b", "visible ASCII"),
    ] {
        let refused = bench.mortise.cli(&["plugin", "use", "mine", flag, value])?;
        ensure!(!refused.success() && refused.stderr.contains(part), "{}", refused.stderr);
        let row = bench.history(&["mine"])?.remove(0);
        ensure!(row["outcome"].as_str().is_some_and(|text| text.contains(part)), "{row}");
    }
    Ok(())
}
