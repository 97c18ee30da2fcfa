//! A real small file system that fills up: a tmpfs in a mount namespace of its own, which needs root.
//!
//! It is filled and freed from outside, through `/proc/<pid>/root`. Where mounting is not permitted a suite
//! says so and passes.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::daemon::{Mortise, skip};
use crate::process::{Process, run};

const PATIENCE: Duration = Duration::from_secs(60);

/// A file system of 96 MiB in a mount namespace that lives as long as this value.
#[derive(Debug)]
pub struct SmallDisk {
    holder: Process,
    mount_point: TempDir,
}

impl SmallDisk {
    /// Mounts it; `None`, and a word about it, where this process may not.
    ///
    /// # Errors
    /// The mount failed although it is permitted.
    pub fn mount() -> Result<Option<Self>> {
        let mut probe = Command::new("unshare");
        probe.args(["-m", "sh", "-c", "mount -t tmpfs -o size=1m tmpfs /mnt"]);
        if !run(&mut probe, b"", PATIENCE).is_ok_and(|finished| finished.success()) {
            skip("mounting a tmpfs in a mount namespace is not permitted here (it needs root): no full disk");
            return Ok(None);
        }
        let mount_point = TempDir::new()?;
        let script = "mount -t tmpfs -o size=96m tmpfs \"$0\" && echo mounted >&2 && exec tail -f /dev/null";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script]).arg(mount_point.path());
        let mut holder = Process::spawn("the small disk's holder", &mut command)?;
        holder.wait_line("the mount", PATIENCE, |line| (line == "mounted").then_some(()))?;
        Ok(Some(Self { holder, mount_point }))
    }

    /// Starts a node on it: this program, with this reserve of free space, and these actions at fault points.
    ///
    /// # Errors
    /// As [`Mortise::start`].
    pub fn start(&self, program: &Path, reserve: &str, actions: &str) -> Result<Mortise> {
        let mut command = Command::new("nsenter");
        command.args(["-m", "-t", &self.holder.id().to_string(), "--"]).arg(program);
        command.arg("serve").arg("--data-dir").arg(self.mount_point.path().join("data"));
        command.args(["--listen", "127.0.0.1:0", "--listen-http", "127.0.0.1:0", "--log-format", "json"]);
        command.args(["--memtable-size", "1MiB", "--disk-reserve", reserve]);
        if !actions.is_empty() {
            command.env("FAILPOINTS", actions);
        }
        Mortise::from_command(command)
    }

    /// The node's data directory, seen from outside the namespace.
    ///
    /// # Errors
    /// The mount point is no absolute path.
    pub fn data(&self) -> Result<PathBuf> {
        Ok(self.root()?.join("data"))
    }

    fn root(&self) -> Result<PathBuf> {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        Ok(root.join(self.mount_point.path().strip_prefix("/")?))
    }

    /// Takes all the space there is, then gives `left` bytes back.
    ///
    /// # Errors
    /// The file system is not seen from outside.
    pub fn fill(&self, left: u64) -> Result<()> {
        let file = fs::File::create(self.root()?.join("filler"));
        let mut file = file.context("the file system is seen from outside")?;
        let block = [0; 4096];
        while file.write_all(&block).is_ok() {}
        let taken = file.metadata()?.len();
        Ok(file.set_len(taken.saturating_sub(left))?)
    }

    /// Gives all of it back.
    ///
    /// # Errors
    /// It was not filled.
    pub fn free(&self) -> Result<()> {
        Ok(fs::remove_file(self.root()?.join("filler"))?)
    }
}
