//! The whole set over a real node: creation, restart, interruption, deletion, swap.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mortise_kernel::ErrorKind;
use mortise_kernel::kv::{Command, DeleteRangeRequest, PutRequest, RangeRequest};
use mortise_kernel::node::{Consistency, Node, NodeConfig, VolumeId};
use mortise_kernel::seams::{Deadline, SystemClock};

use super::{NewPlugin, ShippedPlugin, System, SystemConfig};
use crate::catalog::{Change, HistoryRow};
use crate::plugins::fake::FakeHost;
use crate::rebuild::WantedFormat;
use crate::volumes::reserve;
use crate::{Cause, Error, Result};

struct Running {
    node: Arc<Node>,
    system: Arc<System>,
}

async fn open(path: &Path) -> Arc<Node> {
    let config = NodeConfig {
        cache_bytes: 4 << 20,
        memtable_bytes: 1 << 20,
        reserve_disk_bytes: 0,
        ..NodeConfig::new(path)
    };
    Node::open(config, Arc::new(SystemClock)).await.unwrap()
}

async fn try_start(node: &Arc<Node>) -> Result<Arc<System>> {
    let shipped = ShippedPlugin { name: "leveled".into(), bytes: b"leveled 1.0.0 wait".as_slice().into() };
    let config = SystemConfig::new(vec![shipped], "leveled");
    System::start_over(Arc::clone(node), Arc::new(FakeHost::default()), config).await
}

async fn start(path: &Path) -> Running {
    let node = open(path).await;
    let system = try_start(&node).await.unwrap();
    Running { node, system }
}

fn deadline() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

impl Running {
    async fn stop(self) {
        self.system.shutdown().await;
        self.node.shutdown().await.unwrap();
    }

    fn names(&self) -> Vec<String> {
        self.system
            .list_volumes()
            .into_iter()
            .map(|volume| format!("{} {}", volume.name, volume.state))
            .collect()
    }

    async fn put(&self, volume: &str, key: &str) {
        let put = PutRequest { key: Bytes::from(key.to_owned()), value: "v".into(), ..PutRequest::default() };
        let volume = self.system.resolve(Some(volume)).unwrap();
        volume.propose(Command::Put(put), deadline()).await.unwrap();
    }

    async fn has(&self, volume: &str, key: &str) -> bool {
        let request = RangeRequest { key: Bytes::from(key.to_owned()), ..RangeRequest::default() };
        let volume = self.system.resolve(Some(volume)).unwrap();
        volume.range(request, Consistency::Linearizable, deadline()).await.unwrap().count == 1
    }
}

#[tokio::test]
async fn the_first_start_makes_default_and_system_and_the_second_finds_them() {
    let directory = tempfile::tempdir().unwrap();
    let node = start(directory.path()).await;
    assert_eq!(node.names(), ["default ready", "system ready"]);
    assert_eq!(node.system.resolve(None).unwrap().id(), VolumeId::DEFAULT);
    node.put("default", "k").await;
    let new = NewPlugin { bytes: b"b 1.0.0 wait".to_vec(), ..NewPlugin::default() };
    node.system.plugin_add(new, Cause::default()).await.unwrap();
    node.system.plugin_use("b", None, "default", None, Cause::default()).await.unwrap();
    let report = node.system.volume_report("default").unwrap();
    assert_eq!(report.strategy.serving.plugin, "b");
    assert_eq!(report.info.generation, report.status.generation);
    node.stop().await;

    let node = start(directory.path()).await;
    assert!(node.has("default", "k").await);
    assert_eq!(node.system.volume_report("default").unwrap().strategy.serving.plugin, "b");
    assert_eq!(node.system.volume_report("system").unwrap().strategy.serving.plugin, "leveled");
    node.stop().await;
}

