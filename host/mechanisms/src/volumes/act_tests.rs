//! Deletions whose answer is lost, and volumes that the catalog has and nobody can serve.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mortise_kernel::node::{Node, NodeConfig, VolumeId};
use mortise_kernel::seams::SystemClock;
use tempfile::TempDir;

use super::act::{LoopConfig, Volumes};
use super::decide;
use crate::catalog::memory_rows::{MemoryRows, Stop, fixed_clock};
use crate::catalog::{Blobs, Catalog, VolumeState};
use crate::cause::Cause;
use crate::plugins::fake::FakeHost;
use crate::plugins::{Lifecycle, Settings, Trust};
use crate::rebuild::{Jobs, WantedFormat};
use crate::{Error, NATIVE_STRATEGY};

struct Bench {
    rows: MemoryRows,
    catalog: Arc<Catalog>,
    node: Arc<Node>,
    volumes: Arc<Volumes>,
    _directory: TempDir,
}

impl Bench {
    /// A node that serves one volume, called `tenant`.
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = NodeConfig {
            reserve_disk_bytes: 0,
            cache_bytes: 4 << 20,
            ..NodeConfig::new(directory.path().join("node"))
        };
        let node = Node::open(config, Arc::new(SystemClock)).await.unwrap();
        let rows = MemoryRows::default();
        let catalog = Arc::new(rows.catalog().await);
        catalog.commit(|model| decide::found(model, &BTreeSet::from([1]), 0)).await.unwrap();
        let settings = Settings {
            default_strategy: NATIVE_STRATEGY.into(),
            max_component_bytes: 1000,
            trust: Trust::default(),
            watch: Duration::ZERO,
        };
        let (host, blobs) = (Arc::new(FakeHost::default()), Blobs::open(directory.path()).unwrap());
        let lifecycle = Arc::new(Lifecycle::new(host, Arc::clone(&catalog), blobs, fixed_clock(), settings));
        let jobs = Jobs::new(Arc::clone(&catalog), Arc::clone(&lifecycle), fixed_clock());
        let loops = LoopConfig {
            guard_l0_runs: 20,
            tick: Duration::from_secs(30),
            stop_grace: Duration::from_secs(5),
            codec_patience: Duration::from_secs(5),
        };
        let (of_node, of_catalog) = (Arc::clone(&node), Arc::clone(&catalog));
        let volumes = Volumes::new(of_node, of_catalog, lifecycle, jobs, fixed_clock(), 1, loops);
        let volumes = Arc::new(volumes);
        volumes.create("tenant", &WantedFormat::default(), &Cause::default()).await.unwrap();
        Self { rows, catalog, node, volumes, _directory: directory }
    }

    async fn delete(&self) -> crate::Result<()> {
        self.volumes.delete("tenant", &Cause::default()).await
    }

    fn id(&self) -> u64 {
        self.catalog.model().volumes["tenant"].id
    }

    async fn close(self) {
        self.volumes.stop_loops().await;
        drop(self.volumes);
        self.node.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_deletion_that_was_declared_though_the_answer_was_lost_is_carried_out() {
    let bench = Bench::new().await;
    bench.rows.stop_at(Some((0, Stop::After)));
    let id = VolumeId(bench.id());
    // The rows cannot be removed; the next start does that.
    bench.delete().await.unwrap_err();
    assert_eq!(bench.catalog.model().volumes["tenant"].state, VolumeState::Deleting);
    assert!(bench.volumes.opened("tenant").is_err(), "nobody writes to what the next start deletes");
    assert!(bench.volumes.has("tenant"), "and nobody gets another volume instead");
    assert!(!bench.node.volumes_on_disk().unwrap().contains(&id));
    bench.rows.stop_at(None);
    bench.delete().await.unwrap();
    assert!(!bench.volumes.has("tenant"));
    bench.close().await;
}

#[tokio::test]
async fn a_volume_is_not_served_while_nobody_knows_whether_it_will_be_deleted() {
    let bench = Bench::new().await;
    bench.rows.stop_at(Some((0, Stop::Silent)));
    bench.delete().await.unwrap_err();
    let refused = bench.volumes.opened("tenant").err();
    assert!(matches!(refused, Some(Error::VolumeFailed { .. })), "{refused:?}");
    bench.rows.stop_at(None);
    bench.delete().await.unwrap();
    assert!(!bench.volumes.has("tenant"));
    bench.close().await;
}

#[tokio::test]
async fn what_was_opened_or_is_in_doubt_meanwhile_is_not_opened_again() {
    let bench = Bench::new().await;
    let served = bench.volumes.opened("tenant").unwrap();
    bench.volumes.failed.lock().insert("tenant".into(), "it could not be opened, earlier".into());
    bench.volumes.open_failed().await;
    assert!(Arc::ptr_eq(&served, &bench.volumes.opened("tenant").unwrap()), "it is served twice");
    assert!(bench.volumes.failed.lock().is_empty(), "what is served has not failed");
    bench.rows.stop_at(Some((0, Stop::Silent)));
    bench.delete().await.unwrap_err();
    bench.rows.stop_at(None);
    bench.volumes.open_failed().await;
    let refused = bench.volumes.opened("tenant").err();
    assert!(matches!(refused, Some(Error::VolumeFailed { .. })), "{refused:?}");
    bench.delete().await.unwrap();
    bench.close().await;
}

#[tokio::test]
async fn a_deletion_that_was_refused_for_sure_leaves_the_volume_served() {
    let bench = Bench::new().await;
    bench.rows.set_full(true);
    bench.delete().await.unwrap_err();
    bench.volumes.opened("tenant").unwrap();
    bench.rows.set_full(false);
    let gone = bench.volumes.delete("nobody", &Cause::default()).await;
    assert!(matches!(gone, Err(Error::NoSuchVolume(_))), "{gone:?}");
    bench.close().await;
}

#[tokio::test]
async fn a_deletion_that_comes_late_finds_the_row_written_anew() {
    let bench = Bench::new().await;
    let (model, id) = (bench.catalog.model(), bench.id());
    let (late, _) = decide::doom(&model, "tenant", NATIVE_STRATEGY).unwrap();
    assert!(!bench.catalog.commit(|model| decide::ascertain(model, "tenant", id)).await.unwrap());
    let answer = crate::catalog::Rows::txn(&bench.rows, late.to_txn()).await.unwrap();
    assert!(!answer.succeeded, "it was decided by the row as it was before");
    bench.catalog.commit(|model| decide::doom(model, "tenant", NATIVE_STRATEGY)).await.unwrap();
    assert!(bench.catalog.commit(|model| decide::ascertain(model, "tenant", id)).await.unwrap());
    bench.close().await;
}

#[tokio::test]
async fn a_volume_of_the_catalog_is_there_in_whatever_state() {
    let bench = Bench::new().await;
    let disk = BTreeSet::from([bench.id()]);
    let wanted = WantedFormat::default();
    bench.catalog.commit(|model| decide::reserve(model, "young", &wanted, &disk, 0)).await.unwrap();
    let row = bench.catalog.commit(|model| decide::reserve(model, "shut", &wanted, &disk, 0)).await.unwrap();
    bench.catalog.commit(|model| decide::ready(model, "shut", row.id)).await.unwrap();
    bench.catalog.commit(|model| decide::doom(model, "tenant", NATIVE_STRATEGY)).await.unwrap();
    bench.rows.put("mortise/volumes/torn", "not json");
    bench.catalog.commit(|model| decide::doom(model, "young", NATIVE_STRATEGY)).await.unwrap();
    for name in ["tenant", "young", "shut", "torn"] {
        assert!(bench.volumes.has(name), "{name}");
        let refused = bench.volumes.opened(name).err();
        assert!(refused.is_some() && !matches!(refused, Some(Error::NoSuchVolume(_))), "{name}: {refused:?}");
    }
    assert!(!bench.volumes.has("nobody"));
    assert!(matches!(bench.volumes.opened("nobody"), Err(Error::NoSuchVolume(_))));
    bench.close().await;
}
