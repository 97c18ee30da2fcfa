//! Every command prints JSON by the rules of `docs/output.md`.
//!
//! A node is taken through all commands; what help lists and this test does not run, fails it. Each answer is
//! walked through, field by field.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Finished, Mortise, guests, mortise_binary, run};
use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(300);

/// Not run: the daemon, which prints no answer, and what needs a tool chain of its own.
const LEFT_OUT: [&str; 3] = ["serve", "plugin build", "help"];

/// Texts of people or of etcd, which may be empty.
const FREE: [&str; 2] = ["key", "value"];

/// Calls and answers in the form of `docs/plugins/trace.md`.
const TRACED: [&str; 3] = ["record", "recorded", "found"];

/// Words of ours, or lists of them.
const KINDS: [&str; 17] = [
    "action",
    "actor",
    "became",
    "capabilities",
    "form",
    "from",
    "grants",
    "ground",
    "kind",
    "origin",
    "phase",
    "role",
    "severity",
    "stage",
    "state",
    "wants",
    "world",
];

/// Holds a value to the rules; `path` says where it stands.
fn judge(path: &str, field: &str, value: &Value) -> Result<()> {
    match value {
        // A call as a trace has it, which has rules of its own.
        Value::Object(_) if TRACED.contains(&field) => {}
        Value::Object(fields) => {
            ensure!(
                !(fields.contains_key("secs") && fields.contains_key("nanos")),
                "{path} is a duration in parts: {value}"
            );
            for (name, value) in fields {
                let snake = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
                // Faults are counted by their kind, which is a word and no name of a field.
                ensure!(name.chars().all(snake) || field == "faults", "{path}.{name} is not in snake case");
                judge(&format!("{path}.{name}"), name, value)?;
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                judge(&format!("{path}[{place}]"), field, item)?;
            }
        }
        Value::String(text) => {
            ensure!(!text.is_empty() || FREE.contains(&field), "{path} is empty; what is absent is null");
            let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            ensure!(
                !KINDS.contains(&field) || text.chars().all(kebab),
                "{path} is {text:?}, not in kebab case"
            );
        }
        Value::Number(number) => {
            let whole = ["_us", "_ms", "_bytes"].iter().any(|unit| field.ends_with(unit));
            // The longest wait of a simulation is a simulated one, with a fraction.
            ensure!(!whole || number.is_u64() || field == "longest_ms", "{path} is {number}");
            let moment = field.ends_with("unix_ms");
            ensure!(!moment || number.as_u64() > Some(1_600_000_000_000), "{path} is {number}: no moment");
        }
        Value::Bool(_) | Value::Null => {}
    }
    Ok(())
}

/// A node, and what was run on it.
struct Bench {
    folder: TempDir,
    mortise: Mortise,
    run: BTreeSet<String>,
}

impl Bench {
    fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        let mortise = Mortise::start(&folder.path().join("data"))?;
        Ok(Self { folder, mortise, run: BTreeSet::new() })
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn component(&self, name: &str, bytes: &[u8]) -> Result<String> {
        let path = self.path(&format!("{name}.wasm"));
        fs::write(&path, bytes)?;
        Ok(path)
    }

    /// Runs a command and judges its JSON, whether it succeeds or not.
    fn told(&mut self, arguments: &str) -> Result<Value> {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let mut words = arguments.iter().copied();
        let first = words.next().unwrap_or_default();
        self.run.insert(first.to_owned());
        let second = words.next().unwrap_or_default();
        self.run.insert(format!("{first} {second}"));
        self.run.insert(format!("{first} {second} {}", words.next().unwrap_or_default()));
        let finished = self.mortise.cli(&[&arguments[..], &["-o", "json"]].concat())?;
        judged(&arguments.join(" "), &finished)
    }
}

/// The answer of a command, held to the rules.
fn judged(command: &str, finished: &Finished) -> Result<Value> {
    let told: Value = serde_json::from_str(&finished.stdout)
        .with_context(|| format!("`mortise {command}` printed no JSON: {finished:?}"))?;
    judge("", "", &told).with_context(|| format!("`mortise {command}` printed {told:#}"))?;
    Ok(told)
}

fn help(words: &[&str]) -> Result<String> {
    let mut command = Command::new(mortise_binary()?);
    Ok(run(command.args(words).arg("--help"), b"", PATIENCE)?.stdout)
}

/// All commands below this one that have none below them.
fn leaves(words: &[&str]) -> Result<Vec<String>> {
    let text = help(words)?;
    let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1);
    // A command begins two blanks from the edge; what explains it is farther in.
    let names = listed.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let mut found = Vec::new();
    for name in names.filter_map(|line| line.split_whitespace().next()) {
        let below = [words, &[name]].concat();
        let path = below.join(" ");
        if name == "help" || LEFT_OUT.contains(&&*path) {
            continue;
        }
        match leaves(&below)? {
            none if none.is_empty() => found.push(path),
            some => found.extend(some),
        }
    }
    Ok(found)
}

