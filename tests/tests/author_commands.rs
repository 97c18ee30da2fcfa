//! The author's commands as programs: exit codes, JSON, and a new project from nothing to a running daemon.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mortise_tests::{Finished, Mortise, Process, guests, mortise_binary, mortise_cli, run};
use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(900);

/// No daemon is there; none is needed.
fn cli(arguments: &[&str]) -> Result<Finished> {
    mortise_cli("http://127.0.0.1:1", arguments)
}

/// A build takes as long as the machine lets it.
fn build(dir: &str) -> Result<Finished> {
    let mut command = Command::new(mortise_binary()?);
    run(command.args(["plugin", "build", dir]), b"", PATIENCE)
}

fn json(finished: &Finished) -> Result<Value> {
    serde_json::from_str(&finished.stdout).with_context(|| format!("{finished:?}"))
}

fn write(directory: &Path, name: &str, bytes: &[u8]) -> Result<String> {
    let path = directory.join(name);
    std::fs::write(&path, bytes)?;
    Ok(path.to_str().context("a path of text")?.to_owned())
}

#[test]
fn check_tells_and_its_exit_code_says_whether_a_host_would_take_it() -> Result<()> {
    let directory = TempDir::new()?;
    let good = write(directory.path(), "good.wasm", mortise_plugins::COMPACTION_QUIET)?;
    let finished = cli(&["plugin", "check", &good])?;
    ensure!(finished.success(), "{finished:?}");
    for expected in ["compaction-quiet", "compaction-strategy", "mortise:plugin@", "would take it", "Rust"] {
        ensure!(finished.stdout.contains(expected), "{expected}: {}", finished.stdout);
    }
    let told = json(&cli(&["plugin", "check", &good, "--output", "json"])?)?;
    ensure!(told["accepted"] == true && told["checked"]["identity"]["name"] == "compaction-quiet", "{told}");
    for (name, bytes, expected) in [
        ("module.wasm", guests::CORE_MODULE, "wasm-tools component"),
        ("clock.wasm", guests::IMPORTS_CLOCK, "usual cure"),
        ("text.wasm", b"(component)".as_slice(), "wasm-tools parse"),
    ] {
        let bad = write(directory.path(), name, bytes)?;
        let finished = cli(&["plugin", "check", &bad])?;
        ensure!(finished.code == Some(1) && finished.stdout.contains(expected), "{finished:?}");
        let told = json(&cli(&["plugin", "check", &bad, "-o", "json"])?)?;
        ensure!(told["accepted"] == false && told["checked"]["refusal"]["reason"].is_string(), "{told}");
    }
    let missing = cli(&["plugin", "check", "no-such-file.wasm"])?;
    ensure!(missing.code == Some(1) && missing.stderr.contains("no-such-file.wasm"), "{missing:?}");
    Ok(())
}

#[test]
fn test_passes_and_fails_with_a_seed_that_repeats_it() -> Result<()> {
    let directory = TempDir::new()?;
    let good = write(directory.path(), "good.wasm", mortise_plugins::COMPACTION_TIERED)?;
    // The default deadline is short for a machine that runs many tests at once.
    let patient = ["--deadline", "20s", "--random", "20"];
    let finished = cli(&[&["plugin", "test", &good, "--seed", "5"], &patient[..]].concat())?;
    ensure!(finished.success(), "{finished:?}");
    ensure!(finished.stdout.contains("--seed 5 repeats it"), "{}", finished.stdout);
    let bad = write(directory.path(), "bad.wasm", guests::NONSENSE)?;
    let saved = directory.path().join("failed.jsonl");
    let saved = saved.to_str().context("a path of text")?;
    let save = ["plugin", "test", &bad, "--save", saved, "-o", "json"];
    let finished = cli(&[&save[..], &patient[..]].concat())?;
    ensure!(finished.code == Some(1) && finished.stderr.contains("--seed"), "{finished:?}");
    let told = json(&finished)?;
    ensure!(told["passed"] == false && told["outcome"]["sections"].is_array(), "{told}");
    // What failed can be run against this version and another one.
    let same = cli(&["plugin", "replay", saved, &bad])?;
    ensure!(same.success(), "{same:?}");
    let other = cli(&["plugin", "replay", saved, &good])?;
    ensure!(other.code == Some(1) && other.stdout.contains("recorded"), "{other:?}");
    let traced = cli(&[&["plugin", "test", &good, "--trace", saved], &patient[..]].concat())?;
    ensure!(traced.code == Some(1), "{traced:?}");
    Ok(())
}