#[tokio::test]
async fn of_many_concurrent_creations_each_name_is_made_once() {
    let directory = tempfile::tempdir().unwrap();
    let node = start(directory.path()).await;
    let tasks = (0..24).map(|i| {
        let system = Arc::clone(&node.system);
        tokio::spawn(async move {
            system.create_volume(&format!("t{}", i / 2), WantedFormat::default(), Cause::default()).await
        })
    });
    let results = futures::future::join_all(tasks).await.into_iter().map(|result| result.unwrap());
    let (made, refused): (Vec<_>, Vec<_>) = results.partition(Result::is_ok);
    let ids: BTreeSet<u64> = made.into_iter().map(|made| made.unwrap().id).collect();
    assert_eq!(ids, (3..15).collect(), "every id once");
    assert_eq!(refused.len(), 12, "the second creation of a name is refused");
    for error in refused.into_iter().map(Result::unwrap_err) {
        assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{error}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_deleted_volume_is_gone_and_its_name_is_free() {
    let directory = tempfile::tempdir().unwrap();
    let node = start(directory.path()).await;
    let first = node.system.create_volume("tenant", WantedFormat::default(), Cause::default()).await.unwrap();
    node.put("tenant", "k").await;
    assert!(matches!(
        node.system.create_volume("tenant", WantedFormat::default(), Cause::default()).await,
        Err(Error::VolumeExists(_))
    ));
    node.system.delete_volume("tenant", Cause::default()).await.unwrap();
    assert!(!node.system.has_volume("tenant"));
    assert!(matches!(node.system.resolve(Some("tenant")), Err(Error::NoSuchVolume(_))));
    assert!(!node.node.volumes_on_disk().unwrap().contains(&VolumeId(first.id)));
    let second =
        node.system.create_volume("tenant", WantedFormat::default(), Cause::default()).await.unwrap();
    assert!(second.id > first.id);
    assert!(!node.has("tenant", "k").await);
    assert!(matches!(
        node.system.delete_volume("default", Cause::default()).await,
        Err(Error::VolumeProtected(_))
    ));
    node.stop().await;
}

#[tokio::test]
async fn interrupted_creations_and_deletions_are_finished_by_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let node = start(directory.path()).await;
    node.system.create_volume("doomed", WantedFormat::default(), Cause::default()).await.unwrap();
    node.system.create_volume("doomed-gone", WantedFormat::default(), Cause::default()).await.unwrap();
    let catalog = &node.system.catalog;
    let disk = crate::volumes::on_disk(&node.node).unwrap();
    // Creations that stopped after the row, and after the files.
    catalog.commit(|model| reserve(model, "row-only", &WantedFormat::default(), &disk, 0)).await.unwrap();
    let row = catalog
        .commit(|model| reserve(model, "with-files", &WantedFormat::default(), &disk, 0))
        .await
        .unwrap();
    let config = mortise_kernel::node::VolumeConfig { id: VolumeId(row.id), name: "with-files".into() };
    node.node.create_volume(config).await.unwrap();
    // Deletions that stopped after the row, and after the files.
    for name in ["doomed", "doomed-gone"] {
        catalog.commit(|model| crate::volumes::doom(model, name, crate::NATIVE_STRATEGY)).await.unwrap();
    }
    let gone = catalog.model().volumes["doomed-gone"].id;
    node.system.shutdown().await;
    node.node.remove_volume(VolumeId(gone)).await.unwrap();
    node.node.shutdown().await.unwrap();
    drop(node);

    let node = start(directory.path()).await;
    assert_eq!(node.names(), ["default ready", "row-only ready", "system ready", "with-files ready"]);
    let disk: Vec<u64> = node.node.volumes_on_disk().unwrap().into_iter().map(|id| id.0).collect();
    assert_eq!(disk.len(), 4, "{disk:?}");
    for name in ["row-only", "with-files"] {
        node.put(name, "k").await;
        assert!(node.has(name, "k").await);
    }
    node.stop().await;
}

#[tokio::test]
async fn a_node_whose_catalog_is_gone_does_not_start_and_deletes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let node = start(directory.path()).await;
    node.put("default", "k").await;
    node.stop().await;
    let (system, aside) = (directory.path().join("volumes/1"), directory.path().join("aside"));
    std::fs::rename(&system, &aside).unwrap();

    let node = open(directory.path()).await;
    let error = try_start(&node).await.unwrap_err();
    assert!(matches!(error, Error::CatalogMissing(_)), "{error}");
    assert_eq!(node.volumes_on_disk().unwrap(), [VolumeId::DEFAULT]);
    node.shutdown().await.unwrap();
    drop(node);

    std::fs::rename(&aside, &system).unwrap();
    let node = start(directory.path()).await;
    assert!(node.has("default", "k").await);
    node.stop().await;
}

