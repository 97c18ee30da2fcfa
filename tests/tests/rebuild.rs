//! Rebuilding a volume from the command line: under load, cancelled, refused, interrupted, and as etcd's
//! `defrag`.
//!
//! What the kernel promises is attacked in its own tests and by the crash suites; here is the operator's
//! face.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mortise::pb::etcdserverpb as pb;
use mortise_tests::{
    Client, Load, Mortise, Process, etcdctl, mortise_binary, on_path, page, sample, seed, skip,
};
use serde_json::Value;
use tempfile::TempDir;
use tonic::Code;

const END: Duration = Duration::from_secs(60);
/// Slow enough that a job on [`filled`] is under way for as long as any test looks.
const SLOW: [&str; 2] = ["--rate", "16KiB/s"];
const KEYS: usize = 1000;

/// A node whose default volume holds about a megabyte.
async fn filled(directory: &TempDir) -> Result<(Mortise, Client)> {
    let mortise = Mortise::start(directory.path())?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    for number in 0..KEYS {
        let put = client.put(format!("key-{number:05}"), vec![b'v'; 1024]).await;
        ensure!(put.is_ok(), "a put is accepted: {put:?}");
    }
    Ok((mortise, client))
}

async fn hash(client: &mut Client, revision: i64) -> Result<u32> {
    Ok(client.hash(revision).await.ok().context("a hash is answered")?.hash)
}

/// etcd's client gives up when it is interrupted or at its `--command-timeout`; the call is then cancelled.
#[tokio::test(flavor = "multi_thread")]
async fn a_defrag_whose_client_gives_up_goes_on_and_is_listed() -> Result<()> {
    let directory = TempDir::new()?;
    let (mortise, mut client) = filled(&directory).await?;
    let before = hash(&mut client, 0).await?;
    // Much enough that the copy is seen under way.
    for number in 0..96 {
        client.put(format!("large-{number}"), vec![b'v'; 1 << 20]).await.ok().context("a put is accepted")?;
    }
    let grown = hash(&mut client, 0).await?;
    ensure!(grown != before, "the hash sees what was put");
    let mut maintenance = client.maintenance.clone();
    let call = tokio::spawn(async move { maintenance.defragment(pb::DefragmentRequest {}).await });
    let job = loop {
        if let Some(job) = jobs(&mortise)?.first() {
            break job.clone();
        }
    };
    ensure!(job["state"] == "running" && !call.is_finished(), "the call was to be under way: {job}");
    call.abort();
    ensure!(call.await.is_err_and(|error| error.is_cancelled()), "the client is gone");
    let id = job["id"].as_u64().context("a number")?.to_string();
    let ended = mortise.cli_json(&["volume", "job", "watch", &id])?;
    ensure!(ended["state"] == "done", "it goes on without its client: {ended}");
    ensure!(mortise.cli_json(&["volume", "status"])?["volume"]["generation"] == 2, "the new one serves");
    ensure!(hash(&mut client, 0).await? == grown, "the volume holds what it held");
    // It was a job like any other, and nothing is left of it.
    let again = mortise.cli_json(&["volume", "rebuild", "default"])?;
    ensure!(again["state"] == "done", "{again}");
    ensure!(jobs(&mortise)?.len() == 2, "both are listed");
    Ok(())
}

/// Names in the directory of the default volume.
fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory.join("volumes/2"))?;
    let mut names: Vec<_> =
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<Result<_>>()?;
    names.sort();
    Ok(names)
}

/// A command that works on a slow job, known to copy.
fn slow_rebuild(mortise: &Mortise) -> Result<Process> {
    let mut command = Command::new(mortise_binary()?);
    command.args(["volume", "rebuild", "default"]).args(SLOW).env("MORTISE_ENDPOINT", mortise.endpoint());
    let mut process = Process::spawn("mortise volume rebuild", &mut command)?;
    process.wait_line("that it copies", END, |line| line.starts_with("copying").then_some(()))?;
    Ok(process)
}

