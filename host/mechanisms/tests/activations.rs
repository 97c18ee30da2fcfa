//! A thousand activations of real components in a row leave neither files open, nor threads, nor memory.
//!
//! Alone in its process, for it counts what belongs to the process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mortise_kernel::node::{Node, NodeConfig};
use mortise_kernel::seams::SystemClock;
use mortise_mechanisms::{Cause, Limits, ShippedPlugin, System as Mechanisms, SystemConfig};
use mortise_plugin_runtime::{Runtime, RuntimeConfig};

/// How many, unless the variable `MORTISE_ACTIVATIONS` names another number.
const ACTIVATIONS: usize = 1000;
/// By then everything that grows only once has grown: histories are as long as they may be, and caches full.
const SETTLED: usize = 400;
/// The least of so many rounds counts, because memtables fill up and are emptied again: a full one takes
/// about sixty activations.
const WINDOW: usize = 100;
/// What 600 activations may leave on the heap: less than 1 KiB each. A component that is not let go would be
/// a hundred times that, and a row of the history about that much.
const SLACK_HEAP_BYTES: usize = 512 << 10;
/// What they may leave in memory, with what is not on the heap: code and memories of components.
const SLACK_RESIDENT_BYTES: usize = 24 << 20;
/// Files of the log and the tables, and threads for blocking work, come and go.
const SLACK_COUNT: usize = 8;

/// The system's allocator, and how much of it is in use.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator with the arguments that came, and what that answers is
// answered; the counter touches no memory of theirs.
#[allow(unsafe_code, reason = "an allocator cannot be written without; see above")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    open_files: usize,
    threads: usize,
    heap_bytes: usize,
    resident_bytes: usize,
}

impl Counts {
    /// Opens its directories itself, so that the one handle that counting takes is always among the counted.
    fn now() -> Self {
        let entries = |path: &str| fs::read_dir(path).expect("procfs").count();
        let status = fs::read_to_string("/proc/self/status").expect("procfs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line about memory");
        let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
        Self {
            open_files: entries("/proc/self/fd"),
            threads: entries("/proc/self/task"),
            heap_bytes: LIVE.load(Ordering::Relaxed),
            resident_bytes: kib * 1024,
        }
    }

    /// The least of each.
    fn least(self, other: Self) -> Self {
        Self {
            open_files: self.open_files.min(other.open_files),
            threads: self.threads.min(other.threads),
            heap_bytes: self.heap_bytes.min(other.heap_bytes),
            resident_bytes: self.resident_bytes.min(other.resident_bytes),
        }
    }
}

/// The least of the counts of the rounds up to this one.
fn least(counts: &[Counts], round: usize) -> Counts {
    let window = &counts[round - WINDOW..round];
    window.iter().copied().reduce(Counts::least).expect("counts")
}

fn activations() -> usize {
    std::env::var("MORTISE_ACTIVATIONS").map_or(ACTIVATIONS, |count| count.parse().expect("a number"))
}

/// Says, past the test harness's capture, what was measured: the figure is worth more than that it is small.
fn tell(settled: Counts, last: Counts) {
    use std::io::Write as _;
    let line = format!(
        "memory in use after {} activations less that after {SETTLED}: {} KiB on the heap, {} KiB \
         resident; open files {} and {}, threads {} and {}",
        activations(),
        (last.heap_bytes as i64 - settled.heap_bytes as i64) / 1024,
        (last.resident_bytes as i64 - settled.resident_bytes as i64) / 1024,
        settled.open_files,
        last.open_files,
        settled.threads,
        last.threads,
    );
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_activations_leak_neither_files_nor_threads_nor_memory() {
    let directory = tempfile::tempdir().expect("a directory");
    // Small, so that they are full soon: what grows beyond is a leak.
    let config = NodeConfig {
        cache_bytes: 128 << 10,
        memtable_bytes: 512 << 10,
        log_memtable_bytes: 512 << 10,
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
    let system = Mechanisms::start(Arc::clone(&node), runtime, config).await.expect("a system");

    // The machine that runs the tests may be busy.
    let patient = Limits { deadline: Duration::from_secs(10), ..Limits::default() };
    for name in names {
        system.plugin_limits(name, move |_| patient, Cause::default()).await.expect("the limits");
    }
    let activations = activations();
    let mut counts = Vec::with_capacity(activations);
    for round in 0..activations {
        let activation =
            system.plugin_use(names[round % names.len()], None, "default", None, Cause::default()).await;
        assert!(activation.expect("an activation").changed, "round {round}");
        counts.push(Counts::now());
    }
    let (settled, last) = (least(&counts, SETTLED), least(&counts, activations));
    tell(settled, last);
    assert!(last.open_files <= settled.open_files + SLACK_COUNT, "open files: {settled:?}, then {last:?}");
    assert!(last.threads <= settled.threads + SLACK_COUNT, "threads: {settled:?}, then {last:?}");
    let grown = last.heap_bytes.saturating_sub(settled.heap_bytes);
    assert!(grown <= SLACK_HEAP_BYTES, "{grown} bytes of the heap: {settled:?}, then {last:?}");
    let grown = last.resident_bytes.saturating_sub(settled.resident_bytes);
    assert!(grown <= SLACK_RESIDENT_BYTES, "{grown} bytes resident: {settled:?}, then {last:?}");
    let blobs = fs::read_dir(directory.path().join("plugins/blobs")).expect("the components").count();
    assert_eq!(blobs, mortise_plugins::shipped().len());
    for name in names {
        let rows = system.plugin_history(Some(name)).expect("a history").len();
        assert_eq!(rows, 200, "the history of {name} is bounded");
    }
    system.shutdown().await;
    node.shutdown().await.expect("a stop");
}
