//! A generation's `FORMAT` that is missing, unknown or of a newer Mortise, met by the real binary: its volume
//! is not opened and not changed by a single byte, the reason is told, and all other volumes are served.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Client, Mortise, mortise_binary, run};
use tempfile::TempDir;
use tonic::Code;

/// What is found where the file was, and what is to be told of it.
const FOUND: [(Option<&str>, &[&str]); 7] = [
    (None, &["FORMAT"]),
    (Some(""), &["FORMAT"]),
    (Some("garbage"), &["FORMAT"]),
    (Some(r#"{"format":"natural","version":2,"codec_digest":null}"#), &["FORMAT", "2"]),
    (
        Some(r#"{"format":"natural","version":99,"codec_digest":null,"pages":"compressed"}"#),
        &["FORMAT", "99"],
    ),
    (Some(r#"{"format":"unheard-of","version":1,"codec_digest":null}"#), &["unheard-of"]),
    (
        Some(
            r#"{"format":"unheard-of","version":1,"codec_version":"1.0.0","config":"{}",
            "codec_digest":"abababababababababababababababababababababababababababababababab"}"#,
        ),
        &["unheard-of", "abababab"],
    ),
];

/// Everything below a directory, with its bytes; a directory has none.
fn content(directory: &Path) -> Result<BTreeMap<PathBuf, Option<Vec<u8>>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(content(&path)?);
            found.insert(path, None);
        } else {
            let bytes = fs::read(&path)?;
            found.insert(path, Some(bytes));
        }
    }
    Ok(found)
}

async fn put(endpoint: &str, volume: &str, key: &str) -> Result<()> {
    let mut client = Client::connect_volume(endpoint, volume).await?;
    client.put(key.to_owned(), volume.to_owned()).await.ok().with_context(|| format!("a put to {volume}"))?;
    Ok(())
}

/// A node on which `tree` must not be opened, and `other` and `default` are.
async fn serves_the_others(directory: &Path, parts: &[&str]) -> Result<()> {
    let mortise = Mortise::start(directory)?;
    let list = mortise.cli_json(&["volume", "list"])?;
    let tree = list.as_array().and_then(|all| all.iter().find(|volume| volume["name"] == "tree"));
    let tree = tree.context("the volume is listed")?;
    let problem = tree["problem"].as_str().unwrap_or_default();
    ensure!(tree["state"] == "failed" && parts.iter().all(|part| problem.contains(part)), "{tree}");
    let mut client = Client::connect_volume(&mortise.endpoint(), "tree").await?;
    for refusal in [client.get("key").await.err(), client.put("key", "lost").await.err()] {
        let refusal = refusal.context("it is served")?;
        let told = parts.iter().all(|part| refusal.message.contains(part));
        ensure!(refusal.code == Code::Unavailable && told, "{refusal:?}");
    }
    for work in [&["volume", "rebuild", "tree"][..], &["volume", "convert", "tree", "--to", "natural"]] {
        let refused = mortise.cli(work)?;
        ensure!(!refused.success() && refused.stderr.contains(parts[0]), "{refused:?}");
    }
    for volume in ["default", "other"] {
        put(&mortise.endpoint(), volume, "beside").await?;
        let rebuilt = mortise.cli(&["volume", "rebuild", volume])?;
        ensure!(rebuilt.success(), "{rebuilt:?}");
    }
    mortise.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_of_an_unknown_format_is_neither_opened_nor_changed_and_alone() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    for volume in ["tree", "other"] {
        ensure!(mortise.cli(&["volume", "create", volume])?.success(), "a volume is made");
        put(&mortise.endpoint(), volume, "key").await?;
    }
    ensure!(mortise.cli(&["volume", "rebuild", "tree"])?.success(), "with tables");
    put(&mortise.endpoint(), "tree", "unflushed").await?;
    let id = mortise.cli_json(&["volume", "status", "tree"])?["volume"]["id"].as_u64().context("an id")?;
    mortise.stop()?;
    let volume = directory.path().join("volumes").join(id.to_string());
    let file = volume.join("gen-000002/FORMAT");
    let intact = fs::read(&file)?;
    // What a start would remove beside a generation that it knows.
    fs::create_dir(volume.join("gen-000003.building"))?;
    fs::write(volume.join("gen-000003.building/note"), "left by a crash")?;

    for (found, parts) in FOUND {
        match found {
            Some(text) => fs::write(&file, text)?,
            None => fs::remove_file(&file)?,
        }
        let before = content(&volume)?;
        serves_the_others(directory.path(), parts).await.with_context(|| format!("{found:?}"))?;
        ensure!(content(&volume)? == before, "{found:?}: the volume was changed");
        let mut doctor = std::process::Command::new(mortise_binary()?);
        doctor.arg("doctor").arg(directory.path());
        let told = run(&mut doctor, b"", std::time::Duration::from_secs(60))?;
        ensure!(told.code == Some(4) && told.stdout.contains(parts[0]), "{found:?}: {told:?}");
        ensure!(content(&volume)? == before, "{found:?}: the doctor changed it");
    }

    fs::write(&file, intact)?;
    let mortise = Mortise::start(directory.path())?;
    let mut client = Client::connect_volume(&mortise.endpoint(), "tree").await?;
    for key in ["key", "unflushed"] {
        ensure!(client.get(key).await.ok().flatten().is_some(), "{key} is there again");
    }
    ensure!(!volume.join("gen-000003.building").exists(), "now what was left over goes");
    mortise.stop()
}
