//! Puts per second through one volume, in this process, without any network:
//! `cargo run --release -p mortise-kernel --example put_rate -- <writers> <puts> [<data dir>]`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mortise_kernel::kv::{Command, PutRequest};
use mortise_kernel::node::{Node, NodeConfig, Volume, VolumeConfig, VolumeId};
use mortise_kernel::seams::{Deadline, SystemClock};
use mortise_kernel::store::Step;

async fn write(one: Arc<Volume>, next: Arc<AtomicU64>, puts: u64) -> Vec<Duration> {
    let mut took = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= puts {
            return took;
        }
        let key = Bytes::from(format!("key-{:08}", number.wrapping_mul(0x9e37_79b9) % 100_000));
        let put = PutRequest { key, value: Bytes::from(vec![b'v'; 256]), ..PutRequest::default() };
        let began = Instant::now();
        let deadline = Deadline::after(Duration::from_secs(30));
        one.propose(Command::Put(put), deadline).await.expect("written");
        took.push(began.elapsed());
    }
}

async fn compact(one: Arc<Volume>) {
    let mut changes = one.shape_changes();
    while changes.changed().await.is_ok() {
        let step = Step::Partial { l0_threshold: 4, level_ratio: 10.0, table_bytes: 64 << 20 };
        one.compact_step(step).await.expect("compacted");
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (writers, puts) = (number(64), number(200_000));
    let dir = arguments.next().map_or_else(|| std::env::temp_dir().join("mortise-put-rate"), PathBuf::from);
    let node = Node::open(NodeConfig::new(&dir), Arc::new(SystemClock)).await.expect("opened");
    let config = VolumeConfig { id: VolumeId::DEFAULT, name: "default".into() };
    node.remove_volume(config.id).await.expect("removed");
    let one = node.create_volume(config).await.expect("created");
    let compaction = tokio::spawn(compact(Arc::clone(&one)));
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let tasks: Vec<_> =
        (0..writers).map(|_| tokio::spawn(write(Arc::clone(&one), Arc::clone(&next), puts))).collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.expect("joined"));
    }
    let elapsed = began.elapsed();
    compaction.abort();
    took.sort();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    let entries = one.status().raft_index;
    #[expect(clippy::print_stdout, reason = "the result")]
    {
        println!(
            "{writers} writers: {:.0} puts/s, {:.1} puts/entry, \
             p50 {:?}, p99 {:?}, p99.9 {:?}, max {:?}, slowed {}",
            puts as f64 / elapsed.as_secs_f64(),
            puts as f64 / entries as f64,
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0),
            one.counters().slowed_writes,
        );
    }
    node.shutdown().await.expect("stopped");
}
