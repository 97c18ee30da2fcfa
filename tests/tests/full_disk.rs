//! A full disk: writes fail with a clear error, reads go on, and writes resume when space returns.
//!
//! The node runs on a real small file system ([`SmallDisk`]), which needs root to be mounted. Where that is
//! not permitted the suite says so and passes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Client, Refusal, SmallDisk, mortise_binary};
use tonic::Code;

const PATIENCE: Duration = Duration::from_secs(60);

/// Fills the disk under a node; returns the number of writes acknowledged until one was refused.
async fn fill_under(disk: &SmallDisk, left: u64, client: &mut Client) -> Result<usize> {
    client.put("before", "full").await.ok().context("there is space in the beginning")?;
    disk.fill(left)?;
    let (acknowledged, refusal) = write_until_refused(client).await?;
    ensure!(refusal.code == Code::ResourceExhausted, "a full disk is refused with {refusal:?}");
    all_there(client, acknowledged).await?;
    Ok(acknowledged)
}

async fn all_there(client: &mut Client, acknowledged: usize) -> Result<()> {
    let before = client.get("before").await;
    ensure!(matches!(&before, Ok(Some(kv)) if kv.value == "full"), "reads go on: {before:?}");
    for number in 0..acknowledged {
        let read = client.get(format!("fill-{number}")).await;
        ensure!(matches!(read, Ok(Some(_))), "fill-{number} was acknowledged and is {read:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_stop_before_the_reserve_is_touched_and_resume_by_themselves() -> Result<()> {
    let Some(disk) = SmallDisk::mount()? else { return Ok(()) };
    let mortise = disk.start(&mortise_binary()?, "16MiB", "")?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    // Half of the reserve is left: enough for what is written until the node looks at the disk again.
    let acknowledged = fill_under(&disk, 8 * 1024 * 1024, &mut client).await?;
    disk.free()?;
    let end = Instant::now() + PATIENCE;
    while let Err(refusal) = client.put("after", "space").await {
        ensure!(refusal.code == Code::ResourceExhausted, "while space returns: {refusal:?}");
        ensure!(Instant::now() < end, "writes do not resume when space returns: {refusal:?}");
    }
    all_there(&mut client, acknowledged).await?;
    mortise.stop()
}

/// Without a reserve, what the node lets in meets a full disk in the log, which holds it: whoever waits for
/// such a write runs into the deadline, later ones are refused, and all goes on when space returns.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_holds_what_a_disk_without_any_space_cannot_take() -> Result<()> {
    let Some(disk) = SmallDisk::mount()? else { return Ok(()) };
    let mortise = disk.start(&mortise_binary()?, "0B", "")?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    client.put("before", "full").await.ok().context("there is space in the beginning")?;
    disk.fill(0)?;
    let (acknowledged, refusal) = write_until_refused(&mut client).await?;
    // The first one may have been let in already; it ends with its deadline, as etcd words it.
    let held = refusal.code == Code::Unavailable && refusal.message.contains("timed out");
    ensure!(held || refusal.code == Code::ResourceExhausted, "a full disk is refused with {refusal:?}");
    all_there(&mut client, acknowledged).await?;
    let later = client.put("while-full", "x").await.err().context("nothing is written to a full disk")?;
    ensure!(later.code == Code::ResourceExhausted, "a full disk is refused with {later:?}");
    disk.free()?;
    let end = Instant::now() + PATIENCE;
    while let Err(refusal) = client.put("after", "space").await {
        ensure!(refusal.code == Code::ResourceExhausted, "while space returns: {refusal:?}");
        ensure!(Instant::now() < end, "writes do not resume when space returns: {refusal:?}");
    }
    all_there(&mut client, acknowledged).await?;
    mortise.kill()?;

    let mortise = disk.start(&mortise_binary()?, "16MiB", "")?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    all_there(&mut client, acknowledged).await?;
    let after = client.get("after").await;
    ensure!(matches!(after, Ok(Some(_))), "acknowledged after the disk was full: {after:?}");
    mortise.stop()
}

/// Writes 64 KiB values; the number acknowledged, and the first refusal.
async fn write_until_refused(client: &mut Client) -> Result<(usize, Refusal)> {
    for number in 0..4000 {
        if let Err(refusal) = client.put(format!("fill-{number}"), vec![b'x'; 65536]).await {
            return Ok((number, refusal));
        }
    }
    anyhow::bail!("250 MiB fitted onto a disk of 96 MiB")
}
