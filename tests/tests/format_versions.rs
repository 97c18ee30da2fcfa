//! Two versions of one format: a volume goes from one to the other by conversion, and by nothing else.
//!
//! The versions lay keys out differently: the first one is a guest that stores everything as it is, the
//! second one the shipped `hierarchical`, both under one name.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Client, Mortise, guests};
use tempfile::TempDir;

const KEYS: [&str; 6] = ["/", "/a", "/a/b", "/a/b/c", "/a.b", "/a/b//"];
const FIRST: &str = "0.1.0";
const SECOND: &str = "0.2.0";

/// A node that has both versions as `format-mine`.
fn node(directory: &TempDir) -> Result<Mortise> {
    let mortise = Mortise::start(directory.path())?;
    let files = TempDir::new()?;
    let guest = guests::FORMATS.iter().find(|(name, _)| *name == "format_well_behaved").context("a guest")?;
    for (name, bytes) in [("first.wasm", guest.1), ("second.wasm", mortise_plugins::FORMAT_HIERARCHICAL)] {
        let file = files.path().join(name);
        fs::write(&file, bytes)?;
        let added = mortise.cli(&["plugin", "add", &file.to_string_lossy(), "--name", "format-mine"])?;
        ensure!(added.success(), "{added:?}");
    }
    Ok(mortise)
}

fn refused(mortise: &Mortise, arguments: &[&str], parts: &[&str]) -> Result<()> {
    let told = mortise.cli(arguments)?;
    let named = parts.iter().all(|part| told.stderr.contains(part));
    ensure!(!told.success() && named, "{arguments:?} is to be refused and to name {parts:?}: {told:?}");
    Ok(())
}

fn version(mortise: &Mortise) -> Result<String> {
    let status = mortise.cli_json(&["volume", "status", "tree"])?;
    ensure!(status["format"]["name"] == "mine", "{status}");
    Ok(status["format"]["version"].as_str().context("a version")?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_goes_from_one_version_of_its_format_to_another_by_conversion() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = node(&directory)?;
    let create = ["volume", "create", "tree", "--format", "mine", "--format-version", FIRST];
    ensure!(mortise.cli(&create)?.success(), "a volume in the older version");
    ensure!(version(&mortise)? == FIRST, "the version that was asked for");
    let mut client = Client::connect_volume(&mortise.endpoint(), "tree").await?;
    for key in KEYS {
        client.put(key, format!("value of {key}")).await.ok().context("a put is accepted")?;
    }
    let before = client.hash(0).await.ok().context("a hash")?.hash;

    // A format is not used, as a strategy is, and not exchanged behind a volume's back.
    let used = ["plugin", "use", "format-mine", "--version", SECOND, "--volume", "tree"];
    refused(&mortise, &used, &["`format`", "`compaction-strategy`", "mortise volume convert"])?;
    refused(&mortise, &["plugin", "remove", "format-mine", "--version", FIRST], &["tree"])?;
    let unknown = ["volume", "convert", "tree", "--to", "mine", "--format-version", "7.7.7"];
    refused(&mortise, &unknown, &["7.7.7"])?;
    ensure!(version(&mortise)? == FIRST, "nothing has changed");

    let convert = ["volume", "convert", "tree", "--to", "mine", "--format-version", SECOND];
    let job = mortise.cli_json(&convert)?;
    ensure!(
        job["state"] == "done" && job["from"]["version"] == FIRST && job["to"]["version"] == SECOND,
        "{job}"
    );
    ensure!(version(&mortise)? == SECOND, "the other version serves");
    ensure!(client.hash(0).await.ok().context("a hash")?.hash == before, "the content is what it was");
    refused(&mortise, &convert, &["already"])?;

    // Now the first one may go, and the second one may not.
    let removed = mortise.cli(&["plugin", "remove", "format-mine", "--version", FIRST])?;
    ensure!(removed.success(), "{removed:?}");
    refused(&mortise, &["plugin", "remove", "format-mine", "--version", SECOND], &["tree"])?;
    let back = ["volume", "convert", "tree", "--to", "mine", "--format-version", FIRST];
    refused(&mortise, &back, &[FIRST])?;

    mortise.kill()?;
    let mortise = Mortise::start(directory.path())?;
    let mut client = Client::connect_volume(&mortise.endpoint(), "tree").await?;
    for key in KEYS {
        let found = client.get(key).await.ok().flatten().with_context(|| format!("{key} is there"))?;
        ensure!(found.value == format!("value of {key}"), "{found:?}");
    }
    ensure!(version(&mortise)? == SECOND, "it stays over a restart");
    mortise.stop()
}