#[tokio::test]
async fn the_system_volume_lets_go_of_what_its_rows_were() {
    let directory = tempfile::tempdir().unwrap();
    let node = start(directory.path()).await;
    let write = async |system: &System| {
        let row = || {
            let mut change = Change::default();
            change.audit(HistoryRow::node("test", "a row like another"));
            change
        };
        system.catalog.commit(|_| Ok((row(), ()))).await.unwrap();
    };
    let system = node.system.resolve(Some("system")).unwrap();
    while system.status().compact_revision == 0 {
        assert!(system.status().revision <= 1300, "the catalog has let go of nothing yet");
        write(&node.system).await;
    }
    let old = RangeRequest { key: "mortise/".into(), revision: 2, ..RangeRequest::default() };
    let refused = system.range(old, Consistency::Linearizable, deadline()).await.unwrap_err();
    assert!(matches!(refused, mortise_kernel::Error::Compacted { .. }), "{refused}");
    drop(system);
    node.stop().await;

    let node = start(directory.path()).await;
    write(&node.system).await;
    assert_eq!(node.names(), ["default ready", "system ready"]);
    node.stop().await;
}

/// Everything below a directory, with its content.
fn content(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(content(&path));
        } else {
            found.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    found
}

#[tokio::test]
async fn directories_that_no_row_names_are_neither_opened_nor_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let node = start(directory.path()).await;
    let id = node.system.create_volume("lost", WantedFormat::default(), Cause::default()).await.unwrap().id;
    node.put("lost", "k").await;
    node.stop().await;
    let volumes = directory.path().join("volumes");
    // A complete volume whose row is lost, one with the next id, and one that looks unfinished.
    let (lost, next, unfinished) =
        (volumes.join("3"), volumes.join((id + 1).to_string()), volumes.join((id + 2).to_string()));
    assert_eq!(id, 3);
    copy(&lost, &next);
    std::fs::create_dir(&unfinished).unwrap();
    std::fs::write(unfinished.join("note"), "mine").unwrap();
    let before = [&lost, &next, &unfinished].map(|path| content(path));
    {
        let node = open(directory.path()).await;
        let config = || mortise_kernel::node::VolumeConfig { id: VolumeId::SYSTEM, name: "system".into() };
        let system = node.open_volume(config()).await.unwrap();
        let key = Bytes::from_static(b"mortise/volumes/lost");
        let delete = DeleteRangeRequest { key, ..DeleteRangeRequest::default() };
        system.propose(Command::DeleteRange(delete), deadline()).await.unwrap();
        node.shutdown().await.unwrap();
    }

    let node = start(directory.path()).await;
    assert_eq!(node.names(), ["default ready", "system ready"]);
    let made = node.system.create_volume("lost", WantedFormat::default(), Cause::default()).await.unwrap();
    assert_eq!(made.id, id + 3, "above every directory");
    assert!(!node.has("lost", "k").await, "a new volume is empty");
    node.system.delete_volume("lost", Cause::default()).await.unwrap();
    node.stop().await;
    assert_eq!([&lost, &next, &unfinished].map(|path| content(path)), before);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}

#[tokio::test]
async fn one_damaged_volume_does_not_keep_the_others_from_being_served() {
    let directory = tempfile::tempdir().unwrap();
    let node = start(directory.path()).await;
    let id = node.system.create_volume("tenant", WantedFormat::default(), Cause::default()).await.unwrap().id;
    node.stop().await;
    std::fs::write(directory.path().join(format!("volumes/{id}/CURRENT")), "nonsense").unwrap();

    let node = start(directory.path()).await;
    assert_eq!(node.names(), ["default ready", "system ready", "tenant failed"]);
    let error = node.system.resolve(Some("tenant")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    node.put("default", "k").await;
    node.stop().await;
}
