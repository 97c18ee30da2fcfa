//! Formats that do most things right: one that makes one key of two, and one that is quick until it is
//! trusted. The first costs the keys that it cannot tell apart and never gives one for the other; the second
//! costs its own volume's requests time, and no others.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use mortise::pb::etcdserverpb as pb;
use mortise_tests::{BESIDE_PLUGINS, Client, Mortise, Request, guests};
use tempfile::TempDir;

/// Adds a format under a name and creates a volume of the same name in it.
async fn volume(mortise: &Mortise, folder: &TempDir, name: &str, bytes: &[u8]) -> Result<Client> {
    let path = folder.path().join(format!("{name}.wasm"));
    fs::write(&path, bytes)?;
    for arguments in [
        ["plugin", "add", &path.to_string_lossy(), "--name", name],
        ["volume", "create", name, "--format", name],
    ] {
        let finished = mortise.cli(&arguments)?;
        ensure!(finished.success(), "{arguments:?}: {}", finished.stderr);
    }
    Client::connect_volume(&mortise.endpoint(), name).await
}

async fn value(client: &mut Client, key: &str) -> Result<Option<String>> {
    let found = client.get(key.to_owned()).await.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    Ok(found.map(|kv| String::from_utf8_lossy(&kv.value).into_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_keys_that_a_format_makes_one_are_never_taken_for_each_other() -> Result<()> {
    const CHANGED: &str = "comes back changed";
    let (directory, folder) = (TempDir::new()?, TempDir::new()?);
    let mortise = Mortise::start(directory.path())?;
    let mut merged = volume(&mortise, &folder, "merged", guests::FORMAT_MERGES_KEYS).await?;
    merged.put("key", "of the small one").await.ok().context("the format takes small letters")?;
    let refusal = merged.put("KEY", "of the large one").await.err().context("a put is accepted")?;
    ensure!(refusal.message.contains(CHANGED), "{refusal:?}");
    let refusal = merged.get("KEY").await.err().context("a get is answered")?;
    ensure!(refusal.message.contains(CHANGED), "{refusal:?}");
    let delete = pb::DeleteRangeRequest { key: "KEY".into(), ..Default::default() };
    let refusal = merged.send(&Request::Delete(delete)).await.err().context("a delete is accepted")?;
    ensure!(refusal.message.contains(CHANGED), "{refusal:?}");
    ensure!(value(&mut merged, "key").await?.as_deref() == Some("of the small one"), "it was touched");

    // Rows that would become one are neither merged nor lost by a conversion: it ends.
    ensure!(mortise.cli(&["volume", "create", "both"])?.success(), "a volume is made");
    let mut both = Client::connect_volume(&mortise.endpoint(), "both").await?;
    for (key, value) in [("key", "small"), ("KEY", "large")] {
        both.put(key, value).await.ok().context("a put is accepted")?;
    }
    let finished = mortise.cli(&["volume", "convert", "both", "--to", "merged"])?;
    ensure!(!finished.success() && finished.stderr.contains(CHANGED), "{finished:?}");
    let status = mortise.cli_json(&["volume", "status", "both"])?;
    ensure!(status["format"]["name"] == "natural", "{status}");
    for (key, expected) in [("key", "small"), ("KEY", "large")] {
        ensure!(value(&mut both, key).await?.as_deref() == Some(expected), "{key} was changed");
    }
    mortise.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_format_that_turns_slow_costs_its_own_requests_time_and_no_others() -> Result<()> {
    /// Calls of an instance that are quick; a put makes two.
    const QUICK: usize = 64;
    const WRITERS: usize = 16;
    let (directory, folder) = (TempDir::new()?, TempDir::new()?);
    let mortise = Mortise::start(directory.path())?;
    let mut slow = volume(&mortise, &folder, "slow", guests::FORMAT_TURNS_SLOW).await?;
    // One request after the other is served by one instance.
    for number in 0..QUICK / 2 + 4 {
        slow.put(format!("before {number}"), "value").await.ok().context("a put is accepted")?;
    }
    let mut other = Client::connect_within(&mortise.endpoint(), "default", BESIDE_PLUGINS).await?;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let mut slow = slow.clone();
            tokio::spawn(async move {
                for number in 0..10 {
                    let put = slow.put(format!("writer {writer}, {number}"), "value").await;
                    ensure!(put.is_ok(), "{put:?}");
                }
                Ok(())
            })
        })
        .collect();
    let mut beside = 0;
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        let put = other.put(format!("beside {beside}"), "value").await;
        ensure!(put.is_ok(), "request {beside} to another volume: {put:?}");
        beside += 1;
    }
    for writer in writers {
        writer.await??;
    }
    ensure!(beside > 0, "nothing was asked meanwhile");
    let there = slow.content(0).await.ok().context("the content")?.len();
    ensure!(there == QUICK / 2 + 4 + WRITERS * 10, "{there} keys are there");
    let shown = mortise.cli_json(&["plugin", "show", "slow"])?;
    ensure!(shown["faults"] == serde_json::json!([]), "slowness within the deadline is no fault: {shown}");
    // More than a codec may take that is called on a thread that others wait for.
    let longest = shown["versions"][0]["usage"]["longest_us"].as_u64();
    ensure!(longest.is_some_and(|longest| longest > 10_000), "it did not turn slow: {shown}");
    mortise.stop()
}
