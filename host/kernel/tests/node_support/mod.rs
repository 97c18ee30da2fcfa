//! What the node's tests share: opening, crashing, writing and reading, and seams that a test decides.
#![allow(dead_code, reason = "each test file uses a part")]

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use mortise_kernel::Result;
use mortise_kernel::kv::{Command, CommandResponse, KeyValue, PutRequest, RangeRequest};
use mortise_kernel::node::{Consistency, Node, NodeConfig, Volume, VolumeConfig, VolumeId};
use mortise_kernel::seams::{Deadline, DiskSpace, Seams, SystemClock};
use rand::Rng;

/// A disk whose free space the test sets.
pub(crate) struct FakeDisk(pub(crate) AtomicU64);

impl DiskSpace for FakeDisk {
    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(self.0.load(Ordering::SeqCst))
    }
}

/// The seed of a random test; printed, and taken from `MORTISE_SEED` to replay.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("MORTISE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| rand::rng().random());
    #[expect(clippy::print_stdout, reason = "a failed test shows it")]
    {
        println!("MORTISE_SEED={seed}");
    }
    seed
}

pub(crate) fn config(path: &Path) -> NodeConfig {
    NodeConfig { cache_bytes: 8 << 20, memtable_bytes: 256 << 10, ..NodeConfig::new(path) }
}

/// Generous: no test waits for it to pass.
pub(crate) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

pub(crate) async fn open(config: NodeConfig) -> Arc<Node> {
    Node::open(config, Arc::new(SystemClock)).await.expect("the node opens")
}

pub(crate) async fn open_with_disk(config: NodeConfig, disk: Arc<FakeDisk>) -> Arc<Node> {
    let seams = Seams { disk, ..Seams::with_clock(Arc::new(SystemClock)) };
    Node::open_with(config, seams).await.expect("the node opens")
}

pub(crate) fn volume(id: u64) -> VolumeConfig {
    VolumeConfig { id: VolumeId(id), name: format!("volume-{id}") }
}

pub(crate) fn put_command(key: &str, value: impl Into<Bytes>) -> Command {
    let key = Bytes::copy_from_slice(key.as_bytes());
    Command::Put(PutRequest { key, value: value.into(), ..PutRequest::default() })
}

/// Puts a key; its revision.
pub(crate) async fn put(volume: &Volume, key: &str, value: impl Into<Bytes>) -> Result<i64> {
    match volume.propose(put_command(key, value), soon()).await? {
        CommandResponse::Put(answer) => Ok(answer.revision),
        other => panic!("a put was answered with {other:?}"),
    }
}

pub(crate) async fn get_as(volume: &Volume, key: &str, consistency: Consistency) -> Result<Option<KeyValue>> {
    let key = Bytes::copy_from_slice(key.as_bytes());
    let request = RangeRequest { key, ..RangeRequest::default() };
    Ok(volume.range(request, consistency, soon()).await?.kvs.into_iter().next())
}

/// The value of a key, read linearizably.
pub(crate) async fn get(volume: &Volume, key: &str) -> Option<String> {
    let found = get_as(volume, key, Consistency::Linearizable).await.expect("readable");
    found.map(|found| String::from_utf8_lossy(&found.value).into_owned())
}

/// Runs one life of a node and ends it without any farewell: the runtime is dropped with all its tasks,
/// nothing is flushed or closed in order.
pub(crate) fn life<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let outcome = runtime.block_on(async { tokio::spawn(work).await });
    drop(runtime);
    outcome.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
