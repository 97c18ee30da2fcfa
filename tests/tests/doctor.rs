//! `mortise doctor` on the real binary's directories: clean, dirty, damaged, in use. It changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Client, Finished, Mortise, mortise_binary, run};
use serde_json::Value;
use tempfile::TempDir;

const LEFTOVERS: i32 = 3;
const TROUBLE: i32 = 4;

fn doctor(directory: &Path, arguments: &[&str]) -> Result<Finished> {
    let mut command = Command::new(mortise_binary()?);
    command.arg("doctor").arg(directory).args(arguments);
    run(&mut command, b"", Duration::from_secs(60))
}

/// Every file with its content; directories have none.
fn image(directory: &Path) -> Result<BTreeMap<PathBuf, Option<Vec<u8>>>> {
    let mut image = BTreeMap::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(next) = open.pop() {
        let content = if next.is_dir() {
            for entry in fs::read_dir(&next)? {
                open.push(entry?.path());
            }
            None
        } else {
            Some(fs::read(&next)?)
        };
        image.insert(next, content);
    }
    Ok(image)
}

/// Runs the doctor for people and for programs; both must agree, and change nothing.
fn examined(directory: &Path, code: i32) -> Result<(String, Value)> {
    let before = image(directory)?;
    let table = doctor(directory, &[])?;
    let json = doctor(directory, &["--output", "json"])?;
    ensure!(image(directory)? == before, "the doctor changed the directory");
    ensure!(table.code == Some(code), "expected exit code {code}: {table:?}");
    ensure!(json.code == Some(code), "expected exit code {code}: {json:?}");
    Ok((table.stdout, serde_json::from_str(&json.stdout).context(json.stdout)?))
}

async fn stopped_node() -> Result<TempDir> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    client.put("kept", "value").await.ok().context("a put is accepted")?;
    mortise.stop()?;
    Ok(directory)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_in_good_order_passes() -> Result<()> {
    let directory = stopped_node().await?;
    let (text, json) = examined(directory.path(), 0)?;
    ensure!(text.contains("all is in order") && text.contains("gen-000001 (current)"), "{text}");
    ensure!(json["worst"].is_null() && json["findings"] == serde_json::json!([]), "{json}");
    ensure!(json["volumes"].as_array().is_some_and(|all| all.len() == 2), "{json}");
    ensure!(json["volumes"][1]["generations"][0]["format"]["format"] == "natural", "{json}");
    ensure!(json["components"].as_array().is_some_and(|all| !all.is_empty()), "{json}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_are_listed_and_gone_after_a_start() -> Result<()> {
    let directory = stopped_node().await?;
    let volume = directory.path().join("volumes/2");
    fs::create_dir_all(volume.join("gen-000009.building/tables"))?;
    fs::write(volume.join("CURRENT.tmp"), "gen-0")?;
    fs::write(directory.path().join("plugins/blobs/abc.tmp"), "half")?;
    let (text, json) = examined(directory.path(), LEFTOVERS)?;
    for name in ["gen-000009.building", "CURRENT.tmp", "abc.tmp"] {
        ensure!(text.contains(name), "{name} is missing in {text}");
    }
    ensure!(json["worst"] == "leftover", "{json}");
    Mortise::start(directory.path())?.stop()?;
    examined(directory.path(), 0)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_named() -> Result<()> {
    let directory = stopped_node().await?;
    let blobs = directory.path().join("plugins/blobs");
    let blob = fs::read_dir(blobs)?.next().context("a component")??.path();
    for path in [directory.path().join("volumes/2/CURRENT"), directory.path().join("NODE"), blob] {
        let intact = fs::read(&path)?;
        fs::write(&path, b"garbage")?;
        let (text, json) = examined(directory.path(), TROUBLE)?;
        let name = path.file_name().context("a name")?.to_string_lossy();
        ensure!(text.contains("DAMAGED") && text.contains(&*name), "{name}: {text}");
        ensure!(
            json["worst"] == "damaged" && json["findings"][0]["path"] == *path.to_string_lossy(),
            "{json}"
        );
        fs::write(&path, intact)?;
    }
    examined(directory.path(), 0)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_in_use_or_of_somebody_else_is_not_examined() -> Result<()> {
    let directory = TempDir::new()?;
    let finished = doctor(directory.path(), &[])?;
    ensure!(finished.code == Some(1) && finished.stderr.contains("no data directory"), "{finished:?}");
    ensure!(image(directory.path())?.len() == 1, "the doctor made something");
    let mortise = Mortise::start(directory.path())?;
    let finished = doctor(directory.path(), &[])?;
    ensure!(finished.code == Some(1) && finished.stderr.contains("in use"), "{finished:?}");
    mortise.kill()?;
    let finished = doctor(directory.path(), &[])?;
    ensure!(finished.success(), "what kill -9 leaves is in order: {finished:?}");
    Ok(())
}
