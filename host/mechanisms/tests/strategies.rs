//! Compaction strategies against a real node: whatever they do, the content stays what it was, at every
//! readable revision, and a swap under load costs no write.
//!
//! Random, by a seed that is printed; `MORTISE_SEED` replays it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use mortise_kernel::kv::{Command, DeleteRangeRequest, PutRequest, RangeRequest};
use mortise_kernel::node::{Consistency, ContentHash, Node, NodeConfig, Volume};
use mortise_kernel::seams::{Deadline, SystemClock};
use mortise_mechanisms::{Cause, NATIVE_STRATEGY, ShippedPlugin, System, SystemConfig};
use mortise_plugin_runtime::{Runtime, RuntimeConfig};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(120);

struct Running {
    node: Arc<Node>,
    system: Arc<System>,
    volume: Arc<Volume>,
    _directory: tempfile::TempDir,
}

async fn start() -> Running {
    let directory = tempfile::tempdir().unwrap();
    let config = NodeConfig {
        cache_bytes: 8 << 20,
        memtable_bytes: 1 << 20,
        reserve_disk_bytes: 0,
        ..NodeConfig::new(directory.path())
    };
    let node = Node::open(config, Arc::new(SystemClock)).await.unwrap();
    let runtime = Runtime::new(RuntimeConfig::default()).unwrap();
    let shipped = mortise_plugins::shipped().iter();
    let shipped =
        shipped.map(|plugin| ShippedPlugin { name: plugin.name.into(), bytes: plugin.bytes.into() });
    let config = SystemConfig::new(shipped.collect(), "compaction-leveled");
    let system = System::start(Arc::clone(&node), runtime, config).await.unwrap();
    let volume = system.resolve(None).unwrap();
    Running { node, system, volume, _directory: directory }
}

/// Names of the shipped strategies.
fn strategies() -> impl Iterator<Item = &'static str> {
    let shipped = mortise_plugins::shipped().iter();
    shipped.filter(|plugin| plugin.world == "compaction-strategy").map(|plugin| plugin.name)
}

fn deadline() -> Deadline {
    Deadline::after(PATIENCE)
}

fn seed() -> u64 {
    let given = std::env::var("MORTISE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    #[expect(clippy::print_stderr, reason = "a failure is replayed with this number")]
    {
        eprintln!("MORTISE_SEED={seed}");
    }
    seed
}

async fn put(volume: &Volume, key: String, value: Vec<u8>) -> mortise_kernel::Result<()> {
    let put = PutRequest { key: Bytes::from(key), value: value.into(), ..PutRequest::default() };
    volume.propose(Command::Put(put), deadline()).await.map(drop)
}

/// Some puts and deletes over a small set of keys, so that much is superseded.
async fn churn(volume: &Volume, random: &mut StdRng, commands: usize) {
    for _ in 0..commands {
        let key = format!("key-{:03}", random.random_range(0..300));
        if random.random_bool(0.2) {
            let delete = DeleteRangeRequest { key: Bytes::from(key), ..DeleteRangeRequest::default() };
            volume.propose(Command::DeleteRange(delete), deadline()).await.unwrap();
        } else {
            let mut value = vec![0; random.random_range(0..200)];
            random.fill(value.as_mut_slice());
            put(volume, key, value).await.unwrap();
        }
    }
}

/// Hashes of the content at revisions spread over the volume's life.
async fn hashes(volume: &Volume, revisions: &[i64]) -> Vec<ContentHash> {
    let mut hashes = Vec::new();
    for revision in revisions {
        hashes.push(volume.content_hash(*revision).await.unwrap());
    }
    hashes
}

/// Waits until a compaction step has run since `bytes` were consumed by steps.
async fn until_compacted(volume: &Volume, bytes: u64) {
    let mut changes = volume.shape_changes();
    let wait = async {
        while volume.counters().compaction_in_bytes <= bytes {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the strategy lets the tree grow and never compacts");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_strategy_changes_the_content() {
    let Running { node, system, volume, _directory } = start().await;
    let mut random = StdRng::seed_from_u64(seed());
    let shipped = strategies().map(|name| (name, None));
    let native = [(NATIVE_STRATEGY, None)];
    let mut revisions = Vec::new();
    for (strategy, config) in shipped.chain(native) {
        let activation =
            system.plugin_use(strategy, None, "default", config, Cause::default()).await.unwrap();
        assert_eq!(activation.serving.plugin, strategy);
        let compacted = volume.counters().compaction_in_bytes;
        // More runs than any of the strategies leaves alone, and fewer than the guard rail wants.
        for _ in 0..16 {
            churn(&volume, &mut random, 40).await;
            revisions.push(volume.status().revision);
            let before = hashes(&volume, &revisions).await;
            volume.flush().await.unwrap();
            assert_eq!(hashes(&volume, &revisions).await, before, "under {strategy}");
        }
        let before = hashes(&volume, &revisions).await;
        until_compacted(&volume, compacted).await;
        assert_eq!(hashes(&volume, &revisions).await, before, "under {strategy}");
        let serving = system.volume_report("default").unwrap().strategy.serving;
        assert_eq!(serving.plugin, strategy, "it was not quarantined");
    }
    system.shutdown().await;
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn swaps_under_load_fail_no_write() {
    let Running { node, system, volume, _directory } = start().await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (volume, stop) = (Arc::clone(&volume), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut written = 0;
                while !stop.load(Ordering::Relaxed) {
                    put(&volume, format!("{writer}-{written:06}"), vec![7; 500]).await.unwrap();
                    written += 1;
                }
                written
            })
        })
        .collect();
    let names: Vec<_> = strategies().collect();
    for round in 0..4 {
        for name in names.iter().chain([&NATIVE_STRATEGY]) {
            let activation = system.plugin_use(name, None, "default", None, Cause::default()).await.unwrap();
            assert_eq!(activation.serving.plugin, *name, "round {round}");
            volume.flush().await.unwrap();
        }
        system.plugin_rollback("default", Cause::default()).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for (writer, task) in writers.into_iter().enumerate() {
        let written: usize = task.await.unwrap();
        assert!(written > 0);
        let (key, end) = (format!("{writer}-"), format!("{writer}."));
        let request = RangeRequest {
            key: Bytes::from(key),
            range_end: Bytes::from(end),
            count_only: true,
            ..RangeRequest::default()
        };
        let found = volume.range(request, Consistency::Linearizable, deadline()).await.unwrap().count;
        assert_eq!(usize::try_from(found).unwrap(), written, "writer {writer}");
    }
    system.shutdown().await;
    node.shutdown().await.unwrap();
}
