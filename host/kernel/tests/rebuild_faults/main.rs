//! Rebuilds while the kernel fails, panics, is cancelled or runs out of disk at every point of them.
//!
//! Faults are global to the process, so each test sets up a scenario of its own, and those exclude each
//! other. Run with `cargo test -p mortise-kernel --features fault-points --test rebuild_faults`.

#[path = "../rebuild_suite/gated.rs"]
#[allow(dead_code, reason = "the other suite uses more of it")]
mod gated;
#[path = "../node_support/mod.rs"]
mod node_support;
#[path = "../test_codecs/mod.rs"]
mod test_codecs;

mod crash;
mod ends;
mod keeping;
mod power;
mod readers;
mod writers;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use mortise_kernel::node::{ContentHash, Node, Volume};
use mortise_kernel::rebuild::{Rebuild, RebuildOptions};
use mortise_kernel::seams::fault::Point;
use mortise_kernel::seams::{Seams, SystemClock};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::gated::{Gate, gated};
use crate::node_support::{FakeDisk, config, get, open, put, volume};
use crate::test_codecs::TestCodecs;

/// A node with one volume that holds something, and its free disk space.
struct Bench {
    dir: TempDir,
    disk: Arc<FakeDisk>,
    node: Arc<Node>,
    volume: Arc<Volume>,
}

impl Bench {
    async fn new() -> Self {
        Self::with(TestCodecs::with(&[])).await
    }

    async fn with(codecs: Arc<TestCodecs>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = Arc::new(FakeDisk(AtomicU64::new(u64::MAX)));
        let seams =
            Seams { disk: Arc::clone(&disk) as _, codecs, ..Seams::with_clock(Arc::new(SystemClock)) };
        let node = Node::open_with(config(dir.path()), seams).await.expect("the node opens");
        let volume = node.create_volume(volume(2)).await.expect("created");
        for number in 0..40 {
            put(&volume, &format!("key-{number}"), "x".repeat(100)).await.expect("written");
        }
        Self { dir, disk, node, volume }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn names(&self) -> Vec<String> {
        names(self.path())
    }

    /// A rebuild that stands at its first portion, with entries written since for it to catch up with.
    async fn rebuild_halfway(&self) -> (Rebuild, Gate) {
        let (transform, mut gate) = gated(true);
        let options = RebuildOptions { transform: Some(transform), ..RebuildOptions::default() };
        let rebuild = self.volume.rebuild(options).expect("begun");
        assert!(gate.arrival().await);
        for number in 0..20 {
            put(&self.volume, &format!("since-{number}"), "y").await.expect("written");
        }
        (rebuild, gate)
    }

    async fn hash(&self) -> ContentHash {
        self.volume.content_hash(0).await.expect("hashed")
    }

    /// The volume is as it was, in the generation given, with nothing of a rebuild left: neither on disk nor
    /// a hold on the log. It can be rebuilt, and opened again.
    async fn check_untouched(self, generation: u64, what: &str) {
        assert_eq!(self.volume.status().generation, generation, "{what}");
        assert_eq!(self.names(), ["CURRENT".to_owned(), format!("gen-{generation:06}")], "{what}");
        assert_eq!(get(&self.volume, "since-19").await.as_deref(), Some("y"), "{what}");
        self.check_usable(what).await;
    }

    async fn check_usable(self, what: &str) {
        let index = self.volume.status().raft_applied_index;
        while self.volume.purged_index() < index {
            put(&self.volume, "again", "z").await.expect("written");
            self.volume.flush().await.expect("flushed");
        }
        let before = self.hash().await;
        let rebuilt = self.volume.rebuild(RebuildOptions::default()).expect("begun").wait().await;
        let outcome = rebuilt.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(self.hash().await, before, "{what}");
        self.node.shutdown().await.expect("stopped");
        let Self { dir, node, volume: open_volume, .. } = self;
        drop((open_volume, node));
        let node = open(config(dir.path())).await;
        let one = node.open_volume(volume(2)).await.expect("opened");
        assert_eq!(one.content_hash(0).await.expect("hashed"), before, "{what}");
        let current = format!("gen-{:06}", outcome.generation);
        assert_eq!(names(dir.path()), ["CURRENT".to_owned(), current], "{what}");
        end(&node).await;
    }
}

/// Ends a node before its scenario ends: what it still did would meet the faults of the next one.
async fn end(node: &Node) {
    node.shutdown().await.expect("stopped");
}

/// Names in the directory of volume 2, sorted.
fn names(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root.join("volumes").join("2")).expect("the volume's directory");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Sets what happens at a point.
fn set(point: Point, action: &str) {
    fail::cfg(point.name(), action).expect("an action");
}

/// Hears of every time that a point is reached.
fn hear(point: Point) -> UnboundedReceiver<()> {
    let (reached, heard) = unbounded_channel();
    fail::cfg_callback(point.name(), move || {
        let _ = reached.send(());
    })
    .expect("a callback");
    heard
}
