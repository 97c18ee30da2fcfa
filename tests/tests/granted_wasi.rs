//! A component that needs `wasi-minimal`, through the command line: refused with what to do, shown before it
//! is granted, stored with its grant, run with a clock that is the call's; and an upgrade that wants more
//! than its plugin was granted stays outside.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Mortise, guests};
use serde_json::{Value, json};
use tempfile::TempDir;

const END: Duration = Duration::from_secs(60);

struct Bench {
    data: TempDir,
    folder: TempDir,
    mortise: Mortise,
}

impl Bench {
    fn new() -> Result<Self> {
        let (data, folder) = (TempDir::new()?, TempDir::new()?);
        let mortise = Mortise::start(data.path())?;
        Ok(Self { data, folder, mortise })
    }

    fn component(&self, name: &str, bytes: &[u8]) -> Result<String> {
        let path = self.folder.path().join(format!("{name}.wasm"));
        fs::write(&path, bytes)?;
        Ok(path.to_string_lossy().into_owned())
    }

    fn works(&self, arguments: &[&str]) -> Result<String> {
        let finished = self.mortise.cli(&[&["plugin"], arguments].concat())?;
        ensure!(finished.success(), "plugin {arguments:?}: {}", finished.stderr);
        Ok(finished.stdout)
    }

    fn is_refused(&self, arguments: &[&str]) -> Result<()> {
        let finished = self.mortise.cli(&[&["plugin"], arguments].concat())?;
        ensure!(finished.code == Some(1), "{arguments:?}: {finished:?}");
        for part in ["wants wasi-minimal", "wasi:clocks/wall-clock@0.2.0", "--grant wasi-minimal"] {
            ensure!(finished.stderr.contains(part), "{part} is missing: {}", finished.stderr);
        }
        Ok(())
    }

    fn versions(&self, name: &str) -> Result<Vec<Value>> {
        let shown = self.mortise.cli_json(&["plugin", "show", name])?;
        shown["versions"].as_array().cloned().context("an array")
    }

    fn serving(&self) -> Result<Value> {
        Ok(self.mortise.cli_json(&["volume", "status", "default"])?["strategy"]["serving"].clone())
    }

    /// The latest call that a strategy answered, as it was recorded.
    fn recorded(&self) -> Result<Value> {
        let trace = self.works(&["record", "--volume", "default", "--trace"])?;
        serde_json::from_str(trace.lines().last().context("a call")?).context("a line of a trace")
    }
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
    let mut bench = Bench::new()?;
    let clock = bench.component("clock", guests::WASI_CLOCK)?;
    let checked = bench.mortise.cli(&["plugin", "check", &clock])?;
    ensure!(checked.code == Some(1) && checked.stdout.contains("--grant wasi-minimal"), "{checked:?}");
    let checked = bench.works(&["check", &clock, "--grant", "wasi-minimal"])?;
    for part in ["the capability wasi-minimal", "wasi:clocks/wall-clock", "a host would take it"] {
        ensure!(checked.contains(part), "{part} is missing in {checked}");
    }
    bench.is_refused(&["add", &clock, "--name", "clock"])?;
    ensure!(!bench.works(&["list"])?.contains("clock"), "nothing of it is there");
    bench.works(&["add", &clock, "--name", "clock", "--grant", "wasi-minimal"])?;
    let version = bench.versions("clock")?.remove(0);
    ensure!(version["grants"] == json!(["log", "wasi-minimal"]), "{version}");
    ensure!(version["wants"].to_string().contains("wasi-minimal"), "{version}");
    ensure!(bench.works(&["show", "clock"])?.contains("log, wasi-minimal"), "the table shows it, too");

    bench.works(&["limits", "clock", "--deadline", "20s"])?;
    bench.works(&["use", "clock", "--volume", "default"])?;
    // A restart finds the grant in the catalog.
    let unused = TempDir::new()?;
    let old = std::mem::replace(&mut bench.mortise, Mortise::start(unused.path())?);
    old.stop()?;
    let again = Mortise::start_with(bench.data.path(), &["--log-level", "debug"])?;
    std::mem::replace(&mut bench.mortise, again).kill()?;
    ensure!(bench.serving()?["plugin"] == "clock", "{}", bench.serving()?);
    // Another configuration makes the loop ask at once.
    bench.works(&["use", "clock", "--volume", "default", "--config", r#"{"asked": "again"}"#])?;
    bench.mortise.process().wait_line("an answer", END, |line| {
        (line.contains("the strategy was asked") && line.contains("\"clock\"")).then_some(())
    })?;
    let call = bench.recorded()?;
    let answered = call["answer"]["decision"]["step"]["wait"]["ask_again_ms"].as_u64();
    ensure!(answered == call["now"].as_u64().map(|now| now / 1000), "its clock is the call's: {call}");
    Ok(())
}

#[test]
fn an_upgrade_never_widens_what_its_plugin_was_granted() -> Result<()> {
    let bench = Bench::new()?;
    let quiet = bench.component("quiet", mortise_plugins::COMPACTION_QUIET)?;
    bench.works(&["add", &quiet, "--name", "mine"])?;
    bench.works(&["use", "mine", "--volume", "default"])?;
    let wanting = bench.component("0.7.0", &versioned(guests::WASI_CLOCK, "0.7.0")?)?;
    bench.is_refused(&["add", &wanting, "--name", "mine"])?;
    ensure!(bench.versions("mine")?.len() == 1, "the version that was there is the only one");
    let row = bench.mortise.cli_json(&["plugin", "history", "mine"])?[0].clone();
    ensure!(row["action"] == "plugin-add" && row["actor"] == "admin", "{row}");
    ensure!(row["outcome"].as_str().is_some_and(|outcome| outcome.starts_with("refused")), "{row}");
    ensure!(bench.serving()?["plugin"] == "mine", "what served goes on");

    // Granted expressly, the new version has it, and the old one has not.
    bench.works(&["add", &wanting, "--name", "mine", "--grant", "wasi-minimal"])?;
    let granted: Vec<_> = bench
        .versions("mine")?
        .iter()
        .map(|version| (version["version"].clone(), version["grants"].clone()))
        .collect();
    let expected = [(json!("0.7.0"), json!(["log", "wasi-minimal"])), (json!("0.2.0"), json!(["log"]))];
    ensure!(granted == expected, "{granted:?}");
    // From now on it is the plugin's, and nobody else's.
    let later = bench.component("0.8.0", &versioned(guests::WASI_CLOCK, "0.8.0")?)?;
    bench.is_refused(&["add", &later, "--name", "another"])?;
    bench.works(&["add", &later, "--name", "mine"])?;
    ensure!(bench.versions("mine")?[0]["grants"] == json!(["log", "wasi-minimal"]));
    Ok(())
}
