//! What a rebuild takes in memory: the growth of the process beyond what it had before, at its highest and
//! afterwards, with the block cache's share of it. The data is written by a process of its own, so that no
//! memory is left over from that.
//! `cargo run --release -p mortise-kernel --example rebuild_memory -- <MiB> <bytes of a value> <MiB of
//! cache>`.

use std::path::Path;
use std::process::Command as Process;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use mortise_kernel::kv::{Command, PutRequest};
use mortise_kernel::node::{Node, NodeConfig, VolumeConfig, VolumeId};
use mortise_kernel::rebuild::RebuildOptions;
use mortise_kernel::seams::{Deadline, SystemClock};
use std::time::Duration;

/// Writes that wait for their answers at a time.
const AT_ONCE: u64 = 256;

/// Kilobytes that the system tells of this process under a name.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find(|line| line.starts_with(name)).expect("a line");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

fn volume() -> VolumeConfig {
    VolumeConfig { id: VolumeId::DEFAULT, name: "default".into() }
}

async fn open(directory: &Path, cache_mebibytes: u64) -> Arc<Node> {
    let config = NodeConfig { cache_bytes: cache_mebibytes << 20, ..NodeConfig::new(directory) };
    Node::open(config, Arc::new(SystemClock)).await.expect("opened")
}

async fn fill(directory: &Path, mebibytes: u64, bytes: u64) {
    let node = open(directory, 8).await;
    let one = node.create_volume(volume()).await.expect("created");
    let puts = (mebibytes << 20) / bytes;
    for first in (0..puts).step_by(AT_ONCE as usize) {
        let writes = (first..puts.min(first + AT_ONCE)).map(|number| {
            // A third supersedes another; nothing of a value can be compressed away.
            let key = Bytes::from(format!("key-{:060}", number % (puts * 2 / 3).max(1)));
            let mut state = number;
            let value: Vec<u8> = std::iter::repeat_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .take(bytes as usize)
            .collect();
            let put = PutRequest { key, value: value.into(), ..PutRequest::default() };
            one.propose(Command::Put(put), Deadline::after(Duration::from_secs(60)))
        });
        for written in join_all(writes).await {
            written.expect("written");
        }
    }
    one.flush().await.expect("flushed");
    node.shutdown().await.expect("stopped");
}

async fn rebuild(directory: &Path, cache_mebibytes: u64) {
    let node = open(directory, cache_mebibytes).await;
    let one = node.open_volume(volume()).await.expect("opened");
    for nth in ["first", "second"] {
        // The highest so far is forgotten.
        std::fs::write("/proc/self/clear_refs", "5").expect("written");
        let (before, cached) = (memory("VmRSS"), node.cached_bytes());
        let outcome = one.rebuild(RebuildOptions::default()).expect("begun").wait().await.expect("rebuilt");
        let (highest, after) = (memory("VmHWM") - before, memory("VmRSS").saturating_sub(before));
        let cached = node.cached_bytes().saturating_sub(cached);
        let speed = (outcome.bytes >> 20) as f64 / outcome.copy_took.as_secs_f64();
        #[expect(clippy::print_stdout, reason = "this is what it is for")]
        {
            println!(
                "{nth}: before {} MiB, highest +{} MiB, after +{} MiB, of that block cache +{} MiB; \
                 {} MiB of tables, copied and read back at {speed:.0} MiB/s",
                before >> 10,
                highest >> 10,
                after >> 10,
                cached >> 20,
                outcome.disk_bytes_before >> 20,
            );
        }
    }
    node.shutdown().await.expect("stopped");
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let number =
        |nth: usize, default| arguments.get(nth).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (mebibytes, bytes, cache) = (number(0, 256), number(1, 1024), number(2, 256));
    if let Some(directory) = arguments.get(3) {
        return fill(Path::new(directory), mebibytes, bytes).await;
    }
    let directory = std::env::temp_dir().join(format!("mortise-rebuild-memory-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("created");
    let mut filling = Process::new(std::env::current_exe().expect("known"));
    filling.args([mebibytes, bytes, cache].map(|number| number.to_string())).arg(&directory);
    assert!(filling.status().expect("run").success(), "the data was not written");
    rebuild(&directory, cache).await;
    std::fs::remove_dir_all(directory).expect("removed");
}
