//! Any bytes on the whole way of `plugin add`: read, compiled, instantiated, asked twice who it is, admitted.
//!
//! What fails when it is read goes no further. The rest goes to a real node, whose catalog is the system
//! volume of a store in memory where the machine has such a file system. Only one thing is different from a
//! daemon: the compiler runs in this process, because a fuzzer cannot follow a child; what a child's limits
//! are for is tested elsewhere (`tests/tests/component_bombs.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use mortise_kernel::kv::RangeRequest;
use mortise_kernel::node::{Consistency, Node, NodeConfig, VolumeId};
use mortise_kernel::seams::{Deadline, SystemClock};
use mortise_mechanisms::{Cause, Error, NATIVE_STRATEGY, NewPlugin, System, SystemConfig};
use mortise_plugin_runtime::{Capability, Description, Runtime, RuntimeConfig, inspect, is_unpresentable};
use tempfile::TempDir;

/// Larger components are only read: in this process nothing bounds the time that compiling them takes.
const COMPILED_BYTES: usize = 64 * 1024;

/// Feeds bytes to `plugin add`. Afterwards the catalog and the files beside it are as they were, or hold
/// exactly one version more, which is removed again.
///
/// # Panics
/// When they do not, or when bytes are refused without a reason that an operator can be shown.
pub(crate) fn plugin_add(bytes: &[u8]) {
    if let Some(description) = plugin_read(bytes).filter(|_| bytes.len() <= COMPILED_BYTES) {
        bench().goes(bytes, &description);
    }
}

/// The first part of the way, before anything is compiled; where it goes on, what was read.
///
/// # Panics
/// When bytes are described wrongly, or refused without a reason that an operator can be shown.
pub(crate) fn plugin_read(bytes: &[u8]) -> Option<Description> {
    match inspect(bytes) {
        Ok(description) => {
            assert_eq!(description.bytes, bytes.len() as u64);
            assert!(description.imports.is_empty() || !description.capabilities.is_empty());
            Some(description)
        }
        Err(error) => {
            let text = error.to_string();
            assert!(error.is_component_fault(), "the host is blamed for what it was given: {text}");
            is_presentable(&text);
            None
        }
    }
}

fn is_presentable(text: &str) {
    assert!(!text.is_empty() && text.len() < 4_000, "{} bytes of reason", text.len());
    assert!(!text.contains(is_unpresentable), "a reason of several lines: {text:?}");
}

/// A node for all inputs of this process.
struct Bench {
    runtime: tokio::runtime::Runtime,
    node: Arc<Node>,
    system: Arc<System>,
    blobs: PathBuf,
    _directory: TempDir,
}

/// Everything of the catalog but its history, and the names of the files beside it.
#[derive(Debug, PartialEq)]
struct Catalog {
    rows: BTreeMap<Bytes, Bytes>,
    files: BTreeSet<String>,
}

fn bench() -> &'static Bench {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    BENCH.get_or_init(Bench::new)
}

impl Bench {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let directory = directory.expect("a directory");
        let config = NodeConfig { reserve_disk_bytes: 0, ..NodeConfig::new(directory.path()) };
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().expect("a runtime");
        let (node, system) = runtime.block_on(async {
            let node = Node::open(config, Arc::new(SystemClock)).await.expect("a node");
            let host = Runtime::new(RuntimeConfig::default()).expect("an engine");
            let config = SystemConfig::new(Vec::new(), NATIVE_STRATEGY);
            let system = System::start(Arc::clone(&node), host, config).await.expect("a system");
            (node, system)
        });
        let blobs = directory.path().join("plugins/blobs");
        Self { runtime, node, system, blobs, _directory: directory }
    }

    fn catalog(&self) -> Catalog {
        let volume = self.node.volume(VolumeId::SYSTEM).expect("the system volume");
        let everything = Bytes::from_static(b"\0");
        let request =
            RangeRequest { key: everything.clone(), range_end: everything, ..RangeRequest::default() };
        let deadline = Deadline::after(Duration::from_secs(60));
        let read = volume.range(request, Consistency::Linearizable, deadline);
        let rows = self.runtime.block_on(read).expect("the catalog").kvs.into_iter();
        let rows = rows.filter(|kv| !kv.key.starts_with(b"mortise/history/")).map(|kv| (kv.key, kv.value));
        let files = fs::read_dir(&self.blobs)
            .expect("the components")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        Catalog { rows: rows.collect(), files: files.collect() }
    }

    /// The whole way. What it wants is granted, so that nothing ends there.
    fn goes(&self, bytes: &[u8], description: &Description) {
        let before = self.catalog();
        let wants_wasi = description.capabilities.contains(&Capability::WasiMinimal);
        let grants = wants_wasi.then(|| Capability::WasiMinimal.to_string()).into_iter().collect();
        let new = NewPlugin { bytes: bytes.to_vec(), name: None, signature: None, grants };
        let added = match self.runtime.block_on(self.system.plugin_add(new, Cause::default())) {
            Ok(added) => added,
            Err(error) => {
                assert!(!matches!(error, Error::Internal(_)), "{error}");
                is_presentable(&error.to_string());
                assert_eq!(self.catalog(), before, "something is left of what was refused: {error}");
                return;
            }
        };
        assert_eq!(added.digest, description.digest.to_string());
        is_presentable(&format!("{} {} {}", added.name, added.version, added.summary));
        let after = self.catalog();
        let new: Vec<_> = after.rows.keys().filter(|key| !before.rows.contains_key(*key)).collect();
        let [key] = new[..] else { panic!("one version is one row, and not {new:?}") };
        let key = String::from_utf8_lossy(key);
        assert!(key.contains(&added.name) && key.ends_with(&added.version), "{key} is the row of {added:?}");
        assert_eq!((after.rows.len(), after.files.len()), (before.rows.len() + 1, before.files.len() + 1));
        assert!(after.files.iter().any(|file| file.contains(&added.digest)), "{:?}", after.files);
        let removed = self.system.plugin_remove(&added.name, Some(&added.version), Cause::default());
        self.runtime.block_on(removed).expect("what is not in use can be removed");
        assert_eq!(self.catalog(), before, "something is left of what was removed");
    }
}