fn jobs(mortise: &Mortise) -> Result<Vec<Value>> {
    Ok(mortise.cli_json(&["volume", "jobs"])?.as_array().cloned().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_rebuilt_under_load() -> Result<()> {
    let directory = TempDir::new()?;
    let (mortise, mut client) = filled(&directory).await?;
    let revision = client.revision().await.ok().context("a revision")?;
    let before = hash(&mut client, revision).await?;
    let mut load = Load::start(&mortise.endpoint(), "load", 4, &mut seed::rng("rebuild")).await?;
    for round in 1..=3 {
        let goal = load.acknowledged() + 100;
        load.reach(goal).await?;
        let job = mortise.cli_json(&["volume", "rebuild", "default"])?;
        ensure!(job["state"] == "done" && job["id"] == round, "{job}");
        ensure!(
            job["result"]["generation"] == round + 1 && job["result"]["records"].as_u64() > Some(0),
            "{job}"
        );
        ensure!(hash(&mut client, revision).await? == before, "round {round} changed what was there");
    }
    let goal = load.acknowledged() + 100;
    load.reach(goal).await?;
    let attempts = load.finish().await?;
    ensure!(attempts.iter().all(|attempt| attempt.outcome.is_ok()), "no write failed");
    let newest = client.revision().await.ok().context("a revision")?;
    let (now, old) = (hash(&mut client, newest).await?, hash(&mut client, revision).await?);
    mortise.kill()?;
    let mortise = Mortise::start(directory.path())?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    ensure!(hash(&mut client, newest).await? == now && hash(&mut client, revision).await? == old, "it stays");
    ensure!(names(directory.path())? == ["CURRENT", "gen-000004"], "{:?}", names(directory.path())?);
    let text = mortise.cli(&["volume", "jobs"])?.stdout;
    ensure!(text.contains("rebuild") && text.contains("done"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_cancels_and_leaves_nothing() -> Result<()> {
    let directory = TempDir::new()?;
    let (mortise, mut client) = filled(&directory).await?;
    let before = hash(&mut client, 0).await?;
    let mut rebuild = slow_rebuild(&mortise)?;
    ensure!(names(directory.path())?.len() == 3, "a generation is in the making");
    let metrics = page(&mortise.http, "/metrics")?;
    let running = sample(&metrics, "mortise_rebuild_running", &[("volume", "default")]);
    ensure!(running == Some(1.0), "{running:?}");
    rebuild.interrupt()?;
    let (status, log) = rebuild.wait_end(END)?;
    ensure!(!status.success() && log.contains("was cancelled"), "{status}: {log}");
    ensure!(names(directory.path())? == ["CURRENT", "gen-000001"], "{:?}", names(directory.path())?);
    ensure!(jobs(&mortise)?[0]["state"] == "cancelled", "{:?}", jobs(&mortise)?);
    ensure!(hash(&mut client, 0).await? == before, "the volume is as it was");
    let job = mortise.cli_json(&["volume", "rebuild", "default"])?;
    ensure!(job["state"] == "done" && job["id"] == 2, "another one is not kept from it: {job}");
    ensure!(hash(&mut client, 0).await? == before, "the volume holds what it held");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_request_is_told_about_the_first() -> Result<()> {
    let directory = TempDir::new()?;
    let (mortise, mut client) = filled(&directory).await?;
    let mut rebuild = slow_rebuild(&mortise)?;
    let second = mortise.cli(&["volume", "rebuild", "default"])?;
    ensure!(!second.success() && second.stderr.contains("job 1"), "{second:?}");
    let defrag = client.maintenance.defragment(pb::DefragmentRequest {}).await;
    let refused = defrag.err().context("two rebuilds at once")?;
    ensure!(refused.code() == Code::FailedPrecondition && refused.message().contains("job 1"), "{refused:?}");
    let status = mortise.cli_json(&["volume", "status"])?;
    ensure!(status["job"]["id"] == 1 && status["job"]["progress"]["phase"] == "copying", "{status}");
    ensure!(jobs(&mortise)?[0]["state"] == "running", "{:?}", jobs(&mortise)?);
    // Another volume is not concerned.
    ensure!(mortise.cli(&["volume", "create", "other"])?.success(), "a volume is made");
    ensure!(
        mortise.cli_json(&["volume", "rebuild", "other"])?["state"] == "done",
        "the other one is rebuilt"
    );
    let cancelled = mortise.cli(&["volume", "job", "cancel", "1"])?;
    ensure!(cancelled.success(), "{cancelled:?}");
    ensure!(names(directory.path())? == ["CURRENT", "gen-000001"], "{:?}", names(directory.path())?);
    let (status, log) = rebuild.wait_end(END)?;
    ensure!(!status.success() && log.contains("was cancelled"), "whoever watched is told: {log}");
    let done = mortise.cli(&["volume", "job", "cancel", "2"])?;
    ensure!(!done.success() && done.stderr.contains("it is done"), "{done:?}");
    let unknown = mortise.cli(&["volume", "job", "cancel", "99"])?;
    ensure!(!unknown.success() && unknown.stderr.contains("no job 99"), "{unknown:?}");
    let nowhere = mortise.cli(&["volume", "rebuild", "nowhere"])?;
    ensure!(!nowhere.success() && nowhere.stderr.contains("nowhere"), "{nowhere:?}");
    let watched = mortise.cli_json(&["volume", "jobs", "other"])?;
    ensure!(watched.as_array().is_some_and(|all| all.len() == 1), "{watched}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_deleted_although_a_job_works_on_it() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    ensure!(mortise.cli(&["volume", "create", "brief"])?.success(), "a volume is made");
    let mut client = Client::connect_volume(&mortise.endpoint(), "brief").await?;
    for number in 0..KEYS {
        client.put(format!("key-{number}"), vec![b'v'; 1024]).await.ok().context("a put is accepted")?;
    }
    let mut command = Command::new(mortise_binary()?);
    command.args(["volume", "rebuild", "brief"]).args(SLOW).env("MORTISE_ENDPOINT", mortise.endpoint());
    let mut rebuild = Process::spawn("mortise volume rebuild", &mut command)?;
    rebuild.wait_line("that it copies", END, |line| line.starts_with("copying").then_some(()))?;
    let deleted = mortise.cli(&["volume", "delete", "brief"])?;
    ensure!(deleted.success(), "{deleted:?}");
    ensure!(!directory.path().join("volumes/3").exists(), "its files are gone");
    ensure!(!rebuild.wait_end(END)?.0.success(), "the job ended");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_interrupts_a_job_and_says_so() -> Result<()> {
    let directory = TempDir::new()?;
    let (mortise, mut client) = filled(&directory).await?;
    let before = hash(&mut client, 0).await?;
    let mut rebuild = slow_rebuild(&mortise)?;
    mortise.kill()?;
    let (status, log) = rebuild.wait_end(END)?;
    ensure!(!status.success() && log.contains("job 1"), "{log}");
    let mortise = Mortise::start(directory.path())?;
    ensure!(names(directory.path())? == ["CURRENT", "gen-000001"], "{:?}", names(directory.path())?);
    ensure!(jobs(&mortise)?[0]["state"] == "interrupted", "{:?}", jobs(&mortise)?);
    let mut client = Client::connect(&mortise.endpoint()).await?;
    ensure!(hash(&mut client, 0).await? == before, "the volume is as it was");

    // A stop in good order does not wait for the job either, and tells whoever watches.
    let mut rebuild = slow_rebuild(&mortise)?;
    mortise.stop()?;
    ensure!(!rebuild.wait_end(END)?.0.success(), "the job ended");
    let mortise = Mortise::start(directory.path())?;
    let jobs = jobs(&mortise)?;
    ensure!(jobs[0]["id"] == 2 && jobs[0]["state"] == "interrupted", "{jobs:?}");
    ensure!(names(directory.path())? == ["CURRENT", "gen-000001"], "{:?}", names(directory.path())?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn etcds_defrag_rebuilds() -> Result<()> {
    let directory = TempDir::new()?;
    let (mortise, mut client) = filled(&directory).await?;
    let before = hash(&mut client, 0).await?;
    client.maintenance.defragment(pb::DefragmentRequest {}).await?;
    ensure!(names(directory.path())?.contains(&"gen-000002".to_owned()), "another generation serves");
    ensure!(hash(&mut client, 0).await? == before, "the volume holds what it held");
    if !on_path("etcdctl") {
        skip("no `etcdctl` program on PATH; install Debian's etcd-client to run it here");
        return Ok(());
    }
    let finished = etcdctl(&mortise.grpc, &["--command-timeout=60s", "defrag"], "")?;
    ensure!(finished.success() && finished.stdout.contains("Finished defragmenting"), "{finished:?}");
    ensure!(mortise.cli_json(&["volume", "status"])?["volume"]["generation"] == 3, "a third one serves");
    ensure!(hash(&mut client, 0).await? == before, "the volume holds what it held");
    Ok(())
}
