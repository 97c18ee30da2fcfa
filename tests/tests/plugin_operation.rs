//! What an operator does with plugins, through the command line: history, signatures, capabilities, limits,
//! stages, formats; and what misuse is answered.

use std::fs;
use std::io::Cursor;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use minisign::KeyPair;
use mortise_tests::{Bench, Mortise, Process, guests, page, sample};
use serde_json::Value;
use tempfile::TempDir;

const END: Duration = Duration::from_secs(60);

/// `ACTION FROM TO` of the rows about a plugin, the oldest first.
fn stages(bench: &Bench, name: &str) -> Result<Vec<String>> {
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or("?").to_owned();
    let line = |row: &Value| [text(row, "action"), text(row, "from"), text(row, "to")].join(" ");
    Ok(bench.history(Some(name))?.iter().rev().map(line).collect())
}

#[test]
fn the_history_tells_who_did_what_and_survives_a_restart() -> Result<()> {
    let bench = Bench::start(&[])?;
    let file = bench.component("mine", mortise_plugins::COMPACTION_TIERED)?;
    bench.plugin(&["add", &file, "--name", "mine"])?;
    bench.plugin(&["use", "mine", "--volume", "default"])?;
    bench.plugin(&["rollback", "--volume", "default"])?;
    let expected = [
        "plugin-add added verified",
        "plugin-rehearse verified rehearsed",
        "plugin-use rehearsed active",
        "plugin-rollback active rolled-back",
    ];
    ensure!(stages(&bench, "mine")? == expected, "{:?}", stages(&bench, "mine")?);
    let shown = bench.json(&["show", "mine"])?["versions"][0].clone();
    ensure!(shown["stage"] == "rolled-back" && shown["standings"][0]["volume"] == "default", "{shown}");

    let bench = bench.restart(&[])?;
    ensure!(stages(&bench, "mine")? == expected, "{:?}", stages(&bench, "mine")?);
    let text = bench.plugin(&["history", "mine"])?;
    for part in ["WHEN", "@127.0.0.1", "plugin-rollback", "active →"] {
        ensure!(text.contains(part), "{part} is missing in {text}");
    }
    bench.plugin(&["remove", "mine"])?;
    let last = stages(&bench, "mine")?.pop().context("a row")?;
    ensure!(last == "plugin-remove verified removed", "what is gone keeps its history: {last}");
    bench.refuses(&["history", "unheard-of"], &["unheard-of", "does not exist"]).map(drop)
}

#[test]
fn the_history_tells_what_was_refused_though_it_never_had_a_name() -> Result<()> {
    let bench = Bench::start(&[])?;
    let file = bench.component("mute", guests::TRAP_IN_START)?;
    bench.refuses(&["add", &file], &["asked who it is"])?;
    let row = bench.json(&["history"])?[0].clone();
    ensure!(row["action"] == "plugin-add" && row["from"] == "added" && row["to"] == "removed", "{row}");
    ensure!(row["outcome"].as_str().is_some_and(|text| text.starts_with("refused")), "{row}");
    ensure!(row["digest"].as_str().is_some_and(|digest| digest.len() == 64), "{row}");
    Ok(())
}

fn sign(pair: &KeyPair, bytes: &[u8]) -> Result<String> {
    Ok(minisign::sign(None, &pair.sk, Cursor::new(bytes), Some("release 7"), None)?.to_string())
}

/// A key pair, its public half in a file, and its id as minisign prints it.
fn key(folder: &TempDir, name: &str) -> Result<(KeyPair, PathBuf, String)> {
    let pair = KeyPair::generate_unencrypted_keypair()?;
    let text = pair.pk.to_box()?.to_string();
    let id = text.lines().next().and_then(|line| line.rsplit(' ').next()).context("an id")?.to_owned();
    let path = folder.path().join(name);
    fs::write(&path, text)?;
    Ok((pair, path, id))
}

