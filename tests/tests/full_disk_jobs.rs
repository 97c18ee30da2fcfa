//! A disk that is really full while a volume is rebuilt or converted: the job ends with a clear reason, what
//! it had built goes, the volume is as it was, writes go on when there is space, and so does the next job.
//!
//! The node runs on a small file system ([`SmallDisk`]) without a reserve, so that it is the system that says
//! there is no space. A fault point holds each phase ([`Gate`]) while the disk is filled.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Client, Gate, Mortise, SmallDisk, mortise_binary, mortise_cli};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
/// Values of 64 KiB.
const VALUES: usize = 96;

/// The phase that a job stands still in, once, its point, and how often that is passed before.
type Stop = (&'static str, &'static str, &'static str);

/// A copy stands only after some portions, so that a part of it is on the disk. A verification writes
/// nothing: the job that stands there meets the full disk where it has caught up, one job before the one that
/// stands there.
const OF_REBUILDS: [Stop; 3] = [
    ("copying", "rebuild-copy-middle", "8*off->"),
    ("verifying", "rebuild-verify-middle", ""),
    ("catching-up", "rebuild-caught-up", "1*off->"),
];

/// A conversion to another order writes hardly anything once it stands in its verification: on a disk that is
/// filled then it found room for that whenever it was tried, so there is no failure to be judged.
const OF_CONVERSIONS: [Stop; 2] =
    [("copying", "rebuild-copy-middle", "8*off->"), ("catching-up", "rebuild-caught-up", "")];

/// The job that runs, if one does.
fn running(endpoint: &str) -> Result<Option<Value>> {
    let listed = mortise_cli(endpoint, &["volume", "jobs", "--output", "json"])?;
    let jobs: Value = serde_json::from_str(&listed.stdout).with_context(|| listed.stderr.clone())?;
    Ok(jobs.as_array().into_iter().flatten().find(|job| job["state"] == "running").cloned())
}

/// Waits until the job that stands is listed as far as it has come.
fn wait_for(endpoint: &str, phase: &str) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let job = running(endpoint)?.context("the job is listed")?;
        let progress = &job["progress"];
        if progress["phase"] == phase && (phase != "copying" || progress["records"].as_u64() > Some(0)) {
            return Ok(());
        }
        ensure!(Instant::now() < end, "the job stands in the phase {phase}, and is listed as {job}");
    }
}

fn names(volume: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(volume)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = entries.collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Fills the disk while a job is in a phase, and judges what comes of it.
async fn fill_amid(
    disk: &SmallDisk,
    mortise: &Mortise,
    client: &mut Client,
    job: &'static [&'static str],
    (phase, gate): (&str, &Gate),
) -> Result<()> {
    let volume = disk.data()?.join("volumes/2");
    let before = (names(&volume)?, client.hash(0).await.ok().context("a hash")?);
    let endpoint = mortise.endpoint();
    let begun = tokio::task::spawn_blocking({
        let endpoint = endpoint.clone();
        move || mortise_cli(&endpoint, job)
    });
    let standing = gate.arrival().context(phase.to_owned())?;
    wait_for(&endpoint, phase)?;
    disk.fill(0)?;
    drop(standing);
    let ended = begun.await?.with_context(|| format!("the job that met the full disk {phase}"))?;
    let told = ended.stderr.to_lowercase();
    ensure!(!ended.success() && told.contains("no space left on device"), "{phase}: {ended:?}");
    ensure!(names(&volume)? == before.0, "{phase}: left over: {:?}, before {:?}", names(&volume)?, before.0);
    let after = client.hash(0).await.ok().context("reads go on")?;
    ensure!((after.hash, after.hash_revision) == (before.1.hash, before.1.hash_revision), "{phase}");

    disk.free()?;
    let end = Instant::now() + PATIENCE;
    while let Err(refusal) = client.put(format!("after {phase}"), "space").await {
        ensure!(Instant::now() < end, "{phase}: writes do not resume when space returns: {refusal:?}");
    }
    // The row of the job is written when there is space, at the latest.
    while running(&endpoint)?.is_some() {
        ensure!(Instant::now() < end, "{phase}: the job that failed is listed as running");
    }
    let jobs = mortise.cli_json(&["volume", "jobs"])?;
    let newest = jobs.as_array().into_iter().flatten().max_by_key(|job| job["id"].as_u64());
    let newest = newest.context("a job")?;
    let detail = newest["detail"].as_str().unwrap_or_default().to_lowercase();
    ensure!(newest["state"] == "failed" && detail.contains("no space left"), "{phase}: {newest}");
    Ok(())
}

async fn in_every_phase(job: &'static [&'static str], phases: &[Stop]) -> Result<()> {
    let Some(disk) = SmallDisk::mount()? else { return Ok(()) };
    let faulty = mortise_binary()?.with_file_name("mortise-fault-points");
    let gates = phases.iter().map(|_| Gate::new()).collect::<Result<Vec<_>>>()?;
    let points = phases.iter().zip(&gates);
    let points = points.map(|((_, point, before), gate)| format!("{point}={before}1*{}", gate.action()));
    let mortise = disk.start(&faulty, "0B", &points.collect::<Vec<_>>().join(";"))?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    for number in 0..VALUES {
        let value = vec![b'a' + (number % 26) as u8; 64 << 10];
        client.put(format!("/dir/{}", number % (VALUES - 8)), value).await.ok().context("there is space")?;
    }
    for ((phase, ..), gate) in phases.iter().zip(&gates) {
        fill_amid(&disk, &mortise, &mut client, job, (phase, gate)).await?;
    }
    let before = client.hash(0).await.ok().context("a hash")?.hash;
    let done = mortise.cli(job)?;
    ensure!(done.success(), "with space the job succeeds: {done:?}");
    ensure!(client.hash(0).await.ok().context("a hash")?.hash == before, "the content is what it was");
    mortise.kill()?;

    let mortise = disk.start(&mortise_binary()?, "0B", "")?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    ensure!(client.hash(0).await.ok().context("a hash")?.hash == before, "also after a crash");
    for (phase, ..) in phases {
        let found = client.get(format!("after {phase}")).await.ok().flatten();
        ensure!(found.is_some(), "what was acknowledged after {phase} is there");
    }
    let names = names(&disk.data()?.join("volumes/2"))?;
    let generations = if job.contains(&"--keep-previous") { 2 } else { 1 };
    ensure!(names.len() == 1 + generations, "CURRENT and what it names, or keeps: {names:?}");
    mortise.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_under_which_the_disk_fills_up_ends_and_leaves_the_volume_as_it_was() -> Result<()> {
    in_every_phase(&["volume", "rebuild", "default"], &OF_REBUILDS).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversion_under_which_the_disk_fills_up_ends_and_leaves_the_volume_as_it_was() -> Result<()> {
    in_every_phase(
        &["volume", "convert", "default", "--to", "hierarchical", "--keep-previous", "1h"],
        &OF_CONVERSIONS,
    )
    .await
}
