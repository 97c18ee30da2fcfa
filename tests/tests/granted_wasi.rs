//! A component that needs `wasi-minimal`, through the command line: refused with what to do, shown before it
//! is granted, stored with its grant, run with a clock that is the call's; and an upgrade that wants more
//! than its plugin was granted stays outside.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Bench, guests};
use serde_json::{Value, json};

const END: Duration = Duration::from_secs(60);

/// What the refusal of a component says that wants what it was not granted.
const WANTS: [&str; 3] = ["wants wasi-minimal", "wasi:clocks/wall-clock@0.2.0", "--grant wasi-minimal"];

fn versions(bench: &Bench, name: &str) -> Result<Vec<Value>> {
    bench.json(&["show", name])?["versions"].as_array().cloned().context("an array")
}

fn serving(bench: &Bench) -> Result<Value> {
    Ok(bench.mortise.cli_json(&["volume", "status", "default"])?["strategy"]["serving"].clone())
}

/// The latest call that a strategy answered, as it was recorded.
fn recorded(bench: &Bench) -> Result<Value> {
    let trace = bench.plugin(&["record", "--volume", "default", "--trace"])?;
    serde_json::from_str(trace.lines().last().context("a call")?).context("a line of a trace")
}

/// The same component under another version of as many characters. Versions of contracts stand behind an `@`.
fn versioned(component: &[u8], version: &str) -> Result<Vec<u8>> {
    let old = b"0.1.0";
    let own = |at: &usize| component[*at..].starts_with(old) && component[at - 1] != b'@';
    let at: Vec<usize> = (1..component.len()).filter(own).collect();
    let [at] = at[..] else { anyhow::bail!("its version stands at {at:?}") };
    let mut changed = component.to_owned();
    changed[at..at + old.len()].copy_from_slice(version.as_bytes());
    Ok(changed)
}

#[test]
fn a_component_that_needs_wasi_is_shown_granted_stored_and_run() -> Result<()> {
    let bench = Bench::start(&[])?;
    let clock = bench.component("clock", guests::WASI_CLOCK)?;
    let checked = bench.mortise.cli(&["plugin", "check", &clock])?;
    ensure!(checked.code == Some(1) && checked.stdout.contains("--grant wasi-minimal"), "{checked:?}");
    let checked = bench.plugin(&["check", &clock, "--grant", "wasi-minimal"])?;
    for part in ["the capability wasi-minimal", "wasi:clocks/wall-clock", "a host would take it"] {
        ensure!(checked.contains(part), "{part} is missing in {checked}");
    }
    bench.refuses(&["add", &clock, "--name", "clock"], &WANTS)?;
    ensure!(!bench.plugin(&["list"])?.contains("clock"), "nothing of it is there");
    bench.plugin(&["add", &clock, "--name", "clock", "--grant", "wasi-minimal"])?;
    let version = versions(&bench, "clock")?.remove(0);
    ensure!(version["grants"] == json!(["log", "wasi-minimal"]), "{version}");
    ensure!(version["wants"].to_string().contains("wasi-minimal"), "{version}");
    ensure!(bench.plugin(&["show", "clock"])?.contains("log, wasi-minimal"), "the table shows it, too");

    bench.plugin(&["limits", "clock", "--deadline", "20s"])?;
    bench.plugin(&["use", "clock", "--volume", "default"])?;
    // A restart finds the grant in the catalog.
    let mut bench = bench.restart(&["--log-level", "debug"])?;
    ensure!(serving(&bench)?["plugin"] == "clock", "{}", serving(&bench)?);
    // Another configuration makes the loop ask at once.
    bench.plugin(&["use", "clock", "--volume", "default", "--config", r#"{"asked": "again"}"#])?;
    bench.mortise.process().wait_line("an answer", END, |line| {
        (line.contains("the strategy was asked") && line.contains("\"clock\"")).then_some(())
    })?;
    let call = recorded(&bench)?;
    let answered = call["answer"]["decision"]["step"]["wait"]["ask_again_ms"].as_u64();
    ensure!(answered == call["now"].as_u64().map(|now| now / 1000), "its clock is the call's: {call}");
    Ok(())
}

#[test]
fn an_upgrade_never_widens_what_its_plugin_was_granted() -> Result<()> {
    let bench = Bench::start(&[])?;
    let quiet = bench.component("quiet", mortise_plugins::COMPACTION_QUIET)?;
    bench.plugin(&["add", &quiet, "--name", "mine"])?;
    bench.plugin(&["use", "mine", "--volume", "default"])?;
    let wanting = bench.component("0.7.0", &versioned(guests::WASI_CLOCK, "0.7.0")?)?;
    bench.refuses(&["add", &wanting, "--name", "mine"], &WANTS)?;
    ensure!(versions(&bench, "mine")?.len() == 1, "the version that was there is the only one");
    let row = bench.history(Some("mine"))?.remove(0);
    ensure!(row["action"] == "plugin-add" && row["actor"] == "admin", "{row}");
    ensure!(row["outcome"].as_str().is_some_and(|outcome| outcome.starts_with("refused")), "{row}");
    ensure!(serving(&bench)?["plugin"] == "mine", "what served goes on");

    // Granted expressly, the new version has it, and the old one has not.
    bench.plugin(&["add", &wanting, "--name", "mine", "--grant", "wasi-minimal"])?;
    let granted: Vec<_> = versions(&bench, "mine")?
        .iter()
        .map(|version| (version["version"].clone(), version["grants"].clone()))
        .collect();
    let expected = [(json!("0.7.0"), json!(["log", "wasi-minimal"])), (json!("0.2.0"), json!(["log"]))];
    ensure!(granted == expected, "{granted:?}");
    // From now on it is the plugin's, and nobody else's.
    let later = bench.component("0.8.0", &versioned(guests::WASI_CLOCK, "0.8.0")?)?;
    bench.refuses(&["add", &later, "--name", "another"], &WANTS)?;
    bench.plugin(&["add", &later, "--name", "mine"])?;
    ensure!(versions(&bench, "mine")?[0]["grants"] == json!(["log", "wasi-minimal"]));
    Ok(())
}
