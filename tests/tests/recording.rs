//! What a daemon keeps of its strategies' calls, through the command line: recorded under load, saved as a
//! trace, and replayed against the same component and another one; kept within bounds, beyond a quarantine,
//! and switched for good.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Finished, Load, Mortise, guests, seed};
use serde_json::Value;
use tempfile::TempDir;

const WRITERS: u32 = 4;
/// Progress of the load between two looks at the node, and how often to look.
const STRETCH: u64 = 100;
const LOOKS: usize = 300;

/// A node whose small memtables make the strategies work within the test, and a folder for files.
struct Bench {
    directory: TempDir,
    folder: TempDir,
    mortise: Mortise,
}

impl Bench {
    fn new() -> Result<Self> {
        let (directory, folder) = (TempDir::new()?, TempDir::new()?);
        let mortise = start(&directory)?;
        Ok(Self { directory, folder, mortise })
    }

    fn plugin(&self, arguments: &[&str]) -> Result<Finished> {
        self.mortise.cli(&[&["plugin"], arguments].concat())
    }

    fn works(&self, arguments: &[&str]) -> Result<String> {
        let finished = self.plugin(arguments)?;
        ensure!(finished.success(), "plugin {arguments:?}: {}", finished.stderr);
        Ok(finished.stdout)
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn component(&self, name: &str, bytes: &[u8]) -> Result<String> {
        let path = self.file(&format!("{name}.wasm"));
        fs::write(&path, bytes)?;
        Ok(path)
    }

    /// How the volume's binding is shown.
    fn binding(&self) -> Result<Value> {
        Ok(self.mortise.cli_json(&["volume", "status", "default"])?["strategy"].clone())
    }

    /// Replays a trace; the deadline of a daemon is short for a machine that runs many tests at once.
    fn replay(&self, trace: &str, component: &str) -> Result<Finished> {
        self.plugin(&["replay", trace, component, "--deadline", "20s"])
    }
}

fn start(directory: &TempDir) -> Result<Mortise> {
    // Nothing is watched, or the first fault would take a plugin back.
    Mortise::start_with(directory.path(), &["--memtable-size", "256KiB", "--plugin-watch", "0s"])
}

/// The lines of a trace.
fn records(trace: &str) -> Result<Vec<Value>> {
    trace.lines().map(|line| serde_json::from_str(line).context("a line of JSON")).collect()
}

/// Whether it is a step that the tiered strategy takes and no leveled one does.
fn is_work(step: &Value) -> bool {
    step["merge"].is_object() || step["major"].is_object()
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder)?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_calls_are_answered_alike_by_the_same_component_and_otherwise_by_another() -> Result<()> {
    let mut rng = seed::rng("recorded_calls");
    let bench = Bench::new()?;
    bench.works(&["limits", "compaction-tiered", "--deadline", "20s"])?;
    bench.works(&["use", "compaction-tiered", "--volume", "default"])?;
    bench.works(&["record", "--volume", "default", "--calls", "2000", "--bytes", "64MiB"])?;
    let mut load = Load::start(&bench.mortise.endpoint(), "load", WRITERS, &mut rng).await?;
    let mut binding = Value::Null;
    for _ in 0..LOOKS {
        load.reach(load.acknowledged() + STRETCH).await?;
        binding = bench.binding()?;
        let step = &binding["step"];
        if step["became"] == "done" && step["plugin"] == "compaction-tiered" {
            break;
        }
    }
    load.finish().await?;
    // Nobody writes any more, so the tree comes to rest, and both ways to ask tell of the same step then.
    let mut status = String::new();
    for _ in 0..LOOKS {
        binding = bench.binding()?;
        status = bench.mortise.cli(&["volume", "status", "default"])?.stdout;
        if binding["step"]["became"] == "done" && bench.binding()?["step"] == binding["step"] {
            break;
        }
    }
    let step = &binding["step"];
    ensure!(step["became"] == "done" && step["bytes_out"].as_u64() > Some(0), "{binding}");
    ensure!(step["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{binding}");
    ensure!(is_work(&step["step"]) && step["unix_ms"].as_u64() > Some(0), "{binding}");
    let shown = bench.works(&["show", "compaction-tiered"])?;
    let reason = step["reason"].as_str().context("a reason")?;
    for part in ["last answer", "last step", "done in", reason] {
        ensure!(status.contains(part), "{part} is missing in {status}");
    }
    for part in ["BECAME", "done in", "compaction-tiered"] {
        ensure!(shown.contains(part), "{part} is missing in {shown}");
    }

    let trace = bench.file("calls.jsonl");
    let saved = bench.works(&["record", "--volume", "default", "--save", &trace])?;
    let text = fs::read_to_string(&trace)?;
    let calls = records(&text)?;
    ensure!(saved.contains(&format!("{} calls", calls.len())), "{saved}");
    ensure!(names(bench.folder.path())? == ["calls.jsonl"], "nothing else is left");
    let steps = calls.iter().filter(|call| is_work(&call["answer"]["decision"]["step"])).count();
    ensure!(steps > 0, "no step was recorded: {text}");
    let printed = bench.works(&["record", "--volume", "default", "--trace"])?;
    ensure!(records(&printed)?[0] == calls[0], "the trace goes to standard output, too");

    let tiered = bench.component("tiered", mortise_plugins::COMPACTION_TIERED)?;
    let same = bench.replay(&trace, &tiered)?;
    let all = format!("{0} of {0} recorded calls are answered as recorded", calls.len());
    ensure!(same.success() && same.stdout.contains(&all), "{same:?}");
    let leveled = bench.component("leveled", mortise_plugins::COMPACTION_LEVELED)?;
    let other = bench.replay(&trace, &leveled)?;
    ensure!(other.code == Some(1) && other.stderr.contains("answered otherwise"), "{other:?}");
    ensure!(other.stdout.contains("recorded") && other.stdout.contains("now"), "{other:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calls_that_led_to_a_quarantine_outlast_it() -> Result<()> {
    let mut rng = seed::rng("the_calls_that_led_to_a_quarantine");
    let bench = Bench::new()?;
    let turncoat = bench.component("turncoat", guests::TURNCOAT)?;
    bench.works(&["add", &turncoat, "--name", "turncoat"])?;
    // Nobody asked for a recording: every volume has a small one.
    let recording = bench.binding()?["recording"].clone();
    ensure!(recording["explicit"] == false && recording["max_calls"] == 8, "{recording}");
    let mut load = Load::start(&bench.mortise.endpoint(), "load", WRITERS, &mut rng).await?;
    bench.works(&["use", "turncoat", "--volume", "default"])?;
    let mut recording = Value::Null;
    for _ in 0..LOOKS {
        load.reach(load.acknowledged() + STRETCH).await?;
        recording = bench.binding()?["recording"].clone();
        // The successor has been asked as often as there is room for.
        if recording["set_aside"].as_u64() > Some(0) && recording["calls"].as_u64() >= Some(8 + 3) {
            break;
        }
    }
    load.finish().await?;
    ensure!(recording["set_aside"] == 3 && recording["calls"] == 11, "{recording}");
    let trace = bench.file("calls.jsonl");
    bench.works(&["record", "--volume", "default", "--save", &trace])?;
    let calls = records(&fs::read_to_string(&trace)?)?;
    let of = |name: &str| -> Vec<&Value> {
        let is = |call: &&Value| call["plugin"].as_str().is_some_and(|plugin| plugin.starts_with(name));
        calls.iter().filter(is).collect()
    };
    ensure!(of("compaction-leveled").len() == 8, "{calls:?}");
    for call in of("turncoat") {
        let (seed, answer) = (call["seed"].as_u64().context("a seed")?, &call["answer"]);
        if seed % 2 == 0 {
            let fault = &answer["fault"];
            let detail = fault["detail"].as_str().context("a detail")?;
            ensure!(fault["kind"] == "trap" && detail.contains("unreachable"), "{call}");
        } else {
            ensure!(answer["decision"]["step"]["merge"]["to"] == 201, "an illegal step as it was: {call}");
        }
    }
    // The faults can be had again, from the component alone.
    let lines = fs::read_to_string(&trace)?;
    let its = lines.lines().filter(|line| line.contains("\"plugin\":\"turncoat")).collect::<Vec<_>>();
    ensure!(its.len() == 3, "{lines}");
    fs::write(&trace, its.join("\n"))?;
    let again = bench.replay(&trace, &turncoat)?;
    ensure!(again.success() && again.stdout.contains("3 of 3 recorded calls"), "{again:?}");
    Ok(())
}

#[test]
fn the_setting_survives_a_restart_and_goes_with_its_volume() -> Result<()> {
    let mut bench = Bench::new()?;
    bench.works(&["record", "--volume", "default", "--calls", "3", "--bytes", "1MiB"])?;
    let text = bench.works(&["record", "--volume", "default"])?;
    ensure!(text.contains("the last 3 calls, in at most 1.0 MiB, as asked for"), "{text}");
    let unused = TempDir::new()?;
    let old = std::mem::replace(&mut bench.mortise, Mortise::start(unused.path())?);
    old.stop()?;
    std::mem::replace(&mut bench.mortise, start(&bench.directory)?).kill()?;
    let recording = bench.binding()?["recording"].clone();
    ensure!(recording["max_calls"] == 3 && recording["max_bytes"] == 1 << 20, "{recording}");
    ensure!(recording["explicit"] == true, "{recording}");

    let ended = bench.mortise.cli_json(&["plugin", "record", "--volume", "default", "--calls", "0"])?;
    ensure!(ended["recording"]["max_calls"] == 0 && ended["recording"]["calls"] == 0, "{ended}");
    let rows = bench.mortise.cli_json(&["plugin", "history"])?;
    let rows = rows.as_array().context("an array")?;
    let switched: Vec<_> = rows.iter().filter(|row| row["action"] == "plugin-record").collect();
    ensure!(switched.len() == 2 && switched[0]["outcome"] == "no calls are kept", "{switched:?}");
    ensure!(
        switched[1]["outcome"].as_str().is_some_and(|text| text.contains("last 3 calls")),
        "{switched:?}"
    );
    ensure!(switched[0]["actor"] == "admin" && switched[0]["volume"] == "default", "{switched:?}");

    for command in [
        &["volume", "create", "tenant"][..],
        &["plugin", "record", "--volume", "tenant", "--calls", "5"],
        &["volume", "delete", "tenant"],
        &["volume", "create", "tenant"],
    ] {
        let finished = bench.mortise.cli(command)?;
        ensure!(finished.success(), "{command:?}: {finished:?}");
    }
    let tenant = bench.mortise.cli_json(&["volume", "status", "tenant"])?["strategy"]["recording"].clone();
    ensure!(tenant["explicit"] == false, "a new volume has nothing of the old one: {tenant}");
    Ok(())
}

#[test]
fn misuse_is_answered_and_leaves_files_as_they_were() -> Result<()> {
    let bench = Bench::new()?;
    bench.works(&["record", "--volume", "default", "--calls", "0"])?;
    let file = bench.file("calls.jsonl");
    fs::write(&file, "before")?;
    let missing = bench.file("no-such-folder/calls.jsonl");
    for (arguments, code, expected) in [
        (&["--save", &*file][..], 1, "no calls are kept"),
        (&["--save", &*missing], 1, "cannot write the trace"),
        (&["--calls", "100001"], 1, "at most 100000"),
        (&["--calls", "5", "--bytes", "1GiB"], 1, "at most 268435456"),
        (&["--calls", "5", "--bytes", "0"], 1, "--calls 0"),
        (&["--calls", "5", "--save", &*file], 2, "cannot be used with"),
        (&["--bytes", "1MiB"], 2, "--calls"),
    ] {
        let finished = bench.plugin(&[&["record", "--volume", "default"], arguments].concat())?;
        ensure!(
            finished.code == Some(code) && finished.stderr.contains(expected),
            "{arguments:?}: {finished:?}"
        );
    }
    for arguments in [&["--save", &*file][..], &["--calls", "5"], &[]] {
        let finished = bench.plugin(&[&["record", "--volume", "nobody"], arguments].concat())?;
        ensure!(
            finished.code == Some(1) && finished.stderr.contains("nobody"),
            "{arguments:?}: {finished:?}"
        );
    }
    ensure!(fs::read_to_string(&file)? == "before" && names(bench.folder.path())? == ["calls.jsonl"]);
    Ok(())
}