#[test]
fn a_node_that_requires_signatures_takes_and_runs_nothing_else() -> Result<()> {
    let keys = TempDir::new()?;
    let (mine, path, id) = key(&keys, "mine.pub")?;
    let (stranger, _, stranger_id) = key(&keys, "stranger.pub")?;
    let bench = Bench::start(&[])?;
    let bytes = mortise_plugins::COMPACTION_TIERED;
    let file = bench.component("old", bytes)?;
    bench.plugin(&["add", &file, "--name", "old"])?;
    bench.plugin(&["use", "old", "--volume", "default"])?;
    let required = ["--require-signed", "--trusted-keys", &*path.to_string_lossy()];
    let bench = bench.restart(&required)?;

    let status = bench.mortise.cli_json(&["volume", "status", "default"])?["strategy"].clone();
    ensure!(status["serving"]["plugin"] == "compaction-leveled", "unsigned code runs: {status}");
    let row = bench.json(&["history", "old"])?[0].clone();
    ensure!(row["action"] == "fallback" && row["actor"] == "node", "{row}");
    bench.refuses(&["use", "old", "--volume", "default"], &["not signed", &id])?;

    let file = bench.component("new", bytes)?;
    let (beside, elsewhere) = (format!("{file}.minisig"), bench.file("elsewhere"));
    bench.refuses(&["add", &file, "--name", "new"], &["not signed", &id])?;
    fs::write(&beside, sign(&stranger, bytes)?)?;
    bench.refuses(&["add", &file, "--name", "new"], &[&id, &stranger_id])?;
    fs::write(&beside, sign(&mine, b"something else")?)?;
    bench.refuses(&["add", &file, "--name", "new"], &["does not hold"])?;
    let named = elsewhere.to_string_lossy().into_owned();
    bench.refuses(&["add", &file, "--signature", &named], &["cannot read the signature"])?;
    fs::write(&elsewhere, sign(&mine, bytes)?)?;
    bench.plugin(&["add", &file, "--name", "new", "--signature", &named])?;
    let signature = bench.json(&["show", "new"])?["versions"][0]["signature"].clone();
    ensure!(signature["state"] == "signed" && signature["key_id"] == *id, "{signature}");
    ensure!(signature["trusted_comment"] == "release 7", "{signature}");
    ensure!(bench.plugin(&["show", "new"])?.contains("release 7"), "the table shows it, too");
    bench.plugin(&["use", "new", "--volume", "default"]).map(drop)
}

#[test]
fn keys_that_are_none_keep_the_daemon_from_starting() -> Result<()> {
    let directory = TempDir::new()?;
    let file = directory.path().join("not.pub");
    fs::write(&file, "nonsense")?;
    let config = directory.path().join("mortise.toml");
    fs::write(&config, "require-signed = true\n")?;
    for (arguments, expected) in [
        (["--trusted-keys", "nonsense"], "minisign"),
        (["--trusted-keys", "/nowhere/key.pub"], "/nowhere/key.pub"),
        (["--trusted-keys", &*file.to_string_lossy()], "not.pub"),
        (["--config", &*config.to_string_lossy()], "--trusted-keys"),
    ] {
        let mut command = Mortise::command(&directory.path().join("data"), &arguments)?;
        let mut process = Process::spawn("mortise serve", &mut command)?;
        let (status, log) = process.wait_end(END)?;
        ensure!(!status.success() && log.contains(expected), "{arguments:?}: {status}: {log}");
    }
    Ok(())
}

#[test]
fn trusted_keys_come_from_the_environment_and_the_file_too() -> Result<()> {
    let keys = TempDir::new()?;
    let (pair, _, id) = key(&keys, "mine.pub")?;
    let folder = TempDir::new()?;
    let component = folder.path().join("c.wasm");
    fs::write(&component, mortise_plugins::COMPACTION_QUIET)?;
    let component = component.to_string_lossy().into_owned();
    let config = keys.path().join("mortise.toml");
    let line = pair.pk.to_base64();
    fs::write(&config, format!("require-signed = true\ntrusted-keys = [\"{line}\"]\n"))?;
    for from_file in [true, false] {
        let data = TempDir::new()?;
        let mut command = Mortise::command(data.path(), &[])?;
        if from_file {
            command.arg("--config").arg(&config);
        } else {
            command.env("MORTISE_TRUSTED_KEYS", &line).env("MORTISE_REQUIRE_SIGNED", "true");
        }
        let mortise = Mortise::from_command(command)?;
        let refused = mortise.cli(&["plugin", "add", &component])?;
        ensure!(refused.stderr.contains(&id), "from file: {from_file}: {}", refused.stderr);
    }
    Ok(())
}

#[test]
fn what_a_component_wants_is_shown_with_the_command_that_grants_it() -> Result<()> {
    let bench = Bench::start(&[])?;
    let file = bench.component("clock", guests::IMPORTS_CLOCK)?;
    let parts = ["log, wasi-minimal", "wasi:clocks/monotonic-clock", "--grant wasi-minimal"];
    bench.refuses(&["add", &file, "--name", "clock"], &parts[1..])?;
    bench.refuses(&["add", &file, "--grant", "sockets"], &["sockets", parts[0]])?;
    let row = bench.json(&["history", "clock"])?[0].clone();
    ensure!(row["outcome"].as_str().is_some_and(|text| text.contains("--grant wasi-minimal")), "{row}");
    let plain = bench.component("plain", mortise_plugins::COMPACTION_QUIET)?;
    bench.plugin(&["add", &plain, "--name", "plain", "--grant", "wasi-minimal"])?;
    let shown = bench.json(&["show", "plain"])?["versions"][0].clone();
    ensure!(shown["grants"] == serde_json::json!(["log", "wasi-minimal"]), "{shown}");
    ensure!(!shown["wants"].to_string().contains("wasi"), "{shown}");
    Ok(())
}

