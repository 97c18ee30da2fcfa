//! Projects in C, Python and JavaScript, from nothing to a component: what `mortise plugin new` writes passes
//! its own tests and builds with that language's tools, and its components pass the battery.
//!
//! Rust's are in `author_commands.rs`, what is said where tools are missing, too. Languages whose tools were
//! not fetched are skipped aloud; those that `MORTISE_LANGUAGES` names must not be.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mortise_tests::languages::{Tools, tools};
use mortise_tests::{Finished, Mortise, mortise_binary, mortise_cli, run};
use tempfile::TempDir;

/// Several languages may be built at once on a small machine.
const PATIENCE: Duration = Duration::from_secs(1800);

/// A command in a project's folder, with the tools on PATH.
fn within(project: &Path, tools: &Tools, command: &[&str]) -> Result<Finished> {
    let mut process = Command::new("/usr/bin/env");
    process.args(command).current_dir(project).env("PATH", &tools.path);
    run(&mut process, b"", PATIENCE)
}

/// Writes, tests and builds a project; the bytes of its component.
fn build(directory: &Path, language: &str, world: &str, native_test: &[&str]) -> Result<Option<Vec<u8>>> {
    let Some(tools) = tools(language)? else { return Ok(None) };
    let name = format!("my-{world}");
    let project = directory.join(&name);
    let dir = project.to_str().context("a path of text")?;
    let written = mortise_cli(
        "http://127.0.0.1:1",
        &["plugin", "new", &name, "--lang", language, "--world", world, "--dir", dir],
    )?;
    ensure!(written.success(), "{language}, {world}: {written:?}");
    if language == "javascript" {
        std::os::unix::fs::symlink(tools.folder.join("node_modules"), project.join("node_modules"))?;
    }
    let native = within(&project, &tools, native_test)?;
    ensure!(native.success(), "{language}, {world}: {native:?}");
    let mortise = mortise_binary()?;
    let built = within(&project, &tools, &[mortise.to_str().context("text")?, "plugin", "build"])?;
    ensure!(built.success(), "{language}, {world}: {built:?}");

    let file = format!("{name}.wasm");
    // A language with a runtime needs more memory than a strategy has by default, and takes longer for each
    // call; machines may be busy.
    let random = if language == "c" { "5" } else { "1" };
    let roomy = ["--memory", "64MiB", "--deadline", "30s", "--random", random];
    let arguments = [&["plugin", "test", &file], &roomy[..]].concat();
    let mut battery = Command::new(&mortise);
    let tested = run(battery.args(arguments).current_dir(&project), b"", PATIENCE)?;
    ensure!(tested.success(), "{language}, {world}: {tested:?}");
    let identity = format!("{name} 0.1.0, world {world} of mortise:plugin@");
    ensure!(tested.stdout.contains(&identity), "{language}, {world}: {tested:?}");
    Ok(Some(std::fs::read(project.join(file))?))
}

/// Both worlds of a language.
fn both(language: &str, native_test: &[&str]) -> Result<Option<Vec<u8>>> {
    let directory = TempDir::new()?;
    build(directory.path(), language, "compaction-strategy", native_test)?;
    build(directory.path(), language, "format", native_test)
}

/// C is quick enough to be taken all the way: a volume in the format that was just written.
#[test]
fn projects_in_c_build_and_their_format_stores_a_volume() -> Result<()> {
    let Some(component) = both("c", &["make", "test"])? else { return Ok(()) };
    let (data, folder) = (TempDir::new()?, TempDir::new()?);
    let file = folder.path().join("format.wasm");
    std::fs::write(&file, component)?;
    let file = file.to_str().context("a path of text")?;
    let mortise = Mortise::start(data.path())?;
    for command in [
        &["plugin", "add", file, "--name", "mine"][..],
        &["plugin", "limits", "mine", "--deadline", "20s"],
        &["volume", "create", "t", "--format", "mine", "--format-config", r#"{"prefix": "p/"}"#],
        &["kv", "put", "--volume", "t", "key", "its value"],
    ] {
        let finished = mortise.cli(command)?;
        ensure!(finished.success(), "{command:?}: {finished:?}");
    }
    let got = mortise.cli(&["kv", "get", "--volume", "t", "key"])?;
    ensure!(got.stdout.contains("its value"), "{got:?}");
    let wrong = ["volume", "create", "u", "--format", "mine", "--format-config", r#"{"prefix": ""}"#];
    let refused = mortise.cli(&wrong)?;
    ensure!(!refused.success() && refused.stderr.contains("prefix is empty"), "{refused:?}");
    Ok(())
}

#[test]
fn projects_in_python_build() -> Result<()> {
    both("python", &["python3", "-m", "unittest"]).map(drop)
}

#[test]
fn projects_in_javascript_build() -> Result<()> {
    both("javascript", &["npm", "test"]).map(drop)
}