#[test]
fn simulate_gives_the_same_figures_for_the_same_seed() -> Result<()> {
    let directory = TempDir::new()?;
    let file = write(directory.path(), "quiet.wasm", mortise_plugins::COMPACTION_QUIET)?;
    let few = ["--writes", "6000", "--value-size", "100", "--scale", "256", "--deadline", "20s"];
    for workload in ["uniform", "zipf", "append", "ttl-like"] {
        let arguments = [&["plugin", "simulate", &file, "--workload", workload], &few[..]].concat();
        let one = cli(&[&arguments[..], &["-o", "json"]].concat())?;
        ensure!(one.success(), "{one:?}");
        let told = json(&one)?;
        let reports = told["reports"].as_array().context("reports")?;
        ensure!(
            reports.len() == 4,
            "the component, the two other shipped ones and the native one: {reports:?}"
        );
        ensure!(reports.iter().all(|report| report["content"] == reports[0]["content"]), "{reports:?}");
        let again = cli(&[&arguments[..], &["-o", "json"]].concat())?;
        ensure!(one.stdout == again.stdout, "{workload}: other figures for the same seed");
    }
    let finished = cli(&[&["plugin", "simulate", &file, "--alone"], &few[..]].concat())?;
    ensure!(finished.success() && finished.stdout.contains("L0 runs"), "{finished:?}");
    let nothing = cli(&["plugin", "simulate", "--alone"])?;
    ensure!(nothing.code == Some(1), "{nothing:?}");
    let unknown = cli(&["plugin", "simulate", "--workload", "chaos"])?;
    ensure!(unknown.code == Some(2) && unknown.stderr.contains("ttl-like"), "{unknown:?}");
    Ok(())
}

#[test]
fn new_refuses_what_it_cannot_write() -> Result<()> {
    let directory = TempDir::new()?;
    let taken = directory.path().to_str().context("a path of text")?;
    write(directory.path(), "file", b"")?;
    let finished = cli(&["plugin", "new", "my-policy", "--dir", taken])?;
    ensure!(finished.code == Some(1) && finished.stderr.contains("not empty"), "{finished:?}");
    for wrong in ["", "Upper", "9lives", "a/b", "..", "end-"] {
        let finished = cli(&["plugin", "new", "--dir", "never-made", "--", wrong])?;
        ensure!(!finished.success() && !Path::new("never-made").exists(), "{wrong}: {finished:?}");
    }
    let finished = cli(&["plugin", "new", "x", "--lang", "cobol"])?;
    ensure!(finished.code == Some(2) && finished.stderr.contains("rust"), "{finished:?}");
    let finished = cli(&["plugin", "new", "x", "--world", "no-such-world"])?;
    ensure!(finished.code == Some(1) && finished.stderr.contains("compaction-strategy"), "{finished:?}");
    Ok(())
}

/// A project that builds, passes its own tests and the battery; the path of its component. Projects in the
/// same directory share what they compile.
fn project(directory: &Path, world: &str, native_test: &str) -> Result<String> {
    let name = format!("my-{world}");
    let project = directory.join(&name);
    let dir = project.to_str().context("a path of text")?;
    let finished = cli(&["plugin", "new", &name, "--world", world, "--dir", dir])?;
    ensure!(finished.success() && project.join("src/lib.rs").is_file(), "{finished:?}");
    let shared = directory.join("target");
    std::fs::create_dir_all(&shared)?;
    std::os::unix::fs::symlink(&shared, project.join("target"))?;
    let built = build(dir)?;
    ensure!(built.success(), "{}", built.stderr);
    let component = project.join(format!("{name}.wasm"));
    let component = component.to_str().context("a path of text")?;

    // The release profile has compiled the macros already.
    let mut native = Command::new("cargo");
    native.args(["test", "--release", "--target-dir", "target"]).current_dir(&project);
    let native = run(&mut native, b"", PATIENCE)?;
    ensure!(native.success() && native.stdout.contains(native_test), "{native:?}");

    let checked = cli(&["plugin", "check", component])?;
    ensure!(checked.success() && checked.stdout.contains(&format!("{name} 0.1.0")), "{checked:?}");
    let tested = cli(&["plugin", "test", component, "--deadline", "20s", "--random", "50"])?;
    ensure!(tested.success(), "{tested:?}");
    Ok(component.to_owned())
}