#[test]
fn limits_are_shown_beside_what_was_used() -> Result<()> {
    let bench = Bench::start(&[])?;
    bench.plugin(&["use", "compaction-tiered", "--volume", "default"])?;
    let set = ["--memory", "32MiB", "--deadline", "250ms", "--fuel", "5000000", "--answer-bytes", "128KiB"];
    let set = bench.plugin(&[&["limits", "compaction-tiered"][..], &set].concat())?;
    // Without flags they are shown, and with the plugin, too.
    let (limits, shown) = (["limits", "compaction-tiered"], ["show", "compaction-tiered"]);
    for text in [set, bench.plugin(&limits)?, bench.plugin(&shown)?] {
        for part in ["32.0 MiB", "250 ms", "5000000", "128.0 KiB", "p99", "MOST USED"] {
            ensure!(text.contains(part), "{part} is missing in {text}");
        }
    }
    let version = bench.json(&["limits", "compaction-tiered"])?[0].clone();
    ensure!(version["limits"]["fuel"] == 5_000_000 && version["limits"]["deadline_ms"] == 250, "{version}");
    for figure in ["calls", "peak_memory_bytes", "longest_us", "peak_fuel", "bytes_in", "bytes_out"] {
        ensure!(version["usage"][figure].as_u64() > Some(0), "{figure}: {version}");
    }
    bench.plugin(&["limits", "compaction-tiered", "--fuel", "0"])?;
    let version = bench.json(&["limits", "compaction-tiered"])?[0].clone();
    ensure!(version["limits"]["fuel"].is_null(), "0 means none: {version}");
    ensure!(version["limits"]["deadline_ms"] == 250, "what is not named stays: {version}");
    bench.refuses(&["limits", "compaction-tiered", "--memory", "0"], &["--memory is 0"])?;
    bench.refuses(&["limits", "compaction-tiered", "--memory", "1TiB"], &["memory_bytes", "allowed"])?;
    bench.refuses(&["limits", "unheard-of", "--memory", "1MiB"], &["unheard-of"]).map(drop)
}

#[test]
fn metrics_follow_a_plugin_and_go_with_it() -> Result<()> {
    let bench = Bench::start(&[])?;
    let file = bench.component("mine", mortise_plugins::COMPACTION_TIERED)?;
    bench.plugin(&["add", &file, "--name", "mine"])?;
    bench.plugin(&["use", "mine", "--volume", "default"])?;
    let mine = [("plugin", "mine")];
    let metrics = page(&bench.mortise.http, "/metrics")?;
    for name in [
        "mortise_plugin_instantiations_total",
        "mortise_plugin_in_bytes_total",
        "mortise_plugin_out_bytes_total",
        "mortise_plugin_run_duration_seconds_count",
        "mortise_plugin_version_in_use",
        "mortise_plugin_versions",
    ] {
        ensure!(sample(&metrics, name, &mine) > Some(0.0), "{name} is missing: {metrics}");
    }
    let active = sample(&metrics, "mortise_plugin_versions", &[("plugin", "mine"), ("stage", "active")]);
    ensure!(active == Some(1.0), "{active:?} versions are active");
    let swapped = sample(&metrics, "mortise_plugin_last_swap_timestamp_seconds", &[("volume", "default")]);
    ensure!(swapped > Some(1_700_000_000.0), "the time of the last swap is {swapped:?}");

    bench.plugin(&["rollback", "--volume", "default"])?;
    bench.plugin(&["remove", "mine"])?;
    let metrics = page(&bench.mortise.http, "/metrics")?;
    let left: Vec<_> = metrics.lines().filter(|line| line.contains("plugin=\"mine\"")).collect();
    ensure!(left.is_empty(), "series of a removed plugin are left: {left:?}");
    let labels = [("plugin", "compaction-leveled"), ("volume", "default")];
    let other = sample(&metrics, "mortise_plugin_version_in_use", &labels);
    ensure!(other == Some(1.0), "others are not touched: {other:?}");
    Ok(())
}

#[test]
fn a_format_is_no_compaction_strategy() -> Result<()> {
    let bench = Bench::start(&[])?;
    let file = bench.component("zip", mortise_plugins::FORMAT_DICTIONARY)?;
    bench.plugin(&["add", &file, "--name", "zip"])?;
    let parts = ["zip", "world `format`", "expected `compaction-strategy`", "mortise volume convert"];
    bench.refuses(&["use", "zip", "--volume", "default"], &parts)?;
    let shown = bench.json(&["show", "zip"])?["versions"][0].clone();
    ensure!(shown["world"] == "format" && shown["stage"] == "verified", "{shown}");
    let status = bench.mortise.cli_json(&["volume", "status", "default"])?["strategy"].clone();
    ensure!(status["serving"]["plugin"] == "compaction-leveled", "{status}");
    // All versions of a plugin are of one world.
    let other = bench.component("other", mortise_plugins::COMPACTION_QUIET)?;
    bench.refuses(&["add", &other, "--name", "zip"], &["expected `format`", "another name"])?;
    bench.plugin(&["remove", "zip"]).map(drop)
}
