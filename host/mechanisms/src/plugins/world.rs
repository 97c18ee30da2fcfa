//! A node's lifecycle for tests: a catalog in memory, a fake tree and fake components; the loop is real.
//!
//! `World` is what outlives a restart (rows, files, compiled components, the clock) and `Running` what does
//! not, so a test stops a node by dropping its `Running` and starts another one from the same `World`.
//! Components are texts of one line that say who they are and how they behave; see `fake`. The clock stands
//! still until the test moves it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mortise_kernel::seams::{Clock, SharedClock};
use tempfile::TempDir;

use super::fake::{FakeCache, FakeHost};
use super::{Addition, Capabilities, Host, Lifecycle, Settings, Trust};
use crate::catalog::memory_rows::MemoryRows;
use crate::catalog::{BindingRow, Blobs, Catalog, Origin};
use crate::compaction::fake::FakeTree;
use crate::compaction::{Handle, Permits, Slot, Supervisor, Task, spawn};
use crate::system::{ShadowInfo, ShippedPlugin};
use crate::{Actor, Cause};

pub(super) const VOLUME: &str = "default";

/// Somebody of whom nothing is known.
pub(super) const NOBODY: &Cause = &Cause { actor: Actor { operator: None, peer: None }, reason: None };

/// A clock that stands still until it is set.
pub(super) struct SetClock(AtomicU64);

impl SetClock {
    pub(super) fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn unix_millis(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What outlives a restart.
pub(super) struct World {
    pub(super) clock: Arc<SetClock>,
    /// How long a newly active version is watched.
    pub(super) watch: Duration,
    pub(super) rows: MemoryRows,
    pub(super) directory: TempDir,
    pub(super) trust: Trust,
    /// Components that are compiled.
    pub(super) cache: Arc<FakeCache>,
}

/// What does not.
pub(super) struct Running {
    pub(super) host: Arc<FakeHost>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) lifecycle: Arc<Lifecycle>,
    pub(super) tree: Arc<FakeTree>,
    pub(super) slot: Arc<Slot>,
    _task: Handle,
}

/// A component that an administrator adds, as it comes without flags.
pub(super) fn addition(line: &str) -> Addition {
    Addition {
        bytes: line.as_bytes().into(),
        name: None,
        signature: None,
        grants: Capabilities::new(),
        origin: Origin::Added,
        cause: Cause::default(),
    }
}

fn shipped(lines: &[&str]) -> Vec<ShippedPlugin> {
    let plugin = |line: &&str| ShippedPlugin {
        name: line.split(' ').next().unwrap().into(),
        bytes: line.as_bytes().to_vec().into(),
    };
    lines.iter().map(plugin).collect()
}

impl World {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(SetClock(AtomicU64::new(1_700_000_000_000)));
        let (rows, trust, watch) = (MemoryRows::default(), Trust::default(), Duration::ZERO);
        Self { clock, watch, rows, directory, trust, cache: Arc::default() }
    }

    pub(super) async fn start(&self, lines: &[&str]) -> Running {
        let catalog = Arc::new(self.rows.catalog().await);
        let on_disk = BTreeSet::from([1, 2]);
        if catalog.model().is_empty() {
            catalog.commit(|model| crate::volumes::found(model, &BTreeSet::from([1]), 0)).await.unwrap();
        }
        catalog.commit(|model| crate::volumes::found(model, &on_disk, 0)).await.unwrap();
        catalog.commit(|model| crate::volumes::ready(model, VOLUME, 2)).await.unwrap();
        let host = Arc::new(FakeHost::with_cache(Arc::clone(&self.cache)));
        let clock: SharedClock = Arc::<SetClock>::clone(&self.clock);
        let lifecycle = Arc::new(Lifecycle::new(
            Arc::<FakeHost>::clone(&host) as Arc<dyn Host>,
            Arc::clone(&catalog),
            Blobs::open(self.directory.path()).unwrap(),
            Arc::clone(&clock),
            Settings {
                default_strategy: "leveled".into(),
                max_component_bytes: 1000,
                trust: self.trust.clone(),
                watch: self.watch,
            },
        ));
        lifecycle.recover().await;
        lifecycle.register_shipped(&shipped(lines)).await;
        let tree = FakeTree::new();
        let observer = tree.observer();
        let slot = lifecycle.attach(VOLUME, 2, Arc::clone(&observer)).await;
        let task = spawn(Task {
            volume_id: 2,
            observer,
            slot: Arc::clone(&slot),
            supervisor: Arc::<Lifecycle>::clone(&lifecycle) as Arc<dyn Supervisor>,
            permits: Arc::new(Permits::new(1)),
            clock,
            guard_l0_runs: 20,
            tick: Duration::from_secs(30),
        });
        Running { host, catalog, lifecycle, tree, slot, _task: task }
    }

    pub(super) fn blob(&self, digest: &str) -> std::path::PathBuf {
        let name = format!("{digest}.wasm");
        Path::join(self.directory.path(), "blobs").join(name)
    }
}

impl Running {
    pub(super) async fn add(&self, line: &str) -> crate::Result<super::choose::Chosen> {
        self.lifecycle.add(addition(line)).await
    }

    pub(super) async fn bind(&self, name: &str) -> crate::Result<crate::Activation> {
        self.lifecycle.bind(name, None, VOLUME, None, NOBODY).await
    }

    pub(super) async fn shadow(&self, name: &str) -> crate::Result<ShadowInfo> {
        self.lifecycle.shadow(name, None, VOLUME, None, NOBODY).await
    }

    pub(super) fn row(&self) -> BindingRow {
        self.lifecycle.binding(VOLUME).unwrap()
    }

    /// `ACTION FROM TO` of the rows about a plugin, the oldest first.
    pub(super) fn stages(&self, name: &str) -> Vec<String> {
        let text = |stage: &Option<String>| stage.clone().unwrap_or_else(|| "-".into());
        let rows = self.lifecycle.history(Some(name)).unwrap();
        rows.iter().rev().map(|row| [row.action.clone(), text(&row.from), text(&row.to)].join(" ")).collect()
    }

    pub(super) fn serving(&self) -> String {
        let info = self.slot.load().info.clone();
        format!("{} {}", info.plugin, info.version).trim().to_owned()
    }

    /// Waits until something else than `name` serves.
    pub(super) async fn until_replaced(&self, name: &str) {
        let mut changes = self.slot.changes();
        while self.slot.load().info.plugin == name {
            changes.changed().await.unwrap();
        }
    }

    pub(super) fn history(&self) -> Vec<(String, String)> {
        let model = self.catalog.model();
        model.history.values().map(|row| (row.action.clone(), row.outcome.clone())).collect()
    }
}
