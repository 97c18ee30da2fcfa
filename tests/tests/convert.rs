//! Formats from the command line: creating, converting there and back, undoing, refusing, and what happens to
//! a volume whose component is missing.
//!
//! What a conversion promises is attacked in the kernel's tests and by the crash suites; here is the
//! operator's face, with the real components.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use mortise::pb::etcdserverpb as pb;
use mortise_tests::{Client, Load, Mortise, seed};
use serde_json::Value;
use tempfile::TempDir;

const KEYS: [&str; 9] =
    ["/", "/a", "/a/b", "/a/b/c", "/a/b/d", "/a/b/c/e", "no-slash", "\u{ff}\u{0}odd", "/z//double"];

async fn filled(directory: &TempDir, volume: &str) -> Result<(Mortise, Client)> {
    let mortise = Mortise::start(directory.path())?;
    if volume != "default" {
        ensure!(mortise.cli(&["volume", "create", volume])?.success(), "a volume is made");
    }
    let mut client = Client::connect_volume(&mortise.endpoint(), volume).await?;
    for round in 0..3 {
        for key in KEYS {
            let put = client.put(key, format!("{key} in round {round}")).await;
            ensure!(put.is_ok(), "a put is accepted: {put:?}");
        }
    }
    Ok((mortise, client))
}

/// Hashes at every revision up to one, or to the newest (0).
async fn hashes(client: &mut Client, last: i64) -> Result<Vec<u32>> {
    let newest = client.revision().await.ok().context("a revision")?;
    let mut hashes = Vec::new();
    for revision in 2..=(if last == 0 { newest } else { last }) {
        hashes.push(client.hash(revision).await.ok().context("a hash is answered")?.hash);
    }
    Ok(hashes)
}

