//! A full disk: writes fail with a clear error, reads go on, and writes resume when space returns.
//!
//! The node runs on a real small file system: a tmpfs mounted in a mount namespace of its own, which needs
//! root. Where that is not permitted the suite says so and passes. The file system is filled and freed from
//! outside through `/proc/<pid>/root`.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Client, Mortise, Process, Refusal, mortise_binary, run, skip};
use tempfile::TempDir;
use tonic::Code;

const PATIENCE: Duration = Duration::from_secs(60);

/// Whether this process may mount file systems in a namespace of its own.
fn may_mount() -> Result<bool> {
    let mut probe = Command::new("unshare");
    probe.args(["-m", "sh", "-c", "mount -t tmpfs -o size=1m tmpfs /mnt"]);
    let permitted = run(&mut probe, b"", PATIENCE).is_ok_and(|finished| finished.success());
    if !permitted {
        skip("mounting a tmpfs in a mount namespace is not permitted here (it needs root): no full disk");
    }
    Ok(permitted)
}

/// A file system of 96 MiB in a mount namespace that lives as long as this value.
struct SmallDisk {
    holder: Process,
    mount_point: TempDir,
}

impl SmallDisk {
    fn mount() -> Result<Self> {
        let mount_point = TempDir::new()?;
        let script = "mount -t tmpfs -o size=96m tmpfs \"$0\" && echo mounted >&2 && exec tail -f /dev/null";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script]).arg(mount_point.path());
        let mut holder = Process::spawn("the small disk's holder", &mut command)?;
        holder.wait_line("the mount", PATIENCE, |line| (line == "mounted").then_some(()))?;
        Ok(Self { holder, mount_point })
    }

    fn start(&self, reserve: &str) -> Result<Mortise> {
        let mut command = Command::new("nsenter");
        command.args(["-m", "-t", &self.holder.id().to_string(), "--"]).arg(mortise_binary()?);
        command.arg("serve").arg("--data-dir").arg(self.mount_point.path().join("data"));
        command.args(["--listen", "127.0.0.1:0", "--listen-http", "127.0.0.1:0", "--log-format", "json"]);
        command.args(["--memtable-size", "1MiB", "--disk-reserve", reserve]);
        Mortise::from_command(command)
    }

    /// A file that takes all the space there is, seen from outside the namespace.
    fn filler(&self) -> Result<PathBuf> {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        Ok(root.join(self.mount_point.path().strip_prefix("/")?).join("filler"))
    }

    /// Takes all the space there is, then gives `left` bytes back.
    fn fill(&self, left: u64) -> Result<()> {
        let mut file = fs::File::create(self.filler()?).context("the file system is seen from outside")?;
        let block = [0; 4096];
        while file.write_all(&block).is_ok() {}
        let taken = file.metadata()?.len();
        Ok(file.set_len(taken.saturating_sub(left))?)
    }

    fn free(&self) -> Result<()> {
        Ok(fs::remove_file(self.filler()?)?)
    }
}

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
    if !may_mount()? {
        return Ok(());
    }
    let disk = SmallDisk::mount()?;
    let mortise = disk.start("16MiB")?;
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
    if !may_mount()? {
        return Ok(());
    }
    let disk = SmallDisk::mount()?;
    let mortise = disk.start("0B")?;
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

    let mortise = disk.start("16MiB")?;
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
