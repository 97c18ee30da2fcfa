//! Formats that let the host work for them without end, in requests and inside apply: each call ends as a
//! fault, and the node's other volumes and its pages answer all the while.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use mortise::pb::etcdserverpb as pb;
use mortise_tests::{BESIDE_PLUGINS, Client, Mortise, Request, guests, page};
use tempfile::TempDir;

/// Adds a format under a name and creates a volume of the same name in it.
async fn volume(mortise: &Mortise, folder: &TempDir, name: &str, bytes: &[u8]) -> Result<Client> {
    let path = folder.path().join(format!("{name}.wasm"));
    fs::write(&path, bytes)?;
    let added = mortise.cli(&["plugin", "add", &path.to_string_lossy(), "--name", name])?;
    ensure!(added.success(), "{added:?}");
    let created = mortise.cli(&["volume", "create", name, "--format", name])?;
    ensure!(created.success(), "{created:?}");
    Client::connect_volume(&mortise.endpoint(), name).await
}

/// Another volume takes writes and gives them back, each within the time that is stated, and the pages are
/// there.
async fn others_answer(mortise: &Mortise, round: usize) -> Result<()> {
    let mut other = Client::connect_within(&mortise.endpoint(), "default", BESIDE_PLUGINS).await?;
    for number in 0..20 {
        let key = format!("round {round}, key {number}");
        other.put(key.clone(), "value").await.ok().context("a put is accepted")?;
        let found = other.get(key).await.ok().flatten();
        ensure!(found.is_some_and(|kv| kv.value == "value"), "{number} is there");
    }
    for path in ["/healthz", "/metrics"] {
        ensure!(page(&mortise.http, path)?.starts_with("HTTP/1.1 200"), "{path} answers");
    }
    Ok(())
}

/// Faults of a plugin by their kind, as they are shown.
fn faults(mortise: &Mortise, name: &str) -> Result<Vec<String>> {
    let shown = mortise.cli_json(&["plugin", "show", name])?;
    let faults = shown["faults"].as_array().context("faults")?;
    Ok(faults.iter().map(|fault| fault["kind"].as_str().unwrap_or_default().to_owned()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_flood_the_log_fail_and_hold_nobody_up() -> Result<()> {
    let (directory, folder) = (TempDir::new()?, TempDir::new()?);
    let mortise = Mortise::start(directory.path())?;
    let (stop, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut floods = Vec::new();
    let formats = [("flood", guests::FORMAT_FLOODS_THE_LOG), ("whispers", guests::FORMAT_WHISPERS_FOR_EVER)];
    for (name, bytes) in formats {
        let client = volume(&mortise, &folder, name, bytes).await?;
        for _ in 0..4 {
            let (mut client, stop, ended) = (client.clone(), Arc::clone(&stop), Arc::clone(&ended));
            floods.push(tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let refusal = client.put("key", "value").await.err().context("a put is accepted")?;
                    ensure!(refusal.message.contains("it "), "{refusal:?}");
                    ended.fetch_add(1, Ordering::SeqCst);
                }
                anyhow::Ok(())
            }));
        }
    }
    for round in 0.. {
        others_answer(&mortise, round).await?;
        if ended.load(Ordering::SeqCst) >= 16 {
            break;
        }
    }
    stop.store(true, Ordering::SeqCst);
    for flood in floods {
        flood.await??;
    }
    for (name, _) in formats {
        let faults = faults(&mortise, name)?;
        ensure!(faults.len() >= 3 && faults.iter().any(|kind| kind == "fuel"), "{name}: {faults:?}");
    }
    mortise.stop()
}

/// An instance that was warm let the write pass; the one that replays it isn't. The volume waits, and nobody
/// else does.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_floods_the_log_holds_its_volume_alone() -> Result<()> {
    let (directory, folder) = (TempDir::new()?, TempDir::new()?);
    let mortise = Mortise::start(directory.path())?;
    let mut client = volume(&mortise, &folder, "moody", guests::FORMAT_FLOODS_WHEN_COLD).await?;
    ensure!(client.get("warm").await.ok().context("a get passes")?.is_none(), "nothing is there");
    client.put("key", "bells").await.ok().context("a put is accepted while the format is warm")?;
    mortise.kill()?;

    let mortise = Mortise::start(directory.path())?;
    for round in 0.. {
        others_answer(&mortise, round).await?;
        if faults(&mortise, "moody")?.iter().any(|kind| kind == "fuel") {
            break;
        }
    }
    let volumes = mortise.cli_json(&["volume", "list"])?;
    ensure!(volumes.to_string().contains("moody"), "it is not forgotten: {volumes}");
    let mut client = Client::connect_volume(&mortise.endpoint(), "moody").await?;
    client.get("key").await.err().context("it is not served before its log is applied")?;
    mortise.kill()
}

/// What a transaction compares by order is decoded before it is proposed. A fault there is an error to that
/// request, holds nobody up, and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_that_floods_the_log_is_refused_and_holds_nobody_up() -> Result<()> {
    let (directory, folder) = (TempDir::new()?, TempDir::new()?);
    let mortise = Mortise::start(directory.path())?;
    let mut client = volume(&mortise, &folder, "moody", guests::FORMAT_FLOODS_WHEN_COLD).await?;
    ensure!(client.get("warm").await.ok().context("a get passes")?.is_none(), "nothing is there");
    client.put("key", "bells").await.ok().context("a put is accepted while the format is warm")?;
    client.get("trap").await.err().context("that ends the instance")?;

    let greater = pb::Compare {
        result: pb::compare::CompareResult::Greater.into(),
        target: pb::compare::CompareTarget::Value.into(),
        key: "key".into(),
        target_union: Some(pb::compare::TargetUnion::Value("a".into())),
        ..Default::default()
    };
    let put = pb::PutRequest { key: "other".into(), value: "value".into(), ..Default::default() };
    let put = pb::RequestOp { request: Some(pb::request_op::Request::RequestPut(put)) };
    let txn = pb::TxnRequest { compare: vec![greater], success: vec![put], failure: Vec::new() };
    let txn = Request::Txn(txn);
    client.send(&txn).await.err().context("a comparison is refused while the format is cold")?;
    others_answer(&mortise, 0).await?;
    ensure!(faults(&mortise, "moody")?.iter().any(|kind| kind == "fuel"), "the fault is told");
    ensure!(client.get("warm").await.ok().context("a get passes")?.is_none(), "nothing is there");
    ensure!(client.get("other").await.ok().context("a get passes")?.is_none(), "nothing was changed");
    client.send(&txn).await.ok().context("a comparison is accepted while the format is warm")?;
    let other = client.get("other").await.ok().flatten();
    ensure!(other.is_some_and(|kv| kv.value == "value"), "the transaction was applied");
    mortise.stop()
}