fn format(mortise: &Mortise, volume: &str) -> Result<Value> {
    Ok(mortise.cli_json(&["volume", "status", volume])?["format"]["name"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_converted_there_and_back_under_load() -> Result<()> {
    let directory = TempDir::new()?;
    let (mortise, mut client) = filled(&directory, "default").await?;
    let last = client.revision().await.ok().context("a revision")?;
    let before = hashes(&mut client, last).await?;
    let mut load = Load::start(&mortise.endpoint(), "load", 3, &mut seed::rng("convert")).await?;
    for to in ["hierarchical", "natural", "hierarchical"] {
        let goal = load.acknowledged() + 30;
        load.reach(goal).await?;
        let job = mortise.cli_json(&["volume", "convert", "default", "--to", to])?;
        ensure!(job["state"] == "done" && job["to"]["name"] == to, "{job}");
        ensure!(format(&mortise, "default")? == to, "the status names {to}");
        ensure!(hashes(&mut client, last).await? == before, "the conversion to {to} changed what was there");
    }
    let goal = load.acknowledged() + 30;
    load.reach(goal).await?;
    let attempts = load.finish().await?;
    ensure!(attempts.iter().all(|attempt| attempt.outcome.is_ok()), "no write failed");
    let newest = client.hash(0).await.ok().context("a hash is answered")?;
    mortise.kill()?;
    let mortise = Mortise::start(directory.path())?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    let restarted = client.hash(0).await.ok().context("a hash is answered")?;
    ensure!(restarted.hash == newest.hash && restarted.hash_revision == newest.hash_revision, "it stays");
    ensure!(hashes(&mut client, last).await? == before, "so does what was there before");
    ensure!(format(&mortise, "default")? == "hierarchical", "so does the format");
    let same = mortise.cli(&["volume", "convert", "default", "--to", "hierarchical"])?;
    ensure!(!same.success() && same.stderr.contains("already"), "{same:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hierarchical_volume_lists_a_directory_in_one_range() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    let created = mortise.cli(&["volume", "create", "tree", "--format", "hierarchical"])?;
    ensure!(created.success(), "{created:?}");
    let mut client = Client::connect_volume(&mortise.endpoint(), "tree").await?;
    for key in KEYS {
        client.put(key, "value").await.ok().context("a put is accepted")?;
    }
    let range = |key: &'static str, end: &'static str| {
        let request = pb::RangeRequest { key: key.into(), range_end: end.into(), ..Default::default() };
        let mut client = client.clone();
        async move {
            let kvs = client.kv.range(request).await?.into_inner().kvs;
            Ok::<_, anyhow::Error>(
                kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect::<Vec<_>>(),
            )
        }
    };
    // What the documents say about ranges.
    ensure!(range("/a/b/", "/a/b//").await? == ["/a/b/c", "/a/b/d"], "the direct children");
    ensure!(range("/a/b/", "/a/b0").await?.is_empty(), "the prefix idiom holds nothing");
    ensure!(range("\0", "\0").await?.len() == KEYS.len(), "all keys");
    let list = mortise.cli_json(&["volume", "list"])?.to_string();
    ensure!(list.contains("hierarchical"), "{list}");
    let unknown = mortise.cli(&["volume", "create", "other", "--format", "unheard-of"])?;
    ensure!(!unknown.success() && unknown.stderr.contains("unheard-of"), "{unknown:?}");
    let strategy = mortise.cli(&["volume", "create", "other", "--format", "compaction-tiered"])?;
    ensure!(!strategy.success() && strategy.stderr.contains("no format"), "{strategy:?}");
    ensure!(!mortise.cli_json(&["volume", "list"])?.to_string().contains("other"), "nothing was made");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_counts_and_changes_nothing() -> Result<()> {
    let directory = TempDir::new()?;
    let (mortise, mut client) = filled(&directory, "default").await?;
    let before = hashes(&mut client, 0).await?;
    let job = mortise.cli_json(&["volume", "convert", "default", "--to", "hierarchical", "--dry-run"])?;
    ensure!(job["state"] == "done" && job["dry_run"] == true, "{job}");
    ensure!(job["result"]["records"] == 3 * KEYS.len(), "every version of every key: {job}");
    ensure!(format(&mortise, "default")? == "natural", "the format is as it was");
    ensure!(mortise.cli_json(&["volume", "status"])?["volume"]["generation"] == 1, "so is the generation");
    ensure!(hashes(&mut client, 0).await? == before, "so is the content");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversion_is_undone_with_all_that_was_written_since() -> Result<()> {
    let directory = TempDir::new()?;
    let (mortise, mut client) = filled(&directory, "default").await?;
    let nothing = mortise.cli(&["volume", "convert", "default", "--undo"])?;
    ensure!(!nothing.success() && nothing.stderr.contains("no previous generation"), "{nothing:?}");
    let convert = ["volume", "convert", "default", "--to", "hierarchical", "--keep-previous", "24h"];
    let job = mortise.cli_json(&convert)?;
    ensure!(job["result"]["kept"] == true, "{job}");
    client.put("/a/since", "the conversion").await.ok().context("a put is accepted")?;
    let status = mortise.cli_json(&["volume", "status"])?;
    ensure!(
        status["previous"]["generation"] == 1 && status["previous"]["format"]["name"] == "natural",
        "{status}"
    );
    let expected = hashes(&mut client, 0).await?;
    mortise.stop()?;
    let mortise = Mortise::start(directory.path())?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    let job = mortise.cli_json(&["volume", "convert", "default", "--undo"])?;
    ensure!(job["kind"] == "undo" && job["state"] == "done", "{job}");
    ensure!(format(&mortise, "default")? == "natural", "the old format is back");
    ensure!(hashes(&mut client, 0).await? == expected, "what was written since is there");
    ensure!(mortise.cli_json(&["volume", "status"])?["previous"].is_null(), "nothing is kept any more");
    Ok(())
}

/// The file of the component that encodes a volume.
fn component(mortise: &Mortise, directory: &Path, volume: &str) -> Result<std::path::PathBuf> {
    let status = mortise.cli_json(&["volume", "status", volume])?;
    let digest = status["format"]["digest"].as_str().context("a digest")?.to_owned();
    Ok(directory.join("plugins/blobs").join(format!("{digest}.wasm")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_in_use_stays_and_a_missing_one_is_named() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    // The shipped component with a name of its own is one that an administrator added.
    let files = TempDir::new()?;
    let file = files.path().join("mine.wasm");
    fs::write(&file, with_a_custom_section(mortise_plugins::FORMAT_HIERARCHICAL))?;
    let file = file.to_string_lossy().into_owned();
    let added = mortise.cli(&["plugin", "add", &file, "--name", "format-mine"])?;
    ensure!(added.success(), "{added:?}");
    ensure!(mortise.cli(&["volume", "create", "tree", "--format", "mine"])?.success(), "a volume is made");
    let mut client = Client::connect_volume(&mortise.endpoint(), "tree").await?;
    client.put("/a/b", "value").await.ok().context("a put is accepted")?;

    let removed = mortise.cli(&["plugin", "remove", "format-mine"])?;
    ensure!(!removed.success() && removed.stderr.contains("tree"), "a format in use is removed: {removed:?}");

    let blob = component(&mortise, directory.path(), "tree")?;
    mortise.stop()?;
    fs::remove_file(&blob)?;
    let mut doctor = std::process::Command::new(mortise_tests::mortise_binary()?);
    doctor.arg("doctor").arg(directory.path());
    let finished = mortise_tests::run(&mut doctor, b"", std::time::Duration::from_secs(60))?;
    ensure!(finished.code == Some(4) && finished.stdout.contains("unserved"), "{finished:?}");

    let mortise = Mortise::start(directory.path())?;
    let list = mortise.cli_json(&["volume", "list"])?;
    let tree = list.as_array().and_then(|all| all.iter().find(|volume| volume["name"] == "tree"));
    let tree = tree.context("the volume is listed")?;
    let digest = blob.file_stem().context("a digest")?.to_string_lossy().into_owned();
    ensure!(tree["state"] == "failed" && tree["problem"].to_string().contains(&digest), "{tree}");
    let mut client = Client::connect_volume(&mortise.endpoint(), "tree").await?;
    let refusal = client.get("/a/b").await.err().context("the volume is served without its component")?;
    ensure!(refusal.message.contains(&digest), "{refusal:?}");
    // Whoever dials its name means it, and must not reach another volume instead.
    let mut dialled = Client::connect_as_host(&mortise.endpoint(), "tree.example.org").await?;
    ensure!(dialled.put("/a/b", "lost").await.is_err(), "a write to it went elsewhere");
    let mut other = Client::connect(&mortise.endpoint()).await?;
    other.put("other", "volumes are served").await.ok().context("a put is accepted")?;

    // It opens by itself when the component is there again.
    let added = mortise.cli(&["plugin", "add", &file, "--name", "format-mine"])?;
    ensure!(added.success(), "{added:?}");
    let found = client.get("/a/b").await.ok().flatten().context("the key is back")?;
    ensure!(found.value == "value", "{found:?}");

    // Whatever was encoded by it is gone, and so it may go.
    ensure!(mortise.cli(&["volume", "convert", "tree", "--to", "natural"])?.success(), "converted");
    let removed = mortise.cli(&["plugin", "remove", "format-mine"])?;
    ensure!(removed.success(), "{removed:?}");
    Ok(())
}

/// The same component with other bytes, and so another digest: a custom section called `x` at its end.
fn with_a_custom_section(component: &[u8]) -> Vec<u8> {
    [component, &[0, 3, 1, b'x', 0]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_record_ends_a_conversion_and_is_named() -> Result<()> {
    let directory = TempDir::new()?;
    let (mortise, mut client) = filled(&directory, "default").await?;
    // Deeper than a stored key has room for: every slash costs a byte more than it has.
    let long = format!("/refused/{}", "\u{1}".repeat(31_000));
    client.put(long, "value").await.ok().context("a put is accepted")?;
    let before = hashes(&mut client, 0).await?;
    for dry_run in [&["--dry-run"][..], &[]] {
        let convert = [&["volume", "convert", "default", "--to", "hierarchical"], dry_run].concat();
        let finished = mortise.cli(&convert)?;
        ensure!(!finished.success() && finished.stderr.contains("/refused/"), "{finished:?}");
        ensure!(finished.stderr.contains("refuses 1 "), "how many is said: {finished:?}");
        ensure!(finished.stderr.len() < 2000, "the key is shortened: {} bytes", finished.stderr.len());
    }
    ensure!(format(&mortise, "default")? == "natural", "the format is as it was");
    ensure!(hashes(&mut client, 0).await? == before, "so is the content");
    let names: Vec<_> = fs::read_dir(directory.path().join("volumes/2"))?.collect::<std::io::Result<_>>()?;
    ensure!(names.len() == 2, "nothing is left over: {names:?}");
    Ok(())
}
