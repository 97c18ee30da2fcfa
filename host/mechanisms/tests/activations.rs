//! A thousand activations of real components in a row leave neither files open, nor threads, nor memory.
//!
//! Alone in its process, for it counts what belongs to the process.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use mortise_kernel::node::{Node, NodeConfig};
use mortise_kernel::seams::SystemClock;
use mortise_mechanisms::{Cause, Limits, ShippedPlugin, System, SystemConfig};
use mortise_plugin_runtime::{Runtime, RuntimeConfig};

const ACTIVATIONS: usize = 1000;
/// By then everything that grows only once has grown.
const SETTLED: usize = 200;
/// What the memory of the process may differ by: the store's buffers and caches come and go.
const SLACK_BYTES: u64 = 48 << 20;

#[derive(Clone, Copy, Debug)]
struct Counts {
    open_files: usize,
    threads: usize,
    resident_bytes: u64,
}

/// Opens its directories itself, so that the one handle that counting takes is always among the counted.
fn counts() -> Counts {
    let entries = |path: &str| fs::read_dir(path).expect("procfs").count();
    let status = fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line about memory");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    Counts {
        open_files: entries("/proc/self/fd"),
        threads: entries("/proc/self/task"),
        resident_bytes: kib * 1024,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_activations_leak_neither_files_nor_threads_nor_memory() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = NodeConfig {
        cache_bytes: 4 << 20,
        memtable_bytes: 1 << 20,
        reserve_disk_bytes: 0,
        ..NodeConfig::new(directory.path())
    };
    let node = Node::open(config, Arc::new(SystemClock)).await.expect("a node");
    let runtime = Runtime::new(RuntimeConfig::default()).expect("a runtime");
    let shipped: Vec<_> = mortise_plugins::shipped()
        .iter()
        .map(|plugin| ShippedPlugin { name: plugin.name.to_owned(), bytes: plugin.bytes.into() })
        .collect();
    let names = ["compaction-tiered", "compaction-leveled", "compaction-quiet"];
    let config = SystemConfig::new(shipped, "compaction-leveled");
    let system = System::start(Arc::clone(&node), runtime, config).await.expect("a system");

    // The machine that runs the tests may be busy.
    let patient = Limits { deadline: Duration::from_secs(10), ..Limits::default() };
    for name in names {
        system.plugin_limits(name, move |_| patient, Cause::default()).await.expect("the limits");
    }
    let mut settled = None;
    for round in 0..ACTIVATIONS {
        let activation =
            system.plugin_use(names[round % names.len()], None, "default", None, Cause::default()).await;
        assert!(activation.expect("an activation").changed, "round {round}");
        if round == SETTLED {
            settled = Some(counts());
        }
    }
    let (settled, last) = (settled.expect("counts"), counts());
    assert!(last.open_files <= settled.open_files + 8, "open files: {settled:?}, then {last:?}");
    assert!(last.threads <= settled.threads + 8, "threads: {settled:?}, then {last:?}");
    let grown = last.resident_bytes.saturating_sub(settled.resident_bytes);
    assert!(grown <= SLACK_BYTES, "{grown} bytes: {settled:?}, then {last:?}");
    let blobs = fs::read_dir(directory.path().join("plugins/blobs")).expect("the components").count();
    assert_eq!(blobs, mortise_plugins::shipped().len());
    for name in names {
        let rows = system.plugin_history(Some(name)).expect("a history").len();
        assert_eq!(rows, 200, "the history of {name} is bounded");
    }
    system.shutdown().await;
    node.shutdown().await.expect("a stop");
}