/// From nothing to a strategy that serves a running daemon, and to a format that keeps its laws.
#[test]
fn new_projects_build_pass_their_tests_and_serve() -> Result<()> {
    let directory = TempDir::new()?;
    let component = project(directory.path(), "compaction-strategy", "a_growing_tree_stays_in_shape")?;
    project(directory.path(), "format", "the_laws_of_a_format_hold")?;
    let project = directory.path().join("my-compaction-strategy");
    let dir = project.to_str().context("a path of text")?;

    let data = TempDir::new()?;
    let mortise = Mortise::start(data.path())?;
    for arguments in [&["plugin", "add", &component][..], &["plugin", "use", "my-compaction-strategy"]] {
        let finished = mortise.cli(arguments)?;
        ensure!(finished.success(), "{arguments:?}: {finished:?}");
    }
    let status = mortise.cli(&["volume", "status"])?;
    ensure!(status.stdout.contains("my-compaction-strategy"), "{status:?}");

    // A build that cannot work says what is wrong.
    std::fs::write(project.join("src/lib.rs"), "this is not Rust")?;
    let broken = build(dir)?;
    ensure!(broken.code == Some(1) && broken.stderr.contains("cargo build"), "{broken:?}");
    std::fs::remove_file(project.join("mortise-plugin.toml"))?;
    let empty = build(dir)?;
    ensure!(empty.code == Some(1) && empty.stderr.contains("mortise-plugin.toml"), "{empty:?}");
    Ok(())
}

/// Every language has a project that says what it needs; what can be built without that language's tools is.
#[test]
fn projects_of_other_languages_are_written_and_say_what_is_missing() -> Result<()> {
    let directory = TempDir::new()?;
    let worlds = ["compaction-strategy", "format"];
    for (lang, world) in
        ["c", "python", "javascript"].into_iter().flat_map(|lang| worlds.map(|it| (lang, it)))
    {
        let project = directory.path().join(lang).join(world);
        let dir = project.to_str().context("a path of text")?;
        let new = ["plugin", "new", "my-policy", "--lang", lang, "--world", world];
        let finished = cli(&[&new[..], &["--dir", dir, "-o", "json"]].concat())?;
        let files = json(&finished)?["files"].to_string();
        for expected in ["README.md", "mortise-plugin.toml", ".gitignore", "wit/compaction.wit"] {
            ensure!(
                files.contains(expected) && project.join(expected).is_file(),
                "{lang}, {world}: {expected}: {files}"
            );
        }
        // With an empty PATH no language's tools are found.
        let mut command = Command::new(mortise_binary()?);
        command.args(["plugin", "build", dir]).env("PATH", directory.path());
        let built = run(&mut command, b"", PATIENCE)?;
        ensure!(
            built.code == Some(1) && built.stderr.contains("what is missing"),
            "{lang}, {world}: {built:?}"
        );
        let header = format!("generated/{}.h", world.replace('-', "_"));
        ensure!(lang != "c" || project.join(header).is_file(), "{built:?}");
    }
    Ok(())
}

#[test]
fn an_interrupt_ends_a_simulation_and_leaves_nothing_behind() -> Result<()> {
    for terminated in [false, true] {
        let (folder, stores) = (TempDir::new()?, TempDir::new()?);
        let file = write(folder.path(), "quiet.wasm", mortise_plugins::COMPACTION_QUIET)?;
        let mut command = Command::new(mortise_binary()?);
        // More writes than anybody waits for.
        command.args(["plugin", "simulate", &file, "--alone", "--writes", "1000000000", "--keys", "1000"]);
        command.args(["--deadline", "20s", "--dir"]).arg(stores.path());
        let mut simulate = Process::spawn("mortise plugin simulate", &mut command)?;
        simulate.wait_line("its progress", PATIENCE, |line| line.contains("writes").then_some(()))?;
        ensure!(std::fs::read_dir(stores.path())?.count() == 1, "a store is in use");
        if terminated {
            simulate.terminate()?
        } else {
            simulate.interrupt()?
        }
        let (status, log) = simulate.wait_end(PATIENCE)?;
        ensure!(status.code() == Some(1), "it ends by itself, not by the signal: {status}: {log}");
        ensure!(log.contains("interrupted, with 0 of 1 strategies simulated"), "{log}");
        ensure!(std::fs::read_dir(stores.path())?.count() == 0, "the store is removed");
    }
    Ok(())
}