fn keys_and_volumes(bench: &mut Bench) -> Result<()> {
    for arguments in [
        "version",
        "kv put a 1",
        "kv put a 2 --prev-kv",
        "kv get a",
        "kv get absent",
        "kv del a --prev-kv",
        "kv compact 2",
        "volume create tenant --reason trial",
        "volume create logs --format format-hierarchical",
        "volume list",
        "volume status tenant",
        "volume rebuild tenant",
        "volume convert tenant --to format-hierarchical --dry-run",
        "volume convert tenant --to format-hierarchical --keep-previous 1h",
        "volume status tenant",
        "volume convert tenant --undo",
        "volume jobs",
        "volume job watch 1",
        "volume delete logs --reason trial",
        "bench put --total 50 --warm-up 0",
        "bench get --total 50 --warm-up 0 --key-space 10",
    ] {
        bench.told(arguments)?;
    }
    // A job that is not there has no answer but an error.
    bench.run.insert("volume job cancel".into());
    let gone = bench.mortise.cli(&["volume", "job", "cancel", "77", "-o", "json"])?;
    ensure!(!gone.success() && gone.stdout.is_empty() && gone.stderr.contains("77"), "{gone:?}");
    let deleted = bench.told("volume delete tenant")?;
    ensure!(deleted == serde_json::json!({ "name": "tenant" }), "{deleted}");
    Ok(())
}

fn plugins(bench: &mut Bench) -> Result<()> {
    let mine = bench.component("mine", mortise_plugins::COMPACTION_QUIET)?;
    let format = bench.component("format", mortise_plugins::FORMAT_HIERARCHICAL)?;
    let module = bench.component("module", guests::CORE_MODULE)?;
    let trap = bench.component("trap", guests::NONSENSE)?;
    let (failed, calls) = (bench.path("failed.jsonl"), bench.path("calls.jsonl"));
    let patient = "--deadline 20s --random 5 --seed 5";
    for arguments in [
        format!("plugin check {mine}"),
        format!("plugin check {module}"),
        format!("plugin check {mine} --node"),
        format!("plugin check {module} --node"),
        format!("plugin add {mine} --name mine --reason trial"),
        format!("plugin add {format} --name other"),
        "plugin list".to_owned(),
        "plugin show native".to_owned(),
        "plugin show compaction-tiered".to_owned(),
        "plugin use mine --volume default".to_owned(),
        "plugin shadow --volume default".to_owned(),
        "plugin shadow compaction-tiered --volume default".to_owned(),
        "plugin shadow --volume default".to_owned(),
        "plugin promote compaction-tiered --volume default".to_owned(),
        "plugin rollback --volume default".to_owned(),
        "plugin limits mine".to_owned(),
        "plugin limits mine --fuel 0 --deadline 250ms".to_owned(),
        "plugin record --volume default".to_owned(),
        "plugin record --volume default --calls 5".to_owned(),
        format!("plugin record --volume default --save {calls}"),
        format!("plugin replay {calls} {mine} --deadline 20s"),
        format!("plugin test {mine} {patient}"),
        format!("plugin test {trap} {patient} --save {failed}"),
        format!("plugin replay {failed} {mine} --deadline 20s"),
        format!("plugin simulate {mine} --alone --writes 3000 --deadline 20s"),
        format!("plugin new fresh --dir {}", bench.path("fresh")),
        "plugin quarantine other --reason slow".to_owned(),
        "plugin show other".to_owned(),
        "plugin release other".to_owned(),
        "plugin show mine".to_owned(),
        "plugin history mine".to_owned(),
        "volume status default".to_owned(),
        "plugin use compaction-leveled --volume default".to_owned(),
    ] {
        bench.told(&arguments)?;
    }
    let removed = bench.told("plugin remove mine")?;
    ensure!(removed == serde_json::json!({ "name": "mine", "version": null }), "{removed}");
    bench.told("plugin history")?;
    Ok(())
}

#[test]
fn every_command_prints_json_by_the_rules() -> Result<()> {
    let mut bench = Bench::new()?;
    keys_and_volumes(&mut bench)?;
    plugins(&mut bench)?;
    bench.run.insert("doctor".into());
    let Bench { folder, mortise, run: done } = bench;
    mortise.stop()?;
    let mut command = Command::new(mortise_binary()?);
    let examined =
        run(command.arg("doctor").arg(folder.path().join("data")).args(["-o", "json"]), b"", PATIENCE)?;
    judged("doctor", &examined)?;

    let commands = leaves(&[])?;
    ensure!(commands.len() > 30, "help was not understood: {commands:?}");
    let forgotten: Vec<_> = commands.iter().filter(|command| !done.contains(*command)).collect();
    ensure!(forgotten.is_empty(), "not run here: {forgotten:?}");
    Ok(())
}

#[test]
fn the_judge_finds_what_breaks_the_rules() {
    for broken in [
        r#"{"longest": {"secs": 0, "nanos": 5}}"#,
        r#"{"version": ""}"#,
        r#"{"state": "rolled_back"}"#,
        r#"{"phase": "Catching up"}"#,
        r#"{"longest_us": 0.5}"#,
        r#"{"since_unix_ms": 0}"#,
        r#"[{"camelCase": 1}]"#,
    ] {
        let value: Value = serde_json::from_str(broken).expect("JSON");
        assert!(judge("", "", &value).is_err(), "{broken}");
    }
    let good = r#"{"version": null, "faults": {"answer-too-large": 1}, "value": "", "state": "rolled-back"}"#;
    judge("", "", &serde_json::from_str(good).expect("JSON")).expect("it follows the rules");
}
